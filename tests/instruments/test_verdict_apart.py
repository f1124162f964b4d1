"""Load from machines that began apart, or whose clocks nobody knows well: rates are open, latencies stand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruments.records import ClientCheck
from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.statistics import summarize
from tests.instruments.shapes import CALM, load_run, record

TTFT = ServiceLevelObjective("a", "d", "w", "ttft_s", "p90", at_most=1.5)
RATE = ServiceLevelObjective("b", "d", "w", "requests_per_s", "rate", at_least=1.0)
# 60 requests in 10 s: nearly 6 a second.
RECORDS = [record(index, due=index // 6) for index in range(60)]
NEAR = replace(CALM, stamps="kernel", start_spread_s=0.001, clock_error_s=0.0005)


def judged(of: ServiceLevelObjective, check: ClientCheck) -> Verdict:
    return evaluate(summarize(load_run(RECORDS, client=check)), of)


def test_machines_that_began_together_are_judged_as_one() -> None:
    assert judged(RATE, NEAR).state is judged(RATE, CALM).state
    assert judged(TTFT, NEAR).state is State.MET


@pytest.mark.parametrize(("spread_s", "error_s"), [(0.06, 0.0), (0.0, 0.051)], ids=["starts", "clocks"])
def test_no_rate_stands_of_machines_too_far_apart(spread_s: float, error_s: float) -> None:
    """Bounds of 50 ms, and of 1 % of the 10 s window: 100 ms, of which a clock's error counts twice."""
    far = replace(NEAR, start_spread_s=spread_s, clock_error_s=error_s)
    verdict = judged(RATE, far)
    assert verdict.state is State.INCONCLUSIVE
    assert verdict.reason.startswith("load came from machines too far apart in time: ")
    assert judged(TTFT, far).state is State.MET
