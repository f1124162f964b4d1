"""What `run` makes of a load before it begins: its bound, room for prompts to differ, what is due by now."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.__main__ import main
from instruments.cli import run
from instruments.cli.load import load_of
from instruments.cli.room import room_of
from instruments.cli.run import _all, _due, _spec, _stand_back, _with_room
from instruments.cli.server import Served, target_of
from instruments.errors import ConfigurationError
from instruments.fleet import Progress
from instruments.workloads.mixes import Prefix
from instruments.workloads.synthetic import SyntheticWorkload
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary
from tests.instruments.test_cli_options import URL, load, options


def bound_s(words: str) -> float:
    """The time bound of a run with these options."""
    given = options(words)
    served = Served("m", None, WORDS_AS_TOKENS)
    return _spec(given, load_of(given, 1), target_of(given), served, 1, Path("run.jsonl")).limits.duration_s


def test_a_time_bound_that_is_given_holds_and_the_default_lets_a_run_end() -> None:
    assert bound_s("--users 1 --requests 1 --time-bound 5") == 5
    assert bound_s("--users 1 --duration 60 --time-bound 5") == 5
    assert bound_s("--users 1 --requests 1") == 3600
    assert bound_s("--users 1 --duration 3500 --request-timeout 300") == 3800


TEMPLATE = Vocabulary(("a", "b", *map(str, range(98))), (1,) * 100, 4, 36, "by hand", exact=True)


def with_room(words: str, vocabulary: Vocabulary = TEMPLATE) -> SyntheticWorkload:
    given = options(words)
    made = _with_room(load_of(given, 1), given, Served("m", None, vocabulary)).workload
    assert isinstance(made, SyntheticWorkload)
    return made


def prompts(workload: SyntheticWorkload) -> set[str]:
    return {str(one.body) for one in workload.requests("m", 1, TEMPLATE)}


def test_prompts_that_could_not_differ_are_refused_and_the_fewest_that_can_are_named() -> None:
    # A hundred words of one token each: three tell a million prompts apart, and the template takes 36.
    for tokens in ("32", "38", "38:64"):
        with pytest.raises(ConfigurationError) as refused:
            with_room(f"--requests 200 --prompt-tokens {tokens}")
        assert "at least 39 tokens" in str(refused.value)
    assert len(prompts(with_room("--requests 200 --prompt-tokens 39"))) == 200
    assert len(prompts(with_room("--requests 200 --prompt-tokens 7 --api completions"))) == 200
    with pytest.raises(ConfigurationError):
        with_room("--requests 200 --prompt-tokens 6 --api completions")


def test_words_that_cost_more_need_more_room() -> None:
    dear = replace(TEMPLATE, costs=(2,) * 100)
    assert with_room("--requests 1 --prompt-tokens 42", dear).prompt_tokens == 42
    with pytest.raises(ConfigurationError, match="too short"):
        with_room("--requests 1 --prompt-tokens 41", dear)


def test_the_default_length_grows_with_the_template_and_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert with_room("--requests 1", WORDS_AS_TOKENS).prompt_tokens == 24
    assert capsys.readouterr().err == ""
    assert with_room("--requests 1").prompt_tokens == 39
    said = capsys.readouterr().err
    assert said.startswith("prompts of 39 tokens: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("prompt", "prefix", "told"),
    [(64, 36, "prefix.tokens of at least 37"), (64, 62, "at least 65 tokens"), (64, 61, None)],
)
def test_a_shared_beginning_needs_room_too(prompt: int, prefix: int, told: str | None) -> None:
    workload = SyntheticWorkload(
        "w", "d", 200, output_tokens=4, users=1, prompt_tokens=prompt, prefix=Prefix(1, prefix)
    )
    if told is None:
        assert len(prompts(room_of(workload, TEMPLATE, given=True))) == 204
        return
    with pytest.raises(ConfigurationError) as refused:
        room_of(workload, TEMPLATE, given=True)
    assert told in str(refused.value)


def test_conversations_of_an_open_loop_are_not_counted_as_due(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    shape = "description: x, requests_measured: 6, output_tokens: 4, turns: 3"
    file.write_text(
        f"workloads:\n  - {{id: open, {shape}, rate_per_s: 2}}\n  - {{id: closed, {shape}, users: 2}}\n"
    )
    assert _due(load(f"--workload {file}:open"), 1) is None
    assert _due(load(f"--workload {file}:closed"), 1) is not None
    assert _due(load("--rate 2 --requests 3"), 1) is not None


def test_a_process_stands_back_once_however_often_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)
    _stand_back.cache_clear()
    try:
        for _ in range(3):
            _all([])(Progress(1.0, (), 0))
    finally:
        _stand_back.cache_clear()
    assert asked == [10]


def test_the_server_is_asked_for_what_the_workload_of_a_file_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_target: Any, _model: Any, api: str, **_: Any) -> Served:
        asked.append(api)
        raise ConfigurationError("far enough")

    monkeypatch.setattr(run, "ask", ask)
    file = tmp_path / "some.yaml"
    told = "id: one, description: x, requests_measured: 6, output_tokens: 4, users: 2, api: generate"
    file.write_text(f"workloads:\n  - {{{told}}}\n")
    journal = str(tmp_path / "run.jsonl")
    assert main(["run", "--base-url", URL, "--workload", str(file), "--journal", journal]) == 2
    assert asked == ["generate"]
