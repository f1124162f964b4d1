"""Workloads: complete before the run, the same bytes for the same seed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from instruments.arrivals import ClosedLoop, Constant
from instruments.records import CHAT_PATH, COMPLETIONS_PATH, Phase
from instruments.workloads.synthetic import SyntheticWorkload


def workload(**fields: Any) -> SyntheticWorkload:
    told = {"requests_measured": 50, "output_tokens": 16, "users": 2, **fields}
    return SyntheticWorkload(id="w", description="d", **told)


def as_bytes(made: SyntheticWorkload, seed: int) -> list[bytes]:
    return [json.dumps(dict(one.body)).encode() for one in made.requests("m", seed)]


def prompts(made: SyntheticWorkload, seed: int = 1) -> list[str]:
    return [one.body["messages"][0]["content"] for one in made.requests("m", seed)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert as_bytes(workload(), 1) == as_bytes(workload(), 1)
    assert not set(as_bytes(workload(), 1)) & set(as_bytes(workload(), 2))


def test_the_bytes_of_a_seed_do_not_change_between_releases() -> None:
    """Baselines are compared across months: a change here is a change of every workload's hash."""
    assert prompts(workload(prompt_words=6), seed=7)[:2] == [
        "0 thunder window bridge copper basket",
        "1 meadow saddle market saddle timber",
    ]


def test_no_two_prompts_are_the_same_nor_begin_the_same() -> None:
    first_words = [prompt.split()[0] for prompt in prompts(workload(requests_measured=500))]
    assert len(set(first_words)) == 504


def test_a_prompt_has_the_number_of_words_that_was_asked_for() -> None:
    for words in (1, 2, 24):
        assert {len(prompt.split()) for prompt in prompts(workload(prompt_words=words))} == {words}


def test_warm_up_comes_first_and_is_numbered_on() -> None:
    made = list(workload(requests_warmup=3, requests_measured=4).requests("m", 1))
    assert [one.phase for one in made] == [Phase.WARMUP] * 3 + [Phase.MEASURED] * 4
    assert [one.index for one in made] == list(range(7))
    assert len({one.request_id for one in made}) == 7


def test_a_streaming_chat_asks_for_usage_and_for_the_full_length() -> None:
    one = next(workload().requests("the-model", 1))
    assert one.path == CHAT_PATH
    assert one.stream
    body = dict(one.body)
    assert body.pop("messages")[0]["role"] == "user"
    assert body == {
        "model": "the-model",
        "max_tokens": 16,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_completion_without_a_stream_asks_for_none() -> None:
    one = next(workload(api="completions", stream=False).requests("m", 1))
    assert (one.path, one.stream) == (COMPLETIONS_PATH, False)
    assert isinstance(one.body["prompt"], str)
    assert not {"stream", "stream_options", "messages"} & set(one.body)


def test_users_make_a_closed_loop_and_a_rate_an_open_one() -> None:
    assert workload(users=3).arrivals == ClosedLoop(3)
    assert workload(users=None, rate_per_s=2.5).arrivals == Constant(2.5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"users": 1, "rate_per_s": 1.0}, "either users"),
        ({"users": None}, "either users"),
        ({"users": 0}, "users must be >= 1"),
        ({"users": None, "rate_per_s": 0.0}, "rate_per_s must be > 0"),
        ({"requests_measured": 0}, "at least 1"),
        ({"output_tokens": 0}, "at least 1"),
        ({"prompt_words": 0}, "at least 1"),
        ({"requests_warmup": -1}, "at least 1"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        workload(**fields)


def test_every_field_changes_the_fingerprint() -> None:
    other: dict[str, Any] = {
        "requests_measured": 51,
        "output_tokens": 17,
        "prompt_words": 25,
        "requests_warmup": 5,
        "api": "completions",
        "stream": False,
        "users": 3,
    }
    prints = {
        workload().fingerprint(),
        *(workload(**{name: value}).fingerprint() for name, value in other.items()),
    }
    assert len(prints) == 1 + len(other)
    assert workload().fingerprint() == workload().fingerprint()
