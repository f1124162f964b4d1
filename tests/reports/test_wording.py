"""How numbers are said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from instruments.slo import State, Verdict
from reports import wording
from tests.reports.runs import objective


def verdict(value: float | None, low: float | None, high: float | None, **limit: object) -> Verdict:
    return Verdict(objective(**limit), "load", State.MET, "", 100, 3, value, low, high)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.0, "0"),
        (0.12345, "0.1235"),
        (12489.4, "12,489"),
        (999.94, "999.9"),
        (999.96, "1,000"),
    ],
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


def rested(indicator: str = "ttft_s", statistic: str = "p95", **fields: Any) -> Verdict:
    """A verdict that rests on 1,200 of something, 8 of them bad."""
    limit = {"at_least": 1.0} if indicator == "requests_per_s" else {"at_most": 2.0}
    asked = objective(indicator=indicator, statistic=statistic, **{"at_most": None, **limit})
    return Verdict(asked, "load", State.MET, "", 1200, 8, 1.0, **fields)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (rested(), "8 of 1,200 bad"),
        (rested(requests_effective=1200.0), "8 of 1,200 bad"),
        (rested(requests_effective=410.4), "8 of 1,200 bad (≈ 410 independent)"),
        (rested("itl_s", "p99", requests_effective=60.0), "8 of 1,200 bad (≈ 60 independent)"),
        (rested(statistic="mean", requests_effective=410.4), "of 1,200 requests (≈ 410 independent)"),
        (rested("requests_per_s", "rate"), "of 1,200 requests"),
        (rested("queue_depth", "max"), "of 1,200 samples"),
        (rested("server_ttft_s", "p99"), "of 1,200 requests"),
    ],
)
def test_what_a_verdict_rests_on(one: Verdict, said: str) -> None:
    assert wording.bad_of(one) == said


def test_what_was_counted_has_no_confidence_and_rests_on_no_samples() -> None:
    counter = replace(rested("preemptions", "count"), requests=0, bad=0)
    assert (wording.bad_of(counter), wording.is_counted(counter)) == ("–", True)
    assert wording.is_counted(rested("queue_depth", "max", test="counted, not estimated"))
    assert not wording.is_counted(rested(test="exact binomial test at the planned size"))


def test_what_was_left_out_is_said() -> None:
    assert wording.trimmed(rested()) == ""
    assert wording.trimmed(rested(trimmed=40)) == "the first 40 left out: not steady yet"


def test_a_family_shares_its_chance_of_a_false_alarm() -> None:
    of_gate = [rested(family=20), rested(family=20)]
    assert wording.shared_alarms([rested()]) == []
    assert wording.shared_alarms(of_gate) == ["20 objectives share a 5 % chance of any false alarm"]
    other = replace(rested(family=3), objective=objective(family="soak", confidence=0.99))
    assert wording.shared_alarms([*of_gate, other]) == [
        "20 objectives of the family gate share a 5 % chance of any false alarm",
        "3 objectives of the family soak share a 1 % chance of any false alarm",
    ]


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({}, ""),
        ({"looks": "planned", "requests_most": 2000}, ""),
        (
            {"looks": "open", "requests_most": 2000, "decided": True},
            "sampled until decided: 312 of at most 2,000 requests",
        ),
        ({"looks": "open", "requests_most": 2000}, "sampled, and not decided: 312 of at most 2,000 requests"),
    ],
)
def test_how_long_a_run_was_sampled(sampling: dict[str, Any], said: str) -> None:
    assert wording.sampled(sampling, 312) == said


def test_every_unit_is_shown_as_people_say_it() -> None:
    memory = rested("gpu_memory_bytes", "max")
    assert wording.limit(replace(memory.objective, at_most=40 * 2**30)) == "≤ 40 GiB"
    assert wording.limit(rested("gpu_power_w", "max").objective) == "≤ 2 W"
    assert wording.limit(rested("requests_per_s", "rate").objective) == "≥ 1 requests/s"
    price = objective(indicator="cost_per_good_token", statistic="value", at_most=2e-6, cost_per_hour=3.0)
    assert wording.limit(price) == "≤ 2 per million tokens"
    assert wording.subject(price) == "cost per good token"
    assert wording.subject(memory.objective) == "GPU memory max"


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
