"""Workloads from files that carry prompts: JSONL and ShareGPT; a bad line is refused with its number."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import ClosedLoop, Constant, Poisson, Replay
from instruments.errors import ConfigurationError
from instruments.records import COMPLETIONS_PATH, Phase, Request
from instruments.workloads.files import FileWorkload


def workload(path: Path, **fields: Any) -> FileWorkload:
    told = {"format": "jsonl", "users": 2, **fields}
    return FileWorkload(id="f", description="d", path=str(path), **told)


def written(folder: Path, *lines: object) -> Path:
    path = folder / "asked.jsonl"
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def requests(made: FileWorkload, seed: int = 1) -> list[Request]:
    return list(made.requests("m", seed))


def refused(made: FileWorkload) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made.check()
    with pytest.raises(ConfigurationError):
        next(made.requests("m", 1))  # not one request comes before the error
    return str(caught.value)


MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}]


def test_a_line_is_a_request(tmp_path: Path) -> None:
    path = written(
        tmp_path, {"prompt": "one", "output_tokens": 5}, "", {"messages": MESSAGES, "max_tokens": 7}
    )
    first, second = requests(workload(path))
    assert first.body["messages"] == [{"role": "user", "content": "one"}]
    assert second.body["messages"] == MESSAGES
    assert [one.body["max_tokens"] for one in (first, second)] == [5, 7]
    assert [one.request_id for one in (first, second)] == ["f-1-0", "f-1-1"]
    assert first.body["stream_options"] == {"include_usage": True}
    assert first.prompt_tokens_asked is None


def test_prompts_go_to_completions_as_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "a  b\n", "output_tokens": 5})
    (one,) = requests(workload(path, api="completions"))
    assert (one.path, one.body["prompt"]) == (COMPLETIONS_PATH, "a  b\n")


def test_the_workload_gives_the_length_that_a_line_does_not(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "one"}, {"prompt": "two", "output_tokens": 5})
    assert [one.body["max_tokens"] for one in requests(workload(path, output_tokens=9))] == [9, 5]


def test_times_are_replayed_in_their_order_and_users_replace_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "late", "output_tokens": 1, "at_s": 4},
        {"prompt": "early", "output_tokens": 1, "at_s": 0.5},
        {"prompt": "later", "output_tokens": 1, "at_s": 6},
    )
    timed = workload(path, users=None, speed=2.0, first=2)
    assert timed.arrivals == Replay((0.5, 4.0), 2.0)
    assert list(timed.arrivals.due_ns(1)) == [250_000_000, 2_000_000_000]
    assert [one.body["messages"][0]["content"] for one in requests(timed)] == ["early", "late"]
    assert timed.check() == 2
    assert workload(path, users=3).arrivals == ClosedLoop(3)
    assert workload(path, users=None, rate_per_s=3.0).arrivals == Constant(3.0)
    assert workload(path, users=None, arrival_process=Poisson(3.0)).arrivals == Poisson(3.0)


def test_the_first_and_last_of_a_file_can_be_warm_up_and_cool_down(tmp_path: Path) -> None:
    path = written(tmp_path, *({"prompt": str(number), "output_tokens": 1} for number in range(6)))
    phases = [one.phase for one in requests(workload(path, first=5, requests_warmup=1, requests_cooldown=2))]
    assert phases == [Phase.WARMUP, *[Phase.MEASURED] * 2, *[Phase.COOLDOWN] * 2]


GOOD = {"prompt": "a", "output_tokens": 1}


@pytest.mark.parametrize(
    ("bad", "expected", "seen"),
    [
        ("{", "a JSON object", "{"),
        ('{"prompt": "a", ', "a JSON object", '{"prompt": "a",'),
        ("[1]", "a JSON object", "[1]"),
        ("[" * 100_000, "a JSON object", "[[["),
        (
            {"prompt": "a", "output_tokens": 1, "temperature": 0},
            "only the keys at_s, max_tokens",
            "temperature",
        ),
        ({"output_tokens": 1}, "one of 'prompt' and 'messages'", "neither"),
        ({"prompt": "a", "messages": MESSAGES, "output_tokens": 1}, "one of 'prompt'", "both"),
        ({"prompt": "", "output_tokens": 1}, "'prompt': a text", "''"),
        ({"prompt": 5, "output_tokens": 1}, "'prompt': a text", "5"),
        ({"messages": [], "output_tokens": 1}, "'messages': a list", "[]"),
        ({"messages": ["a"], "output_tokens": 1}, "'messages': a list", "['a']"),
        ({"messages": [{"role": "user"}], "output_tokens": 1}, "'role' and 'content'", "user"),
        ({"prompt": "a"}, "'output_tokens' on the line or in the workload", "neither"),
        ({"prompt": "a", "output_tokens": 0}, "a whole number of at least 1", "0"),
        ({"prompt": "a", "output_tokens": True}, "a whole number of at least 1", "True"),
        ({"prompt": "a", "output_tokens": 1.5}, "a whole number of at least 1", "1.5"),
        ({"prompt": "a", "output_tokens": 10_000_001}, "at most 10,000,000 tokens", "10000001"),
        ({"prompt": "a", "max_tokens": 1, "output_tokens": 1}, "one of 'output_tokens'", "both"),
        ({**GOOD, "at_s": 1}, "'at_s' on every line or on none", "1"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, bad: object, expected: str, seen: str) -> None:
    path = written(tmp_path, GOOD, "", GOOD, bad, GOOD)
    said = refused(workload(path, first=1))
    assert f"{path}:4 cannot be a request" in said
    assert expected in said
    assert seen in said
    assert len(said) < 600


@pytest.mark.parametrize("at_s", ["-1", "NaN", "Infinity", '"2"', "null", "9" * 400, "1e19"])
def test_a_time_is_a_number(tmp_path: Path, at_s: str) -> None:
    path = written(tmp_path, {**GOOD, "at_s": 0}, f'{{"prompt": "a", "output_tokens": 1, "at_s": {at_s}}}')
    assert f"{path}:2 cannot be a request" in refused(workload(path))


def test_a_line_without_a_time_among_timed_ones_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {**GOOD, "at_s": 1}, GOOD)
    said = refused(workload(path))
    assert f"{path}:2 " in said
    assert "no 'at_s' among 'prompt', 'output_tokens'" in said


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "\xff", "output_tokens": 1}\n')
    said = refused(workload(path))
    assert f"{path}:2 cannot be a request" in said
    assert "UTF-8" in said


def test_messages_need_a_chat(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, {"messages": MESSAGES, "output_tokens": 1})
    said = refused(workload(path, api="completions"))
    assert f"{path}:2 " in said
    assert "the workload's api is not chat" in said


def test_a_file_that_is_missing_empty_or_without_times_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in refused(workload(tmp_path / "missing.jsonl"))
    assert "cannot read" in refused(workload(tmp_path))
    assert "holds no request" in refused(workload(written(tmp_path, "")))
    untimed = workload(written(tmp_path, GOOD), users=None)
    with pytest.raises(ConfigurationError, match="does not say when"):
        _ = untimed.arrivals


def test_the_content_is_in_the_fingerprint_and_the_name_is_not(tmp_path: Path) -> None:
    made = workload(written(tmp_path, GOOD))
    (tmp_path / "copy.jsonl").write_bytes(Path(made.path).read_bytes())
    before = made.fingerprint()
    assert replace(made, path=str(tmp_path / "copy.jsonl"), description="other").fingerprint() == before
    assert replace(made, first=1).fingerprint() != before
    written(tmp_path, {**GOOD, "prompt": "another"})
    assert made.fingerprint() != before
    assert requests(made)[0].body["messages"][0]["content"] == "another"


def shared(folder: Path, *conversations: object, indent: int | None = None) -> FileWorkload:
    path = folder / "shared.json"
    path.write_text(json.dumps(conversations, indent=indent), encoding="utf-8")
    return workload(path, format="sharegpt", think_s=0.5)


def said_by(speaker: str, text: str) -> dict[str, str]:
    return {"from": speaker, "value": text}


TALK = {
    "id": "x",
    "conversations": [
        said_by("gpt", "what was said before"),
        said_by("system", "be kind"),
        said_by("human", "one"),
        said_by("gpt", "12345678"),
        said_by("human", "nobody answered"),
        said_by("human", "two"),
        said_by("gpt", "123456789"),
        said_by("human", "last"),
    ],
}


def test_a_shared_conversation_gives_its_answered_turns(tmp_path: Path) -> None:
    first, second = requests(
        shared(tmp_path, TALK, {"conversations": [said_by("user", "q"), said_by("bard", "é")]})
    )
    assert first.body["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
    ]
    assert first.body["max_tokens"] == 2  # eight bytes
    turn = first.then
    assert turn is not None
    assert turn.body["messages"] == [{"role": "user", "content": "two"}]
    assert (turn.body["max_tokens"], turn.index, turn.turn, turn.think_s, turn.then) == (3, 1, 1, 0.5, None)
    assert (second.index, second.body["max_tokens"]) == (2, 1)


def test_without_a_chat_the_first_question_is_asked_alone(tmp_path: Path) -> None:
    (one,) = requests(replace(shared(tmp_path, TALK), api="completions"))
    assert (one.body["prompt"], one.then) == ("one", None)


def test_a_conversation_that_nobody_answered_is_left_out(tmp_path: Path) -> None:
    silent = [{"conversations": []}, {"conversations": [said_by("human", "hello?")]}]
    assert shared(tmp_path, *silent, TALK).check() == 1
    assert "holds no request" in refused(shared(tmp_path, *silent))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"conversation": []}, "a list 'conversations'"),
        ([], "a list 'conversations'"),
        ({"conversations": [{"from": "human"}]}, "a text 'value'"),
        ({"conversations": [said_by("alien", "x")]}, "one of human, user, gpt"),
        ({"conversations": [7]}, "turns with 'from'"),
    ],
)
def test_a_bad_conversation_is_refused_with_the_line_on_which_it_begins(
    tmp_path: Path, bad: object, expected: str
) -> None:
    good = {"conversations": [said_by("human", "q"), said_by("gpt", "a")]}
    made = shared(tmp_path, good, bad, indent=1)
    line = 1 + json.dumps([good], indent=1).count("\n")  # the first ends a line before the list would
    assert f"{made.path}:{line} cannot be a request" in refused(made)
    assert expected in refused(made)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ('{"conversations": []}', 1, "a JSON list"),
        ('[\n{"conversations": []},\n{"conversations"', 3, "JSON ("),
        ('[\n{"conversations": []}\n', 3, "a JSON list"),
        ('[\n{"conversations": []}\n{"conversations": []}]', 3, "a JSON list"),
        ('[{"conversations": []},\n]', 2, "JSON ("),
        ("", 1, "a JSON list"),
    ],
)
def test_a_file_that_is_no_list_is_refused_where_it_ends_to_be_one(
    tmp_path: Path, text: str, line: int, expected: str
) -> None:
    path = tmp_path / "shared.json"
    path.write_text(text, encoding="utf-8")
    said = refused(workload(path, format="sharegpt"))
    assert f"{path}:{line} cannot be a request" in said
    assert expected in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"first": 0}, "at least 1"),
        ({"block_tokens": 0}, "at least 1"),
        ({"requests_warmup": -1}, "at least 0"),
        ({"think_s": float("nan")}, "at least 0"),
        ({"users": None, "speed": 0.0}, "speed must be > 0"),
        ({"speed": 2.0}, "speed is for recorded times"),
        ({"rate_per_s": 1.0}, "not two of them"),
    ],
)
def test_what_cannot_be_run_is_refused_before_the_file_is_read(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        workload(Path("nowhere"), **fields)
