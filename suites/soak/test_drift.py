"""Does anything drift: latency, memory, files, threads, the cache, over as long as the place gives?

Workload: `soak`, an open loop of four requests a second, for soak-duration-s (scaled). Each trend is held
against soak-horizon-s: a bound is kept only when a trend's whole interval, gone on for so long, keeps it.
Bounds: soak-* of the catalog; INCONCLUSIVE where an interval is wider than its bound: more time narrows it.
Needs: nobody else's load; for memory, files and threads processes that were started here. Costs its duration.
"""

from __future__ import annotations

import pytest

from instruments.records import Outcome
from instruments.slo.bounded import Bounded
from instruments.slo.verdict import ObjectiveInconclusive, State

pytestmark = [
    pytest.mark.soak,
    pytest.mark.slow,
    pytest.mark.needs("exclusive"),
    pytest.mark.claim("host-a6000", "nobody"),
]


def test_every_answer_of_the_soak_is_whole(soaked):
    """From the first to the last hour no answer fails, and none is short"""
    assert soaked.measured.summary.complete, soaked.measured.summary.stopped_because
    assert soaked.measured.summary.due > 0
    assert soaked.measured.summary.outcomes == {Outcome.COMPLETED: soaked.measured.summary.due}


@pytest.mark.parametrize("indicator", ["ttft_s", "tpot_s"])
def test_latency_does_not_drift(soaked, bound, indicator):
    """The first token, and each after it, takes no longer at the end than at the beginning"""
    grown = soaked.latency_growth(indicator)
    grown.require_at_most(bound(f"soak-{indicator.removesuffix('_s')}-growth-s"))


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("resource", "limit", "unit"),
    [
        ("rss_bytes", "soak-memory-growth-bytes", "bytes"),
        ("fds", "soak-fds-growth", ""),
        ("threads", "soak-threads-growth", ""),
    ],
    ids=["memory", "files", "threads"],
)
def test_no_part_holds_more_and_more(soaked, bound, resource, limit, unit):
    """No part of the stack takes more and more memory, files or threads"""
    parts = soaked.parts(resource)
    assert parts, "nothing was seen of any part"
    every(bound(limit), *(soaked.growth(f"{part} {resource}", unit) for part in parts))


@pytest.mark.needs("engine_metrics")
def test_the_cache_does_not_fill_up(soaked, scrape, parts, bound):
    """What requests hold of the KV cache does not grow, and nothing is held when the last has ended"""
    soaked.growth("kv_usage", "").require_at_most(bound("soak-kv-growth-share"))

    def held() -> float:
        found = scrape.snapshot()
        return (found.total("vllm:num_requests_running") or 0) + (
            found.total("vllm:num_requests_waiting") or 0
        )

    assert parts.seen(lambda: not held(), bound("slot-freed-s")), f"{held():.0f} requests still held"


def every(limit: float, *found: Bounded) -> None:
    """Raise for one that is surely over the limit, else for one of which nobody knows."""
    for state in (State.VIOLATED, State.INCONCLUSIVE):
        for one in found:
            if one.beside(limit) is state:
                one.require_at_most(limit)
    if not found:
        raise ObjectiveInconclusive("nothing was seen", expected="a trend", seen="none")
