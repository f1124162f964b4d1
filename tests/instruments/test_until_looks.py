"""Looks at a run that goes on: at the plan's beginning without gaps, not before its time, not too often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from instruments import looks
from instruments.looks import Looks
from instruments.records import Outcome, Phase, RequestRecord
from tests.instruments.shapes import record


class Clock:
    """Time that passes when it is told to; stands in for the module `time`."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class Asked:
    """A rule that notes what it was shown, and takes so long."""

    def __init__(self, clock: Clock, *, takes_s: float = 0.0, answer: bool = False) -> None:
        self.shown: list[list[int]] = []
        self._clock, self._takes_s, self._answer = clock, takes_s, answer

    def __call__(self, records: Sequence[RequestRecord]) -> bool:
        self.shown.append([one.index for one in records])
        self._clock.now_s += self._takes_s
        return self._answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(looks, "time", found)
    return found


def test_a_rule_sees_the_plan_up_to_the_first_that_has_not_ended(clock: Clock) -> None:
    rule = Asked(clock)
    look = Looks(rule, fewest=1)
    look.enough([record(0), record(2), record(1), record(4)])
    clock.now_s += 1
    look.enough([record(6), record(5)])  # 3 takes long: 4, 5 and 6 have to wait for it
    clock.now_s += 1
    look.enough([record(3)])
    assert rule.shown == [[0, 1, 2], [0, 1, 2, 3, 4, 5, 6]]


def test_only_measured_requests_are_shown_however_they_ended(clock: Clock) -> None:
    rule = Asked(clock, answer=True)
    ended = [record(0, phase=Phase.WARMUP), record(1, Outcome.FAILED), record(2, Outcome.NOT_SENT)]
    assert Looks(rule, fewest=2).enough([*ended, record(3, phase=Phase.COOLDOWN), record(5)]) == 4
    assert rule.shown == [[1, 2]]


def test_nobody_is_asked_before_the_fewest_are_measured(clock: Clock) -> None:
    rule = Asked(clock, answer=True)
    look = Looks(rule, fewest=3)
    assert look.enough([record(0, phase=Phase.WARMUP), record(1), record(2)]) is None
    clock.now_s += 1
    assert rule.shown == []
    assert look.enough([record(3)]) == 4


def test_a_conversation_is_one_of_the_fewest_whatever_its_turns(clock: Clock) -> None:
    rule = Asked(clock)
    talk = [replace(record(index), turn=index % 3) for index in range(6)]
    look = Looks(rule, fewest=2)
    look.enough(talk[:3])
    assert rule.shown == []
    look.enough(talk[3:])
    assert rule.shown == [[0, 1, 2, 3, 4, 5]]


def test_a_look_needs_five_per_cent_more_and_a_quarter_of_a_second(clock: Clock) -> None:
    rule = Asked(clock)
    look = Looks(rule, fewest=1)
    for records, then_s in ((range(100), 0.2), (range(100, 110), 0.1), (range(110, 115), 1.0), ([115], 1.0)):
        look.enough(record(index) for index in records)
        clock.now_s += then_s
    # 100 at once; at 0.2 s it is too early; at 0.3 s there are 115, 15 more; one more is not 5 % of them.
    assert [len(shown) for shown in rule.shown] == [100, 115]


def test_an_expensive_rule_is_asked_the_less(clock: Clock) -> None:
    """Each look takes 0.5 s: with a twentieth of a core the next may begin 10 s after its end."""
    rule = Asked(clock, takes_s=0.5)
    look = Looks(rule, fewest=1)
    began = []
    for number in range(300):
        before = len(rule.shown)
        at_s = clock.now_s
        look.enough([record(2 * number), record(2 * number + 1)])
        if len(rule.shown) > before:
            began.append(at_s)
        clock.now_s += 0.1
    gaps = [later - earlier for earlier, later in pairwise(began)]
    assert len(began) == 3
    assert all(gap >= 10.5 for gap in gaps)
