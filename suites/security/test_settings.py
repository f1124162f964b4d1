"""Does the door do what its owner sets: keys changed while it runs, slow bodies, tokens, streams?

Load: single requests on one further stack. Bounds are the settings that stand here. Needs: a stage.
Costs about 30 s, most of it the stack's start.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
import signal
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.security, pytest.mark.needs("stage", "gateway", "keys")]

MODELS, COMPLETIONS = "/v1/models", "/v1/completions"
BODY_TIMEOUT_S, TOKENS_A_MINUTE, STREAMS = 1.0, 300, 3
RELOADED_S = 5.0


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """The file of keys that the stage reads, with one key in it, and that key."""
    folder = tmp_path_factory.mktemp("ring")
    return KeysFile(folder / "keys.yaml")


class KeysFile:
    """A keys_file: digests by name."""

    def __init__(self, path: Any) -> None:
        self.path = path
        self.first = f"sk-{secrets.token_urlsafe(32)}"
        self.write(first=self.first)

    def write(self, **keys: str) -> None:
        found = [
            {"name": f"ring-{name}", "sha256": hashlib.sha256(key.encode()).hexdigest()}
            for name, key in keys.items()
        ]
        self.path.write_text(json.dumps(found))  # which is YAML too


@pytest.fixture(scope="module")
def set_up(stage, profile, ring):
    """The stack whose owner has set all of this; with an ingress where this place has one."""
    entries = [{"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in ("suite", "limited")]
    entries.append(
        {"name": "second", "key_env": "GATEWAY_KEY_SECOND", "tokens_limit": f"{TOKENS_A_MINUTE}/minute"}
    )
    settings = {"keys": entries, "keys_file": str(ring.path), "body_timeout_s": BODY_TIMEOUT_S}
    before = {"ingress": {"streams": STREAMS, "burst": 100}} if profile.ingress else {}
    return stage(
        "set", gateway={"settings": settings}, monitoring="none", exporter={"kind": "none"}, **before
    )


def shown(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def until_status(client: httpx.Client, key: str, status: int) -> int:
    """The status that a key gets in the end, which a reload may need a moment for."""
    until = time.monotonic() + RELOADED_S
    found = 0
    while found != status and time.monotonic() < until:
        found = client.get(MODELS, headers=shown(key)).status_code
        time.sleep(0.05)
    return int(found)


@pytest.mark.claim("nobody")
def test_a_rotated_key_is_refused_and_the_new_one_let_in(guest, set_up, ring):
    """After SIGHUP the new key is let in and the old one refused; an open stream goes on"""
    (gateway,) = [part for part in set_up.components if part.name == "gateway"]
    pid, new, client = gateway.pid, f"sk-{secrets.token_urlsafe(32)}", guest(on=set_up)
    assert client.get(MODELS, headers=shown(ring.first)).status_code == 200
    assert client.get(MODELS, headers=shown(new)).status_code == 401
    body = {"model": set_up.model, "prompt": "a", "max_tokens": 200, "ignore_eos": True, "stream": True}
    with client.stream("POST", COMPLETIONS, json=body, headers=shown(ring.first)) as answer:
        assert answer.status_code == 200
        lines = (line for line in answer.iter_lines() if line)
        next(lines)
        ring.write(second=new)
        gateway.signal(signal.SIGHUP)
        other = guest(on=set_up)
        assert until_status(other, new, 200) == 200
        assert other.get(MODELS, headers=shown(ring.first)).status_code == 401
        assert [*lines][-1] == "data: [DONE]"
    assert gateway.pid == pid


@pytest.mark.claim("nobody")
def test_a_file_of_keys_that_cannot_be_read_lets_nobody_in(guest, set_up, ring):
    """A broken file of keys changes nothing: who had a key keeps it, and nobody else gets in"""
    (gateway,) = [part for part in set_up.components if part.name == "gateway"]
    kept = f"sk-{secrets.token_urlsafe(32)}"
    ring.write(kept=kept)
    gateway.signal(signal.SIGHUP)
    client = guest(on=set_up)
    assert until_status(client, kept, 200) == 200
    ring.path.write_text("- {name: broken, sha256: 'no digest'}\n")
    gateway.signal(signal.SIGHUP)
    until = time.monotonic() + RELOADED_S
    while "keys_not_reloaded" not in gateway.log_tail() and time.monotonic() < until:
        time.sleep(0.05)
    assert "keys_not_reloaded" in gateway.log_tail()
    assert client.get(MODELS, headers=shown(kept)).status_code == 200
    assert client.get(MODELS, headers=shown("no digest")).status_code == 401
    assert client.get(MODELS).status_code == 401


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("shape", ["nothing", "drop-by-drop"])
def test_a_body_that_does_not_come_is_not_waited_for(wire, set_up, shape):
    """A body that is not there in the time that is set is 408 or the end of the connection"""
    key = set_up.headers()["Authorization"]
    way = "gateway" if set_up.ingress_url else "front"
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Length: 9999\r\n\r\n"
    with wire(way, on=set_up) as line:
        began = time.monotonic()
        line.send(head.encode())
        answers: list[Any] = []
        while not answers and not line.closed and time.monotonic() < began + 10 * BODY_TIMEOUT_S:
            line.send(b"{" if shape == "drop-by-drop" else b"")
            answers = line.answers(bound_s=0.3)
        took_s = time.monotonic() - began
    assert line.closed or answers, "it is waited for"
    assert {answer.status for answer in answers} <= {408}
    assert 0.9 * BODY_TIMEOUT_S <= took_s <= 5 * BODY_TIMEOUT_S


@pytest.mark.claim("nobody")
def test_tokens_of_a_key_are_limited(guest, asker, set_up):
    """A key with a limit on tokens gets no more than that in a period, by whatever requests; others do"""
    ask = asker(guest(on=set_up, key="second"), set_up.model)
    spent, refusals = 0, []
    for stream in itertools.islice(itertools.cycle([False, True]), 12):
        reply = ask("Count.", max_tokens=40, stream=stream)
        if reply.status == 200:
            spent += reply.usage["total_tokens"]
        else:
            refusals.append(reply)
    assert refusals, f"{spent} tokens were given, and nobody was refused"
    # One reservation may fit that is then overdrawn by its prompt, which nobody knows before.
    assert 0 < spent <= TOKENS_A_MINUTE + 40
    assert {reply.status for reply in refusals} == {429}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in refusals)
    assert all("key_tokens" in reply.body for reply in refusals)
    other = asker(guest(on=set_up, key="suite"), set_up.model)
    assert other("Count.", max_tokens=4).status == 200


@pytest.mark.needs("ingress")
@pytest.mark.claim("nobody")
def test_so_many_streams_of_one_address_and_no_more(guest, set_up, address_of_nobody):
    """An address keeps as many streams open as is set; the next is refused, and let in once one has ended"""
    address = address_of_nobody()
    body = {"model": set_up.model, "prompt": "a", "max_tokens": 400, "ignore_eos": True, "stream": True}
    client = guest(on=set_up, key="suite", address=address)
    with ExitStack() as held:
        for _ in range(STREAMS):
            answer = held.enter_context(client.stream("POST", COMPLETIONS, json=body))
            assert answer.status_code == 200
        over = client.post(COMPLETIONS, json={**body, "stream": False, "max_tokens": 1})
        assert over.status_code == set_up.limiter_code
        assert int(over.headers["retry-after"]) >= 1
        other = guest(on=set_up, key="suite")
        assert other.post(COMPLETIONS, json={**body, "stream": False, "max_tokens": 1}).status_code == 200
    until = time.monotonic() + RELOADED_S
    status = 0
    while status != 200 and time.monotonic() < until:
        status = client.get(MODELS).status_code
    assert status == 200
