"""The proxies' benchmark: its arithmetic by hand, and one round of it for real."""

from __future__ import annotations

import pytest

from benchmarks.proxies.arms import DIRECT, OURS
from benchmarks.proxies.figures import added, differences, streams_per_core
from benchmarks.proxies.loads import LOADS, Load
from benchmarks.proxies.measured import Run, run_once
from benchmarks.proxies.page import report

SAVED = {
    "machine": {"cores": 2, "memory_gib": 1, "system": "S", "python": "3"},
    "rounds": 2,
    "quick": False,
}


def runs(*, ours_late_ms: float = 3.0, nginx_late_ms: float = 1.0) -> list[Run]:
    """Two rounds; directly 50 to 149 ms, by a proxy later by as much for each request."""
    direct = tuple(50.0 + index for index in range(100))
    late = {"direct": 0.0, "ours": ours_late_ms, "nginx": nginx_late_ms}
    return [
        Run(
            arm,
            64,
            number,
            tuple(value + more for value in direct),
            cpu_s=2.0 * (arm != "direct"),
            wall_s=8.0,
        )
        for number in (1, 2)
        for arm, more in late.items()
    ]


def test_differences_are_taken_request_by_request_not_of_quantiles() -> None:
    crossed = [
        Run("direct", 64, 1, (50.0, 60.0, 70.0)),
        Run("ours", 64, 1, (70.0, 60.0, 50.0)),  # the same quantiles as directly
    ]
    assert differences(crossed, "ours", 64) == [20.0, 0.0, -20.0]


def test_a_round_that_failed_on_either_side_pairs_with_nothing() -> None:
    broken = [
        *runs(),
        Run("direct", 64, 3, problem="p"),
        Run("ours", 64, 3, (1.0,)),
        Run("ours", 64, 4, problem="p"),
    ]
    assert differences(broken, "ours", 64) == [3.0] * 200


def test_streams_per_core_is_streams_times_wall_over_cpu() -> None:
    # 64 streams for 16 s took 4 CPU seconds: a quarter of a core, so 256 on a whole one.
    assert streams_per_core(runs(), "ours", 64) == 256.0
    assert streams_per_core(runs(), "direct", 64) is None


def test_the_goal_compares_with_nginx() -> None:
    assert added(runs(), "ours", 64).p99_ms == 3.0
    assert "Measured: +2.00 ms. reached." in report(SAVED, runs())
    assert "Measured: +2.01 ms. MISSED." in report(SAVED, runs(ours_late_ms=3.01))
    assert "not measured" in report(SAVED, [run for run in runs() if run.arm != "nginx"])


@pytest.mark.parametrize("load", LOADS, ids=lambda load: str(load.streams))
def test_arrivals_keep_so_many_streams_open_by_littles_law(load: Load) -> None:
    if load.rate_per_s is None:
        assert load.streams == 1
    else:
        assert load.rate_per_s * load.stream_s == pytest.approx(load.streams)
    assert load.tokens_per_s == pytest.approx(load.streams * 20)  # 20 tokens a second each


def test_a_real_round_goes_through_the_gateway() -> None:
    load = Load(streams=4, requests=8, tokens=2)
    found = [run_once(arm, load, 1, 7) for arm in (DIRECT, OURS)]
    assert [run.problem for run in found] == [None, None]
    assert [len(run.ttft_ms) for run in found] == [8, 8]
    assert all(value >= 50.0 for run in found for value in run.ttft_ms)  # what the server is told to take
    assert found[0].cpu_s == 0 < found[1].wall_s
