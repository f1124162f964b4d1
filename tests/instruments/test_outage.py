"""Outages: worked out by hand on short stories of requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruments.records import Outcome, RequestRecord
from instruments.statistics.outage import outage
from tests.instruments.shapes import SECOND, record

LOST = Outcome.FAILED


def told(index: int, due: int, outcome: Outcome, after_s: float) -> RequestRecord:
    """A request that was told no, so long after it was sent."""
    return replace(record(index, outcome, due=due), done_ns=round((due + after_s) * SECOND), status=503)


# Each good answer takes 3 s. The fault comes at 10 s: the answer asked for at 5 had ended, at 8 and 9 not.
STORY = [
    record(0, due=5),
    record(1, due=8),
    record(2, Outcome.TRUNCATED, due=9),
    told(3, 10, Outcome.REFUSED, 0.5),
    told(4, 12, LOST, 2.0),
    record(5, Outcome.FAILED, due=13),
    record(6, due=14),
    record(7, due=15),
]


def test_what_a_fault_cost() -> None:
    found = outage(STORY, 10 * SECOND)
    assert (found.in_flight, found.lost_in_flight, found.lost_before) == (2, 1, 0)
    assert found.asked_meanwhile == 3
    assert found.lost_meanwhile == {Outcome.REFUSED: 1, Outcome.FAILED: 2}
    assert found.lost == 4
    assert found.good_share() == 0
    assert found.good_after == 2


def test_who_found_nobody_to_connect_to_is_lost_too() -> None:
    unconnected = [replace(record(8 + n, LOST, due=11 + n), sent_ns=None) for n in range(2)]
    found = outage([*STORY, *unconnected], 10 * SECOND)
    assert found.lost == 6
    assert found.lost_meanwhile == {Outcome.REFUSED: 1, Outcome.FAILED: 4}


def test_it_is_over_when_the_first_is_asked_after_which_nothing_is_lost() -> None:
    found = outage(STORY, 10 * SECOND)
    assert found.back_after_s() == 4.0
    assert found.back_after_s(since_ns=12 * SECOND) == 2.0
    assert found.lost_last_ns == 13 * SECOND


def test_one_good_answer_between_losses_is_no_end() -> None:
    found = outage([*STORY, record(8, LOST, due=16), record(9, due=18)], 10 * SECOND)
    assert found.back_after_s() == 8.0
    assert found.asked_meanwhile == 6
    assert found.good_share() == pytest.approx(2 / 6)


def test_the_longest_wait_for_a_no_is_that_of_those_who_were_told() -> None:
    assert outage(STORY, 10 * SECOND).refused_after_s == 2.0
    assert outage([record(0, LOST, due=11)], 10 * SECOND).refused_after_s is None


def test_without_a_loss_there_was_no_outage() -> None:
    found = outage([record(0, due=8), record(1, due=11)], 10 * SECOND)
    assert found.back_after_s() == 0
    assert (found.lost, found.in_flight, found.asked_meanwhile, found.good_after) == (0, 1, 0, 1)
    assert found.good_share() is None


def test_nothing_good_after_the_last_loss_is_no_end() -> None:
    found = outage([record(0, due=11), record(1, LOST, due=12)], 10 * SECOND)
    assert found.back_after_s() is None
    assert (found.asked_meanwhile, found.good_after) == (2, 0)


def test_only_those_in_flight_lost_and_the_next_one_is_good() -> None:
    found = outage([record(0, Outcome.TRUNCATED, due=9), record(1, due=11)], 10 * SECOND)
    assert found.back_after_s() == 1.0
    assert (found.lost, found.lost_in_flight, found.asked_meanwhile) == (1, 1, 0)


def test_what_was_lost_before_is_told_apart() -> None:
    found = outage([told(0, 3, LOST, 1.0), record(1, due=11)], 10 * SECOND)
    assert (found.lost_before, found.lost, found.back_after_s()) == (1, 0, 0)


def test_clients_that_left_and_requests_never_sent_say_nothing() -> None:
    found = outage([record(0, Outcome.CANCELLED, due=11), record(1, Outcome.NOT_SENT, due=12)], 10 * SECOND)
    assert (found.lost, found.asked_meanwhile) == (0, 0)
