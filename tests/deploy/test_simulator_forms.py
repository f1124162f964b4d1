"""Answers have the dictated form: reasoning, tool calls, role, usage, comments, and the plain API's lines."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.asking import CHAT, COMPLETIONS, HELLO, text_of
from tests.deploy.running import events, simulator

QUICK = ("--ttft-ms", "1", "--itl-ms", "0.2")
USAGE = {"include_usage": True, "continuous_usage_stats": True}


def ask(url: str, path: str = CHAT, **body: Any) -> httpx.Response:
    given = {"messages": HELLO} if path == CHAT else {"prompt": "a b c"}
    return httpx.post(url + path, json={**given, "max_tokens": 6, **body})


def deltas(answer: httpx.Response) -> list[dict[str, Any]]:
    return [event["choices"][0]["delta"] for event in events(answer.text)[:-1] if event["choices"]]


def test_reasoning_comes_first_and_no_event_has_both(tmp_path: Path) -> None:
    flags = (*QUICK, "--reasoning-tokens", "3", "--tokens-per-chunk", "4")
    with simulator(tmp_path, *flags, key="") as sim:
        streamed = ask(sim.url, max_tokens=9, stream=True)
        whole = ask(sim.url, max_tokens=9).json()["choices"][0]["message"]
        short = deltas(ask(sim.url, max_tokens=2, stream=True))
        completion = ask(sim.url, COMPLETIONS)
        line = sim.traced()[0]
    role, *rest = deltas(streamed)
    said = [(name, len(text.split())) for delta in rest for name, text in delta.items()]
    assert role == {"role": "assistant", "content": ""}
    assert said == [("reasoning", 1), ("reasoning", 2), ("content", 4), ("content", 2)]
    assert line["chunks"] == [1, 2, 4, 2]
    assert whole["reasoning"] == "".join(delta.get("reasoning", "") for delta in rest)
    assert whole["content"] == "".join(delta.get("content", "") for delta in rest)
    assert [[*delta] for delta in short] == [["role", "content"], ["reasoning"], ["reasoning"]]
    assert len(text_of(completion).split()) == 6


@pytest.mark.parametrize("tokens", [1, 2, 6])
def test_a_tool_call_is_json_that_comes_in_pieces(tmp_path: Path, tokens: int) -> None:
    with simulator(tmp_path, *QUICK, "--tool-call", key="") as sim:
        streamed = ask(sim.url, max_tokens=tokens, stream=True)
        whole = ask(sim.url, max_tokens=tokens).json()["choices"][0]
        finished = sim.metric("vllm:request_success_total", finished_reason="stop")
    _, *calls = [delta["tool_calls"][0] if "tool_calls" in delta else delta for delta in deltas(streamed)]
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert len(calls) == tokens
    assert (calls[0]["type"], calls[0]["function"]["name"]) == ("function", "say")
    assert all([*call] == ["index", "function"] for call in calls[1:])
    assert len(json.loads(arguments)["text"].split()) == tokens
    assert events(streamed.text)[-2]["choices"][0]["finish_reason"] == whole["finish_reason"] == "tool_calls"
    assert whole["message"]["content"] is None
    assert whole["message"]["tool_calls"][0]["function"]["arguments"] == arguments
    assert finished == 2


@pytest.mark.parametrize(("role", "roles"), [("on", 1), ("off", 0), ("early", 1)])
def test_the_role_event_is_where_it_is_told_to_be(tmp_path: Path, role: str, roles: int) -> None:
    flags = ("--ttft-ms", "300", "--itl-ms", "0.2", "--role-chunk", role)
    with (
        simulator(tmp_path, *flags, key="") as sim,
        httpx.stream("POST", sim.url + CHAT, json={"messages": HELLO, "stream": True}) as answer,
    ):
        pieces = answer.iter_raw()
        first = next(pieces).decode()
        rest = "".join(piece.decode() for piece in pieces)
    assert (first + rest).count('"role":"assistant"') == roles
    assert ('"role"' in first, '"content":" ' in first) == (roles == 1, role != "early")


@pytest.mark.parametrize(
    ("rule", "options", "counts"),
    [
        ("none", USAGE, []),
        ("final", None, [2]),
        ("final", USAGE, [2]),
        ("continuous", None, [0, 1, 2, 2]),
        ("asked", None, []),
    ],
)
def test_usage_can_be_dictated(tmp_path: Path, rule: str, options: Any, counts: list[int]) -> None:
    more = {"stream_options": options} if options else {}
    with simulator(tmp_path, *QUICK, "--usage", rule, key="") as sim:
        answer = ask(sim.url, max_tokens=2, stream=True, **more)
    found = [event["usage"] for event in events(answer.text)[:-1] if "usage" in event]
    assert [usage["completion_tokens"] for usage in found] == counts
    assert all(usage["total_tokens"] == 11 + usage["completion_tokens"] for usage in found)


def test_comments_keep_a_stream_alive_while_it_waits(tmp_path: Path) -> None:
    flags = ("--ttft-ms", "200", "--itl-ms", "0.2", "--comment-every-ms", "20")
    with simulator(tmp_path, *flags, key="") as sim:
        answer = ask(sim.url, stream=True)
        whole = ask(sim.url)
    before, _, after = answer.text.partition("data: ")
    assert before == ": ping\n\n" * (len(before) // 8)
    assert 1 <= len(before) // 8 <= 10
    assert after.endswith("data: [DONE]\n\n")
    assert whole.json()["usage"]["completion_tokens"] == 6


def test_generate_answers_as_vllms_demo_server_does(tmp_path: Path) -> None:
    prompt = 'say "é" \\ please'
    no_prompts: list[Any] = [{}, {"prompt": ["x"]}, []]
    with simulator(tmp_path, *QUICK) as sim:  # a key is set, and not asked for
        answer = httpx.post(sim.url + "/generate", json={"prompt": prompt, "max_tokens": 4, "stream": True})
        whole = httpx.post(sim.url + "/generate", json={"prompt": prompt, "max_tokens": 4, "top_k": 1})
        default = httpx.post(sim.url + "/generate", json={"prompt": "x"})
        wrong = [httpx.post(sim.url + "/generate", json=body) for body in no_prompts]
        lines = sim.traced()
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert [[*line] for line in said] == [["text"]] * 4
    texts = [line["text"][0] for line in said]
    assert all(later.startswith(earlier) for earlier, later in pairwise([prompt, *texts]))
    assert [len(text.removeprefix(prompt).split()) for text in texts] == [1, 2, 3, 4]
    assert answer.text.endswith("\n")
    assert whole.json() == said[-1]
    assert len(default.json()["text"][0].split()) == 1 + 16
    assert [refused.status_code for refused in wrong] == [400, 400, 400]
    assert [line["chunks"] for line in lines] == [[1, 1, 1, 1], [4], [16]]


def test_a_stream_of_many_chunks_says_the_same_whatever_their_size(tmp_path: Path) -> None:
    texts = []
    for size in ("1", "3", "100"):
        folder = tmp_path / size
        folder.mkdir()
        with simulator(folder, *QUICK, "--tokens-per-chunk", size, key="") as sim:
            answer = ask(sim.url, max_tokens=50, stream=True)
            (line,) = sim.traced()
        texts.append("".join(delta["content"] for delta in deltas(answer)))
        assert sum(line["chunks"]) == len(line["sends"]) == 50
        assert max(line["chunks"]) == min(int(size), 49)
    assert len({*texts}) == 1
    assert len(texts[0].split()) == 50
