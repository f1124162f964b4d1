"""Synthetic workloads: complete before the run, the same bytes for the same seed, whoever draws them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import ClosedLoop, Constant, Poisson
from instruments.records import CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH, Phase, Request
from instruments.workloads.lengths import Uniform
from instruments.workloads.mixes import Leave, Prefix, Scenario
from instruments.workloads.synthetic import SyntheticWorkload

ROOT = Path(__file__).parents[2]


def workload(**fields: Any) -> SyntheticWorkload:
    told = {"requests_measured": 50, "output_tokens": 16, "users": 2, **fields}
    return SyntheticWorkload(id="w", description="d", **told)


def requests(made: SyntheticWorkload, seed: int = 1) -> list[Request]:
    return list(made.requests("m", seed))


def as_bytes(made: SyntheticWorkload, seed: int) -> list[bytes]:
    return [json.dumps(dict(one.body)).encode() for one in made.requests("m", seed)]


def prompts(made: SyntheticWorkload, seed: int = 1) -> list[str]:
    return [one.body["messages"][0]["content"] for one in made.requests("m", seed)]


VARIED = workload(
    prompt_tokens=Uniform((8, 40)),
    prefix=Prefix(groups=3, tokens=6, hit_share=0.5),
    turns=Uniform((1, 3)),
    leave=Leave(share=0.2, after_tokens=4),
    mix=(Scenario("a", 3, output_tokens=5), Scenario("b", 2, output_tokens=Uniform((4, 9)))),
)


@pytest.mark.parametrize("made", [workload(), VARIED], ids=["plain", "varied"])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(made: SyntheticWorkload) -> None:
    assert as_bytes(made, 1) == as_bytes(made, 1)
    assert not set(as_bytes(made, 1)) & set(as_bytes(made, 2))


def test_the_bytes_of_a_seed_do_not_change_between_releases() -> None:
    """Baselines are compared across months: a change here is a change of every workload's hash."""
    assert prompts(workload(prompt_tokens=8), seed=7)[:2] == [
        "Please need case should writes few than while",
        "Please longer case should should when before have",
    ]


def test_another_process_makes_the_same_requests_from_a_pickled_workload() -> None:
    code = (
        "import sys, pickle; w = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(pickle.dumps([(r.index, r.body) for r in w.requests('m', 5)]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(VARIED),
        capture_output=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert pickle.loads(other.stdout) == [  # noqa: S301
        (one.index, one.body) for one in VARIED.requests("m", 5)
    ]


def test_a_request_does_not_depend_on_how_many_were_asked_for() -> None:
    short = requests(workload(requests_measured=10), seed=3)
    assert short == requests(workload(requests_measured=500), seed=3)[: len(short)]


def test_a_request_does_not_depend_on_how_often_others_drew() -> None:
    first, second = VARIED.requests("m", 1), VARIED.requests("m", 1)
    taken = [one for pair in zip(islice(first, 0, None), second, strict=True) for one in pair]
    assert taken[::2] == taken[1::2] == requests(VARIED)


def test_no_two_prompts_begin_the_same() -> None:
    many = prompts(workload(requests_measured=5_000, prompt_tokens=4))
    assert len(set(many)) == 5_004
    words = [prompt.split()[1] for prompt in many]
    assert all(earlier != later for earlier, later in pairwise(words))


def test_without_a_tokenizer_a_word_is_taken_to_be_a_token() -> None:
    for tokens in (1, 2, 24, 300):
        made = workload(prompt_tokens=tokens)
        assert {len(prompt.split()) for prompt in prompts(made)} == {tokens}
        assert {one.prompt_tokens_asked for one in requests(made)} == {tokens}


def test_warm_up_comes_first_cool_down_last_and_all_are_numbered_on() -> None:
    made = requests(workload(requests_warmup=3, requests_measured=4, requests_cooldown=2))
    assert [one.phase for one in made] == [Phase.WARMUP] * 3 + [Phase.MEASURED] * 4 + [Phase.COOLDOWN] * 2
    assert [one.index for one in made] == list(range(9))
    assert workload(requests_warmup=3, requests_measured=4, requests_cooldown=2).check() == 9
    assert [one.request_id for one in made] == [f"w-1-{number}" for number in range(9)]


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


@pytest.mark.parametrize("stream", [True, False])
def test_the_plain_api_is_told_no_more_than_it_knows(stream: bool) -> None:
    one = next(workload(api="generate", stream=stream).requests("m", 1))
    assert (one.path, one.stream) == (GENERATE_PATH, stream)
    body = dict(one.body)
    assert body.pop("prompt").startswith("Please ")
    assert body == {"max_tokens": 16, "stream": stream, "temperature": 0, "ignore_eos": True}


def test_users_make_a_closed_loop_and_a_rate_an_open_one() -> None:
    assert workload(users=3).arrivals == ClosedLoop(3)
    assert workload(users=None, rate_per_s=2.5).arrivals == Constant(2.5)
    assert workload(users=None, arrival_process=Poisson(2.5)).arrivals == Poisson(2.5)
    assert replace(workload(users=3), users=64).arrivals == ClosedLoop(64)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"users": 1, "rate_per_s": 1.0}, "not two of them"),
        ({"users": 1, "arrival_process": Poisson(1.0)}, "not two of them"),
        ({"users": None}, "give either users"),
        ({"users": 0}, "users must be >= 1"),
        ({"users": None, "rate_per_s": 0.0}, "rate_per_s must be > 0"),
        ({"requests_measured": 0}, "at least 1"),
        ({"output_tokens": 0}, "at least 1 token"),
        ({"output_tokens": None}, "output_tokens is not given"),
        ({"output_tokens": None, "mix": (Scenario("a"),)}, "output_tokens of the scenario 'a' is not given"),
        ({"prompt_tokens": 0}, "at least 1 token"),
        ({"requests_warmup": -1}, "at least 0"),
        ({"requests_cooldown": -1}, "at least 0"),
        ({"think_s": -1.0}, "think_s must be >= 0"),
        ({"turns": 2, "api": "completions"}, "only a chat has turns"),
        ({"mix": (Scenario("a"), Scenario("a"))}, "the same name"),
        ({"prompt_tokens": 64, "prefix": Prefix(1, 64)}, "below 64, the shortest prompt"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        workload(**fields)


def test_every_field_changes_the_fingerprint_and_the_description_does_not() -> None:
    other: dict[str, Any] = {
        "requests_measured": 51,
        "output_tokens": 17,
        "prompt_tokens": Uniform((24, 24)),
        "requests_warmup": 5,
        "requests_cooldown": 5,
        "api": "completions",
        "stream": False,
        "users": 3,
        "prefix": Prefix(1, 4),
        "turns": 2,
        "think_s": 1.0,
        "leave": Leave(0.1, after_s=1.0),
        "mix": (Scenario("a"),),
    }
    prints = {
        workload().fingerprint(),
        *(workload(**{name: value}).fingerprint() for name, value in other.items()),
    }
    assert len(prints) == 1 + len(other)
    assert replace(workload(), description="other words").fingerprint() == workload().fingerprint()


def test_what_a_worker_imports_is_light() -> None:
    """A worker starts for every load: what only readers of YAML and of tables need stays out of it."""
    code = (
        "import sys, instruments.workloads.files, instruments.workloads.synthetic;"
        "print(*{'pydantic', 'numpy', 'pandas', 'httpx', 'yaml', 'statistics'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert done.stdout.strip() == ""
