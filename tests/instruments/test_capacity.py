"""The search for a knee: which levels it tries, what it says of them, and how often that is right."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from instruments.errors import ConfigurationError
from instruments.slo.capacity import CapacityResult, CapacitySearch
from instruments.slo.verdict import State

MET, VIOLATED, INCONCLUSIVE = State.MET, State.VIOLATED, State.INCONCLUSIVE
Judge = Callable[[float], State]


def searched(search: CapacitySearch, judge: Judge) -> CapacityResult:
    while (level := search.next_level()) is not None:
        assert search.next_level() == level
        search.tell(level, judge(level))
    return search.result()


def knee(at: float, unsure: float = 0.0) -> Judge:
    """MET up to the knee, VIOLATED above it; INCONCLUSIVE within `unsure` of it."""

    def judge(level: float) -> State:
        if abs(level - at - 0.5) < unsure:
            return INCONCLUSIVE
        return MET if level <= at else VIOLATED

    return judge


@pytest.mark.parametrize("start", [None, 64])
@pytest.mark.parametrize("at", range(1, 128))
def test_every_knee_is_found_exactly_within_the_bound(at: int, start: int | None) -> None:
    result = searched(CapacitySearch(1, 128, start=start, probes_most=14), knee(at))
    assert (result.low, result.high) == (at, at)
    assert len(result.probes) <= 14
    assert f"MET at {at}, VIOLATED at {at + 1}" in result.reason


def test_levels_double_and_then_halve() -> None:
    result = searched(CapacitySearch(1, 128), knee(21))
    assert [probe.level for probe in result.probes] == [1, 2, 4, 8, 16, 32, 24, 20, 22, 21]
    from_the_promise = searched(CapacitySearch(1, 128, start=64), knee(21))
    assert [probe.level for probe in from_the_promise.probes] == [64, 32, 16, 24, 20, 22, 21]


def test_a_rate_is_searched_in_steps_of_its_resolution() -> None:
    result = searched(CapacitySearch(0.5, 40, resolution=0.5, probes_most=16), knee(12.7))
    assert (result.low, result.high) == (12.5, 12.5)


def test_nothing_is_said_of_what_was_not_tried() -> None:
    all_met = searched(CapacitySearch(1, 100), knee(1000))
    assert (all_met.low, all_met.high) == (100, None)
    assert all_met.reason == "MET at 100 and nothing higher VIOLATED; the highest that was tried is 100"
    none_met = searched(CapacitySearch(8, 100, start=64), knee(3))
    assert (none_met.low, none_met.high) == (None, 7)
    assert none_met.reason == "VIOLATED at 8 and nothing lower MET; the lowest that was tried is 8"
    unknown = searched(CapacitySearch(1, 100), lambda _: INCONCLUSIVE)
    assert (unknown.low, unknown.high) == (None, None)
    assert "no level was decided, from 1 to 100" in unknown.reason
    assert CapacitySearch(1, 2).result().reason == "nothing was tried"


@pytest.mark.parametrize("at", [6, 30, 40, 63, 90])
def test_an_inconclusive_middle_is_narrowed_from_both_sides(at: int) -> None:
    """Those within five of the knee are not decided: the levels next to them are the ends."""
    result = searched(CapacitySearch(1, 128, start=64, probes_most=30), knee(at, unsure=5))
    assert (result.low, result.high) == (at - 5, at + 5)


def test_when_the_probes_are_spent_the_interval_is_what_is_known_and_says_so() -> None:
    result = searched(CapacitySearch(1, 128, probes_most=7), knee(21))
    assert [probe.level for probe in result.probes] == [1, 2, 4, 8, 16, 32, 24]
    assert (result.low, result.high) == (16, 23)
    assert "the 7 probes are spent" in result.reason


def test_a_met_above_a_violated_is_no_knee_and_shows_its_evidence() -> None:
    search = CapacitySearch(1, 128, start=16, confirm=True)
    result = searched(search, lambda level: VIOLATED if level == 16 else MET)
    assert (result.low, result.high, result.violated, result.monotone) == (None, None, None, False)
    assert result.promise(64) is INCONCLUSIVE
    assert result.reason == "not monotone: MET at 32, VIOLATED at 16"
    assert result.promise(8) is INCONCLUSIVE
    assert search.next_level() is None


def test_confirming_costs_one_probe_and_changes_no_knee() -> None:
    plain = searched(CapacitySearch(1, 128, start=64), knee(21))
    confirmed = searched(CapacitySearch(1, 128, start=64, confirm=True), knee(21))
    assert (confirmed.low, confirmed.high) == (plain.low, plain.high)
    assert [one.level for one in confirmed.probes] == [64, 128, *(one.level for one in plain.probes[1:])]


def test_a_promise_is_kept_broken_or_open() -> None:
    result = searched(CapacitySearch(1, 128, probes_most=7), knee(21))  # 16 to 23
    assert [result.promise(level) for level in (16, 17, 23, 24, 64)] == [
        MET, INCONCLUSIVE, INCONCLUSIVE, VIOLATED, VIOLATED,
    ]  # fmt: skip
    assert result.headroom(16) == (1.0, 24 / 16)  # at least, and below
    at_least = searched(CapacitySearch(1, 64, start=64), knee(100))
    assert at_least.promise(64) is MET
    assert at_least.promise(65) is INCONCLUSIVE
    assert at_least.headroom(64) == (1.0, None)
    assert searched(CapacitySearch(1, 64, start=64), knee(0)).headroom(64) == (None, 1 / 64)


@pytest.mark.parametrize(
    ("at", "resolution", "promise", "lowest_violated"),
    [(62, 8, 60, 64), (63.7, 1, 63.5, 64), (12.7, 0.5, 12.6, 13)],
)
def test_a_promise_between_two_levels_was_not_tried_and_is_not_called_broken(
    at: float, resolution: float, promise: float, lowest_violated: float
) -> None:
    """Each of these holds in truth: VIOLATED begins at the lowest level that was VIOLATED."""
    search = CapacitySearch(resolution, 128, start=promise, resolution=resolution, probes_most=16)
    result = searched(search, knee(at))
    assert promise <= at
    assert result.violated == lowest_violated
    assert result.high == lowest_violated - resolution
    assert result.promise(promise) is INCONCLUSIVE
    assert result.promise(lowest_violated) is VIOLATED
    low, below = result.headroom(promise)
    assert low is not None
    assert below is not None
    assert low <= at / promise < below


def test_a_level_is_the_promise_that_it_is_but_for_rounding() -> None:
    """0.3 was promised; 3 steps of 0.1 are 0.30000000000000004."""
    kept = searched(CapacitySearch(0.1, 1, resolution=0.1, start=0.3), lambda level: MET)
    assert kept.promise(1.0) is MET
    broken = searched(CapacitySearch(0.1, 1, resolution=0.1, start=0.3), knee(0.25))
    assert broken.violated != 0.3
    assert broken.promise(0.3) is VIOLATED


def test_the_knee_is_inside_as_often_as_is_said_when_probes_err_as_they_may() -> None:
    """Every probe near the knee is wrong as often as it may be, those far from it are right."""
    inside, searches = 0, 2000
    for seed in range(searches):
        random = Random(seed)
        at = random.randint(1, 127)
        search = CapacitySearch(1, 128, start=random.choice([1, 64]), confidence=0.95)
        true = knee(at)

        def judge(
            level: float,
            random: Random = random,
            at: int = at,
            true: Judge = true,
            error: float = search.probe_error,
        ) -> State:
            if abs(level - at) < 3 and random.random() < 0.3:
                return INCONCLUSIVE
            wrong = random.random() < error
            return true(level) if not wrong else VIOLATED if true(level) is MET else MET

        result = searched(search, judge)
        low, high = result.low or 0, 128 if result.high is None else result.high
        inside += result.monotone and low <= at <= high
        assert len(result.probes) <= 12
    assert search.probe_error == pytest.approx(0.05 / 12)
    assert inside / searches >= 0.95


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"lowest": 9, "highest": 8}, "lowest <= start <= highest"),
        ({"lowest": 1, "highest": 8, "start": 9}, "lowest <= start <= highest"),
        ({"lowest": 0, "highest": 8}, "one resolution <= lowest"),
        ({"lowest": 1, "highest": 8, "growth": 1.0}, "growth above 1"),
        ({"lowest": 1, "highest": 8, "probes_most": 0}, "at least one probe"),
        ({"lowest": 1, "highest": 8, "confidence": 1.0}, "confidence from 0.5"),
    ],
)
def test_bounds_that_are_none_are_refused(bounds: dict[str, float], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        CapacitySearch(**bounds)  # type: ignore[arg-type]
    assert told in str(refused.value)
