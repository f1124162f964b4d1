"""Who gets in, over what, and how often? Keys, TLS, rate limits."""

from __future__ import annotations

import asyncio
import ssl
import time

import httpx
import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.smoke, pytest.mark.claim("minikube-rtx3060", "host-a6000")]

MODELS = "/v1/models"
GUESSED_WITHIN_S = 2.0


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def stranger(stack):
    """A client without a key."""
    with httpx.Client(base_url=stack.base_url, verify=stack.tls(), trust_env=False, timeout=10.0) as client:
        yield client


@pytest.mark.needs("keys")
@pytest.mark.parametrize(
    "headers",
    [{}, bearer("sk-wrong"), {"X-API-Key": "sk-wrong"}, {"Authorization": "Basic c2s6c2s="}],
    ids=["no-key", "wrong-bearer", "wrong-x-api-key", "basic"],
)
def test_who_has_no_key_is_refused(stranger, headers):
    """Without the right key the answer is 401"""
    response = stranger.get(MODELS, headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]


@pytest.mark.needs("keys")
def test_no_key_gets_no_tokens(stranger, stack):
    """Without a key nothing is generated"""
    body = {"model": stack.model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    assert stranger.post("/v1/chat/completions", json=body).status_code == 401


@pytest.mark.needs("keys")
def test_the_right_key_as_bearer_is_let_in(stranger, stack):
    """The right key as a Bearer token is let in"""
    response = stranger.get(MODELS, headers=stack.headers())
    assert response.status_code == 200


@pytest.mark.needs("keys", "gateway")
def test_the_right_key_as_x_api_key_is_let_in(stranger, stack):
    """The right key in X-API-Key is let in"""
    headers = {"X-API-Key": stack.keys["suite"].reveal()}
    response = stranger.get(MODELS, headers=headers)
    assert response.status_code == 200


@pytest.mark.needs("gateway")
@pytest.mark.parametrize("route", ["/invocations", "/tokenize", "/detokenize", "/scale_elastic_ep"])
def test_what_vllm_leaves_open_is_closed(client, route):
    """Routes that vLLM serves to anybody are not reachable through the gateway"""
    assert client.post(route, json={"prompt": "hello"}).status_code == 404


@pytest.mark.needs("gateway")
def test_metrics_are_not_on_the_public_port(client):
    """/metrics is not served where clients are"""
    assert client.get("/metrics").status_code == 404


@pytest.mark.needs("tls")
def test_tls_is_verified_against_the_authority(stack):
    """The certificate is good for this host and its authority, and for nobody who does not trust that"""
    with httpx.Client(verify=stack.tls(), trust_env=False) as trusting:
        assert trusting.get(f"{stack.base_url}{MODELS}", headers=stack.headers()).status_code == 200
    trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        httpx.Client(verify=trusts_nobody, trust_env=False) as distrusting,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        distrusting.get(f"{stack.base_url}{MODELS}")


@pytest.mark.needs("tls")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["tls1.0", "tls1.1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_before_1_2_is_refused(address, connect, version):
    """The server, not this client, refuses TLS 1.0 and 1.1"""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # Without this OpenSSL's own floor would refuse first, and nothing would be proved of the server.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    # An alert, or for some front ends the end of the connection: either comes from the other side.
    with connect() as wire, pytest.raises(OSError, match=r"(?i)alert|reset by peer|unexpected_eof"):
        context.wrap_socket(wire, server_hostname=address[0])


@pytest.mark.needs("tls")
@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls1.2", "tls1.3"]
)
def test_tls_from_1_2_on_is_spoken(stack, address, connect, version):
    """TLS 1.2 and 1.3 are spoken"""
    context = stack.tls()
    context.minimum_version = context.maximum_version = version
    with connect() as wire, context.wrap_socket(wire, server_hostname=address[0]) as secured:
        assert (
            secured.version()
            == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        )


@pytest.mark.needs("tls")
def test_plain_http_is_refused_or_sent_to_https(stack):
    """Plain HTTP on the TLS port gets no answer, or one that leads to HTTPS"""
    try:
        response = httpx.get(
            f"{stack.base_url.replace('https://', 'http://', 1)}{MODELS}", timeout=5.0, trust_env=False
        )
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return  # connected, and told nothing
    moved = response.headers.get("location", "").startswith("https://")
    assert moved or response.status_code == 400, f"HTTP {response.status_code} over plain HTTP"


@pytest.mark.needs("limiter")
async def test_over_the_limit_is_429_and_then_it_recovers(stack):
    """Over the limit the answer is 429 with Retry-After; when that time is over, 200 again"""
    name, allowed, window_s = stack.limited_key
    sent = allowed + 20
    await asyncio.sleep(window_s)  # whatever used this key before is out of its window now
    async with httpx.AsyncClient(
        base_url=stack.base_url,
        verify=stack.tls(),
        headers=stack.headers(name),
        trust_env=False,
        timeout=10.0,
    ) as client:
        began = time.monotonic()
        answers = await asyncio.gather(*(client.get(MODELS) for _ in range(sent)))
        took_s = time.monotonic() - began
        refused = [answer for answer in answers if answer.status_code == 429]
        admitted = [answer for answer in answers if answer.status_code == 200]
        assert len(admitted) + len(refused) == sent
        # A window that moves admits at most `allowed` in any window_s, so this many over the burst's time.
        assert allowed <= len(admitted) <= allowed * (1 + int(took_s / window_s))
        assert refused
        for answer in refused:
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["type"] == "rate_limit_error"
        await asyncio.sleep(max(int(answer.headers["retry-after"]) for answer in refused))
        assert (await client.get(MODELS)).status_code == 200


@pytest.mark.needs("limiter")
async def test_the_limit_of_one_key_is_not_that_of_another(stack):
    """While one key is over its limit, another is served"""
    name, allowed, _ = stack.limited_key
    async with httpx.AsyncClient(
        base_url=stack.base_url, verify=stack.tls(), trust_env=False, timeout=10.0
    ) as client:
        limited = [client.get(MODELS, headers=stack.headers(name)) for _ in range(allowed + 10)]
        answers = await asyncio.gather(*limited)
        assert 429 in {answer.status_code for answer in answers}
        assert (await client.get(MODELS, headers=stack.headers("suite"))).status_code == 200


@pytest.mark.needs("limiter", "keys")
async def test_guessing_keys_is_limited(stack):
    """401s count against a limit too: keys cannot be guessed at full speed"""
    async with httpx.AsyncClient(
        base_url=stack.base_url,
        verify=stack.tls(),
        trust_env=False,
        timeout=10.0,
        limits=httpx.Limits(max_connections=1),
    ) as client:
        await client.get(MODELS)  # one connection for all: handshakes would slow the guessing down
        guesses = [client.get(MODELS, headers=bearer(f"sk-guess-{n}")) for n in range(60)]
        began = time.monotonic()
        statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
        took_s = time.monotonic() - began
    assert set(statuses) <= {401, 429}
    if 429 not in statuses and took_s > GUESSED_WITHIN_S:
        raise ObjectiveInconclusive(
            "this machine guesses no faster than a limit may allow",
            expected=f"sixty guesses within {GUESSED_WITHIN_S:g} s",
            seen=f"{took_s:.1f} s",
        )
    assert 429 in statuses, f"sixty wrong keys in {took_s:.1f} s were all looked at"
