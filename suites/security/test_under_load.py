"""Does all of it hold while the stack is busy: keys, TLS, limits, abuse, probes?

Load: `security-beside`, twelve users, once for each claim and for as long as it is made. Bounds: those of the
quiet stack, and that the load itself loses nothing. Needs: gateway, keys. Costs about 40 s.
"""

from __future__ import annotations

import ssl
import time

import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.security, pytest.mark.needs("gateway", "keys")]

MODELS, CHAT = "/v1/models", "/v1/chat/completions"


@pytest.fixture
def busy(request, stack, load_beside, bound):
    """`busy(ask)` asks again and again while the load goes on; what it found each time, at least twice."""

    def while_busy(ask):
        name = f"security.{request.node.originalname.removeprefix('test_')}"
        users, requests = int(bound("security-load-users")), int(bound("security-load-requests"))
        found = []
        with load_beside(
            stack, "security-beside", name=name, users=users, requests_measured=requests
        ) as going:
            while not going.ended:
                found.append(ask())
                time.sleep(0.05)
            measured = going.result()
        if len(found) < 2:
            raise ObjectiveInconclusive("the load had ended before anything was asked twice")
        assert measured.summary.due == requests
        assert measured.summary.errors == 0, "the load itself has lost requests"
        return found

    return while_busy


@pytest.mark.claim("nobody")
def test_keys_are_asked_for_under_load(busy, guest, stack):
    """Under load nobody gets in without the right key, everybody with it, and what is closed stays closed"""

    def ask():
        client = guest()
        return (
            client.get(MODELS).status_code,
            client.post(CHAT, json={"model": stack.model}, headers={"X-API-Key": "wrong"}).status_code,
            client.get(MODELS, headers=stack.headers()).status_code,
            client.post("/invocations", json={"prompt": "hi"}, headers=stack.headers()).status_code,
            client.get("/metrics").status_code,
        )

    assert set(busy(ask)) == {(401, 401, 200, 404, 404)}


@pytest.mark.needs("tls")
@pytest.mark.claim("nobody")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_keeps_its_floor_under_load(busy, wire):
    """Under load TLS 1.1 is refused and TLS 1.2 is spoken"""

    def spoken(version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with wire(tls=context) as line:
                return str(line.secured.version())
        except (ssl.SSLError, ConnectionResetError):
            return None

    found = busy(lambda: (spoken(ssl.TLSVersion.TLSv1_1), spoken(ssl.TLSVersion.TLSv1_2)))
    assert set(found) == {(None, "TLSv1.2")}


@pytest.mark.needs("limiter")
@pytest.mark.claim("minikube-rtx3060", "nobody")
def test_limits_are_exact_under_load(busy, guest, stack):
    """Under load a key gets what it may in each of its windows, and no more; the load is not limited"""
    name, allowed, window_s = stack.limited_key
    time.sleep(window_s)
    client = guest(key=name)
    admitted: list[tuple[float, float, int]] = []
    refused: list[tuple[float, float, int]] = []

    def ask():
        for _ in range(allowed):
            sent = time.monotonic()
            status = client.get(MODELS).status_code
            (admitted if status == 200 else refused).append((sent, time.monotonic(), status))

    busy(ask)
    assert refused, "nobody was refused"
    assert {status for _, _, status in refused} <= {429, stack.limiter_code}
    assert len(admitted) >= allowed
    windows = zip(admitted, admitted[allowed:], strict=False)
    assert [round(late[1] - early[0], 3) for early, late in windows if late[1] - early[0] < window_s] == []


@pytest.mark.claim("minikube-rtx3060")
def test_probes_are_quick_under_load(busy, guest, bound):
    """Under load probes are answered, without a key, within their bound"""

    def ask():
        began = time.monotonic()
        statuses = {guest().get("/health").status_code, guest().get("/ready").status_code}
        return statuses == {200}, time.monotonic() - began

    found = busy(ask)
    assert all(well for well, _ in found)
    assert max(took for _, took in found) <= 2 * bound("security-health-s")


@pytest.mark.claim("nobody")
def test_abuse_disturbs_nobody_under_load(busy, guest, wire, stack):
    """Under load floods, broken bodies and smuggled requests are refused; others lose nothing"""
    key = stack.headers()["Authorization"]
    doubled = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Length: 5\r\n"
    doubled += f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET {MODELS} HTTP/1.1\r\nHost: a\r\n\r\n"

    def ask():
        client = guest(key="suite")
        with wire() as line:
            line.send(doubled.encode())
            answers = line.answers()
        body = {"model": stack.model, "messages": [{"role": "user", "content": "x"}]}
        return (
            client.post(CHAT, content=b"[" * 100_000).status_code,
            client.post(CHAT, json={**body, "n": 10_000}).status_code,
            client.post(CHAT, json={**body, "max_tokens": -1}).status_code,
            tuple(answer.status for answer in answers) in {(), (400,)},
        )

    assert set(busy(ask)) == {(400, 400, 400, True)}
