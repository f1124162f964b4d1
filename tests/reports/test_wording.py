"""How numbers are said."""

from __future__ import annotations

import pytest

from instruments.slo import State, Verdict
from reports import wording
from tests.reports.runs import objective


def verdict(value: float | None, low: float | None, high: float | None, **limit: object) -> Verdict:
    return Verdict(objective(**limit), "load", State.MET, "", 100, 3, value, low, high)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "–"), (float("inf"), "–"), (0.0, "0"), (0.12345, "0.1235"), (12489.4, "12489"), (999.96, "1000")],
)
def test_undefined_is_a_dash_and_never_0(value: float | None, said: str) -> None:
    assert wording.figure(value) == said


def test_value_interval_and_limit_share_a_unit() -> None:
    one = verdict(0.412, 0.398, 0.43, at_most=0.5)
    assert (wording.measured(one), wording.limit(one.objective)) == ("412 ms [398, 430]", "≤ 500 ms")
    slow = verdict(1.4, 0.9, None, at_most=1.2)
    assert (wording.measured(slow), wording.limit(slow.objective)) == ("1.4 s [0.9, ∞]", "≤ 1.2 s")


def test_a_share_is_a_percentage_with_its_denominator() -> None:
    assert wording.share_of(3, 200) == "3 of 200 (1.5 %)"
    assert wording.share_of(0, 0) == "0 of 0"


def test_headroom_is_limit_over_value() -> None:
    assert wording.headroom(verdict(0.4, None, None, at_most=0.5)) == "1.25×"
    assert wording.headroom(verdict(None, None, None, at_most=0.5)) == "–"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0, "0.00 s"),
        (0.001, "< 0.01 s"),
        (0.42, "0.42 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (185.0, "3 min 05 s"),
        (7805.0, "2 h 10 min"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert wording.duration(seconds) == said


def test_what_is_not_a_time_is_shown_as_it_stands() -> None:
    assert wording.moment("2026-11-21T06:00:00+00:00") == "2026-11-21 06:00:00 UTC"
    assert wording.moment("yesterday") == "yesterday"
    assert wording.between("yesterday", None) is None
