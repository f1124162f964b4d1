"""When a run must stop, and what for."""

from __future__ import annotations

import pytest

from instruments.limits import FAILURES, LimitWatch, RunLimits
from instruments.records import Outcome


def reasons(limits: RunLimits, outcomes: list[Outcome]) -> list[str | None]:
    watch = LimitWatch(limits)
    return [watch.ended(outcome) for outcome in outcomes]


@pytest.mark.parametrize("outcome", sorted(FAILURES))
def test_failures_in_a_row_stop_a_run(outcome: Outcome) -> None:
    said = reasons(RunLimits(consecutive_failures=3), [outcome] * 3)
    assert said == [None, None, "3 requests in a row failed"]


@pytest.mark.parametrize("between", [Outcome.COMPLETED, Outcome.RATE_LIMITED, Outcome.CANCELLED])
def test_anything_else_begins_the_row_anew(between: Outcome) -> None:
    row = [Outcome.FAILED, Outcome.FAILED, between, Outcome.FAILED, Outcome.FAILED]
    assert reasons(RunLimits(consecutive_failures=3), row) == [None] * 5


def test_a_share_of_errors_counts_over_a_full_window_only() -> None:
    """Of the last four, more than a half: the fifth request makes it three of four."""
    limits = RunLimits(error_share=0.5, error_window=4)
    good, bad = Outcome.COMPLETED, Outcome.TIMED_OUT
    assert reasons(limits, [bad, bad, good, good, bad]) == [None] * 5  # 2, and then bad good good bad: 2
    assert reasons(limits, [bad, bad, good, bad]) == [None, None, None, "3 of the last 4 requests failed"]
    assert reasons(limits, [good, bad, good, bad, bad])[-1] == "3 of the last 4 requests failed"


def test_more_in_flight_than_the_bound_is_saturation() -> None:
    watch = LimitWatch(RunLimits(in_flight=10))
    assert watch.sent(10) is None
    assert watch.sent(11) == "the server is saturated: more than 10 requests are in flight"
    assert LimitWatch(RunLimits()).sent(10**6) is None
