"""Conversations: turns chained before the run, history growing from real answers during it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from instruments.records import Request
from instruments.workloads.conversations import chained, continued, turns_of
from instruments.workloads.lengths import Uniform
from instruments.workloads.mixes import Leave
from instruments.workloads.synthetic import SyntheticWorkload


def sessions(**fields: Any) -> list[Request]:
    told = {"requests_measured": 200, "requests_warmup": 1, "users": 2, "output_tokens": 16, "turns": 3}
    return list(SyntheticWorkload(id="w", description="d", **(told | fields)).requests("m", 1))


def turns(first: Request) -> Iterator[Request]:
    one: Request | None = first
    while one is not None:
        yield one
        one = one.then


def test_turns_hang_on_the_first_and_are_numbered_through_all_sessions() -> None:
    made = [list(turns(first)) for first in sessions(turns=Uniform((1, 4)), think_s=0.5)]
    assert {len(one) for one in made} == {1, 2, 3, 4}
    flat = [turn for one in made for turn in one]
    assert [turn.index for turn in flat] == list(range(len(flat)))
    assert [turn.request_id for turn in flat] == [f"w-1-{number}" for number in range(len(flat))]
    for one in made:
        assert [turn.turn for turn in one] == list(range(len(one)))
        assert [turn.think_s for turn in one] == [0.0, *[0.5] * (len(one) - 1)]
        assert len({turn.phase for turn in one}) == 1
        assert all(len(turn.body["messages"]) == 1 for turn in one)
        assert len({turn.body["messages"][0]["content"] for turn in one}) == len(one)


def test_only_a_first_turn_has_a_length_that_can_be_asked_for() -> None:
    assert [turn.prompt_tokens_asked for turn in turns(sessions(prompt_tokens=30)[0])] == [30, None, None]


def test_a_client_that_leaves_has_no_turn_after_that() -> None:
    made = [list(turns(first)) for first in sessions(leave=Leave(0.3, after_tokens=2))]
    assert {len(one) for one in made} == {1, 2, 3}
    for one in made:
        assert all(turn.cancel_after_tokens is None for turn in one[:-1])
        assert len(one) == 3 or one[-1].cancel_after_tokens == 2


def test_history_grows_from_real_answers() -> None:
    first = sessions(turns=3)[0]
    one, two, three = (turn.body["messages"][0]["content"] for turn in turns(first))
    second = continued(first, "answer one")
    third = continued(second, "answer two")
    assert third.body["messages"] == [
        {"role": "user", "content": one},
        {"role": "assistant", "content": "answer one"},
        {"role": "user", "content": two},
        {"role": "assistant", "content": "answer two"},
        {"role": "user", "content": three},
    ]
    assert (second.index, third.index) == (1, 2)
    assert (second.request_id, third.request_id) == ("w-1-1", "w-1-2")
    assert {key: value for key, value in third.body.items() if key != "messages"} == {
        key: value for key, value in first.body.items() if key != "messages"
    }
    assert third.then is None


def test_continuing_leaves_the_plan_as_it_was() -> None:
    first = sessions(turns=2)[0]
    assert first.then is not None
    continued(first, "an answer")
    assert (len(first.body["messages"]), len(first.then.body["messages"])) == (1, 1)


def test_the_last_turn_has_no_next() -> None:
    with pytest.raises(ValueError, match="w-1-0 is the last turn"):
        continued(sessions(turns=1)[0], "an answer")


def test_a_conversation_is_counted_and_cannot_be_empty() -> None:
    assert [turns_of(one) for one in sessions(turns=3)[:2]] == [3, 3]
    with pytest.raises(ValueError, match="at least one turn"):
        chained([])
