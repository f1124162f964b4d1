"""What does a slow network do to a stream, a lossy one, one that breaks, and one that goes dark?

Workloads: `weather` through a link with a round trip of 150 ms, `weather-lone` through one that loses 2 % of
its packets, each beside the same through fair weather; `cut-off` for what is reset in the middle.
Bounds: network-* of the catalog. Needs: weather (root on Linux); for slots the engine's metrics.
Costs: half a minute; nothing of the stack is broken by it, only its clients are.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from instruments.limits import RunLimits
from instruments.records import Outcome
from instruments.slo.verdict import ObjectiveInconclusive
from instruments.statistics.quantiles import quantile

pytestmark = [pytest.mark.reliability, pytest.mark.claim("nobody")]

CHAT = "/v1/chat/completions"
ROUND_TRIP_S = 0.15
LOSS_SHARE = 0.02
HALF_OPEN = 4


def texts(measured: Any) -> dict[int, tuple[int | None, str | None]]:
    """Index -> tokens and text of what was completed, as a hash."""
    return {
        record.index: (record.completion_tokens, record.text_sha256)
        for record in measured.run.records
        if record.outcome is Outcome.COMPLETED
    }


@pytest.fixture(scope="module")
def kept():
    """Loads that more than one claim of this file looks at."""
    return {}


@pytest.fixture
def through(weather, load_on, stack, kept):
    """The weather workload through a link, run once: (measured, packets that were lost)."""

    def loaded(name, workload="weather", **conditions):
        if name not in kept:
            link = weather(**conditions)
            measured = load_on(stack, workload, name=f"network.{name}", base_url=link.base_url)
            kept[name] = measured, link.packets_lost
        return kept[name]

    return loaded


def test_a_slow_network_costs_no_answer(through):
    """With a round trip of 150 ms every stream is completed, to the last token"""
    measured, _ = through("slow", round_trip_s=ROUND_TRIP_S)
    assert measured.summary.due > 0
    assert measured.summary.outcomes == {Outcome.COMPLETED: measured.summary.due}
    assert {tokens for tokens, _ in texts(measured).values()} == {measured.workload.output_tokens}


def test_a_slow_network_adds_its_round_trip_and_no_more(through, bound):
    """On a connection that is open already TTFT grows by one round trip: no second one, no handshake anew"""
    fair, slow = through("fair")[0], through("slow", round_trip_s=ROUND_TRIP_S)[0]
    before, after = (quantile(one.summary.distributions["ttft_s"], 0.5) for one in (fair, slow))
    assert before is not None, "nothing was measured in fair weather"
    assert after is not None, "nothing was measured on the slow network"
    said = f"TTFT p50 {before:.3f} s in fair weather, {after:.3f} s with a round trip of {ROUND_TRIP_S} s"
    allowed = bound("network-ttft-excess-s")
    assert ROUND_TRIP_S - allowed <= after - before <= ROUND_TRIP_S + allowed, said


def test_a_slow_network_does_not_slow_the_cadence(through, bound):
    """Tokens keep their pace on a slow network: each is as late as the first, and no later"""
    fair, slow = through("fair")[0], through("slow", round_trip_s=ROUND_TRIP_S)[0]
    before, after = (quantile(one.summary.distributions["tpot_s"], 0.5) for one in (fair, slow))
    assert before is not None, "nothing was measured in fair weather"
    assert after is not None, "nothing was measured on the slow network"
    allowed = bound("network-tpot-excess-s")
    assert after - before <= allowed, (
        f"TPOT p50 {before:.4f} s in fair weather, {after:.4f} s on the slow net"
    )


def test_a_lossy_network_costs_no_answer_and_changes_none(through):
    """With 2 % of packets lost every stream is completed, to the token and letter by letter as without"""
    fair, _ = through("fair-lone", workload="weather-lone")
    lossy, lost = through("lossy", workload="weather-lone", loss_share=LOSS_SHARE)
    if not lost:
        raise ObjectiveInconclusive("no packet was lost: this says nothing", expected="some of all", seen="0")
    assert lossy.summary.outcomes == {Outcome.COMPLETED: lossy.summary.due}
    plain, found = texts(fair), texts(lossy)
    assert len(plain) == len(found) > 0
    changed = [index for index in plain if found[index] != plain[index]]
    assert not changed, f"{len(changed)} of {len(plain)} answers changed, with {lost} packets lost"


def test_a_lossy_network_stalls_no_stream_for_long(through, bound):
    """A lost packet is sent again soon: no gap in a stream is longer than TCP's own patience explains"""
    lossy, lost = through("lossy", workload="weather-lone", loss_share=LOSS_SHARE)
    if not lost:
        raise ObjectiveInconclusive("no packet was lost: this says nothing", expected="some of all", seen="0")
    longest = max(lossy.summary.chunk_gap_s)
    assert longest <= bound("network-stall-s"), f"a gap of {longest:.2f} s, with {lost} packets lost"


@pytest.mark.needs("engine_metrics", "exclusive")
def test_a_reset_in_the_middle_is_seen_as_one_and_frees_its_slots(
    weather, load_beside, stack, scrape, parts, bound
):
    """A stream that is reset never passes for a whole answer, and its slot is free soon after"""
    link, users = weather(), 8
    limits = RunLimits(consecutive_failures=10**9)
    with load_beside(stack, "cut-off", name="network.cut", base_url=link.base_url, limits=limits) as going:
        began = parts.seen(lambda: running(scrape) >= users, 30.0)
        link.cut()
        freed = parts.seen(lambda: running(scrape) == 0, bound("slot-freed-s"))
        left = running(scrape)
        measured = going.result()
    found = measured.summary.outcomes
    if not began:
        raise ObjectiveInconclusive("the streams never ran all at once", expected=f"{users}", seen=str(found))
    whole = measured.workload.output_tokens
    wrong = [one for one in measured.run.records if one.outcome is Outcome.COMPLETED]
    assert all(record.completion_tokens == whole for record in wrong), "a cut stream passed for a whole one"
    assert found.get(Outcome.TRUNCATED, 0) + found.get(Outcome.FAILED, 0) >= 1, f"nothing was cut: {found}"
    assert freed, f"{left:.0f} of {users} slots still taken {bound('slot-freed-s')} s after the reset"


@pytest.mark.needs("engine_metrics", "exclusive")
def test_a_client_in_the_dark_holds_no_slot_for_ever(weather, visitor, client, stack, scrape, parts, bound):
    """Of a client that vanished without a word the slot is free within a bound, and others are served"""
    link = weather()
    patience = httpx.Timeout(30.0, read=2.0)
    lost = visitor(url=link.base_url, timeout=patience)
    with ExitStack() as streams:
        lines = []
        for number in range(HALF_OPEN):
            asked = lost.stream("POST", CHAT, json=long_answer(stack, number))
            lines.append(streams.enter_context(asked).iter_lines())
            assert next(lines[-1]).startswith("data: ")
        link.dark()
        began = time.monotonic()
        assert client.get("/v1/models").status_code == 200, "others are not served meanwhile"
        for one in lines:
            with pytest.raises(httpx.ReadTimeout):
                _ = [*one]  # no end of a stream, no [DONE]: only silence
        freed = parts.seen(lambda: running(scrape) == 0, bound("network-dark-freed-s"))
        left, took_s = running(scrape), time.monotonic() - began
        link.cut()
    assert freed, f"{left:.0f} of {HALF_OPEN} slots still taken after {took_s:.0f} s in the dark"


def running(scrape: Any) -> float:
    """Requests that hold a slot of the engine."""
    return scrape.snapshot().total("vllm:num_requests_running") or 0.0


def long_answer(stack: Any, number: int) -> dict[str, Any]:
    """A body that asks for as many tokens as fit."""
    return {
        "model": stack.model,
        "messages": [{"role": "user", "content": f"write on and on, number {number}"}],
        "max_tokens": (stack.max_model_len or 1024) - 200,
        "ignore_eos": True,
        "stream": True,
    }
