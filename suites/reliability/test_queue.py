"""Is a full queue said to be full: at once, to those who find it full and to nobody else?

Workload: requests that come all at once, more than slots and places; straight to the engine the same.
Bounds: queue-* of the catalog. Needs: a stage with two slots, few places and nobody else.
Costs: a stage, and seconds; the session's stack is not touched.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest

from instruments.telemetry.scrape import DirectScrape

pytestmark = [
    pytest.mark.reliability,
    pytest.mark.needs("stage"),
    pytest.mark.claim("kubeadm-ec2", "gateway-rtx3090", "nobody"),
]

CHAT = "/v1/chat/completions"
IN_FLIGHT, QUEUED = 3, 3  # of the gateway
ENGINE_MOST = 4  # of the engine: `--max-num-queued-reqs` counts running requests as well
AT_ONCE = 12
TOKENS = 200


class Told(NamedTuple):
    """One answer, and how long it took."""

    status: int
    took_s: float
    document: dict[str, Any]
    headers: httpx.Headers


@pytest.fixture(scope="module")
def narrow(stage):
    """A stack with few slots, and fewer places to wait in."""
    return stage(
        "narrow",
        engine={
            "arguments": ["--max-num-seqs", "2", "--max-num-queued-reqs", str(ENGINE_MOST)],
            "simulator_arguments": ["--slots", "2", "--ttft-ms", "5", "--itl-ms", "5"],
        },
        gateway={
            "settings": {"admission": {"in_flight": IN_FLIGHT, "queued": QUEUED, "queue_timeout_s": 60}}
        },
    )


def crowd(client: httpx.Client, model: str, count: int) -> list[Told]:
    """So many ask at once; what each was told."""

    def one(number: int) -> Told:
        began = time.monotonic()
        answer = client.post(CHAT, json=body(model, number))
        return Told(answer.status_code, time.monotonic() - began, answer.json(), answer.headers)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def body(model: str, number: int) -> dict[str, Any]:
    """A question whose answer takes its time."""
    asked = [{"role": "user", "content": f"tell me of the sea, number {number}"}]
    return {"model": model, "messages": asked, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def kept():
    """What the crowd at the gateway was told, for all claims about it."""
    return {}


@pytest.fixture
def crowded(kept, narrow, visitor):
    """The crowd at the gateway, once: (what each was told, how much the gateway's count of refusals grew)."""
    if not kept:
        client = visitor(on=narrow, limits=httpx.Limits(max_connections=AT_ONCE), timeout=60.0)
        assert client.get("/v1/models").status_code == 200
        counts = DirectScrape(narrow.gateway_metrics_url, client)
        before = counts.snapshot().total("gateway_shed_requests_total", reason="queue_full") or 0.0
        told = crowd(client, narrow.model, AT_ONCE)
        after = counts.snapshot().total("gateway_shed_requests_total", reason="queue_full") or 0.0
        kept["told"] = told, after - before
    return kept["told"]


def test_who_finds_the_queue_full_is_told_so_at_once(crowded, bound):
    """Beyond slots and places the gateway answers 503 at once, in OpenAI's form, with Retry-After"""
    told, _ = crowded
    refused = [one for one in told if one.status != 200]
    assert refused, f"all of {AT_ONCE} were taken, with room for {IN_FLIGHT + QUEUED}"
    assert {one.status for one in refused} == {503}
    for one in refused:
        assert one.document["error"]["type"] == "service_unavailable"
        assert one.document["error"]["code"] == 503
        assert int(one.headers["retry-after"]) >= 1
    slowest_s = max(one.took_s for one in refused)
    assert slowest_s <= bound("queue-refused-s"), f"one was told after {slowest_s:.2f} s only"


def test_who_was_admitted_has_a_whole_answer(crowded):
    """As many as there are slots and places are answered, each to its last token"""
    told, _ = crowded
    answered = [one.document["usage"]["completion_tokens"] for one in told if one.status == 200]
    assert answered == [TOKENS] * (IN_FLIGHT + QUEUED)


def test_each_refusal_is_counted(crowded):
    """The gateway's count of refusals grew by exactly as many as were refused"""
    told, counted = crowded
    refused = sum(one.status == 503 for one in told)
    assert refused > 0
    assert counted == refused


def test_a_queue_that_was_full_takes_again(crowded, narrow, visitor, asker):
    """After a full queue the next one is served as if nothing had been"""
    assert crowded
    reply = asker(visitor(on=narrow, timeout=10.0), narrow.model)("and now", max_tokens=8)
    assert (reply.status, reply.usage["completion_tokens"]) == (200, 8)


def test_an_engine_that_is_full_says_so_itself(crowded, narrow, visitor, bound):
    """Straight at the engine its own limit holds: 503 at once beyond it, whole answers within"""
    assert crowded
    if narrow.simulated:
        pytest.skip("the simulator has no limit of its own: this is a claim about vLLM")
    engine = visitor(on=narrow, url=narrow.engine_url, key="engine", timeout=60.0)
    told = crowd(engine, narrow.model, AT_ONCE)
    refused = [one for one in told if one.status != 200]
    assert {one.status for one in refused} == {503}
    assert len(told) - len(refused) >= ENGINE_MOST
    assert max(one.took_s for one in refused) <= bound("queue-refused-s")
    whole = {one.document["usage"]["completion_tokens"] for one in told if one.status == 200}
    assert whole == {TOKENS}
    assert engine.post(CHAT, json=body(narrow.model, AT_ONCE)).status_code == 200
