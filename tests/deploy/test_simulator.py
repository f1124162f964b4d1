"""The simulator says what vLLM 0.32 says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.asking import CHAT, COMPLETIONS, HELLO, post, text_of
from tests.deploy.running import AUTH, Simulator, events, simulator


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("sim"), "--max-model-len", "32") as running:
        yield running


def test_a_chat_stream_has_vllms_events_in_vllms_order(sim: Simulator) -> None:
    answer = post(
        sim, CHAT, messages=HELLO, max_tokens=3, stream=True, stream_options={"include_usage": True}
    )
    role, first, second, last, usage, done = events(answer.text)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["server"] == "vllm-slo-simulator"
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["finish_reason"] for event in (role, first, second, last)] == [
        None,
        None,
        None,
        "length",
    ]
    assert all(len(event["choices"][0]["delta"]["content"].split()) == 1 for event in (first, second, last))
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 11, "total_tokens": 14, "completion_tokens": 3}
    assert done == "[DONE]"
    assert {event["id"] for event in (role, first, second, last, usage)} == {"chatcmpl-abc"}
    assert {event["object"] for event in (role, first, second, last, usage)} == {"chat.completion.chunk"}


def test_a_completion_stream_has_no_role_and_no_usage_unless_asked(sim: Simulator) -> None:
    first, last, done = events(post(sim, COMPLETIONS, prompt="a b c", max_tokens=2, stream=True).text)
    assert (first["id"], first["object"]) == ("cmpl-abc", "text_completion")
    assert [event["choices"][0]["finish_reason"] for event in (first, last)] == [None, "length"]
    assert done == "[DONE]"


def test_continuous_usage_counts_up_by_one_a_token(sim: Simulator) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    answer = post(sim, CHAT, messages=HELLO, max_tokens=3, stream=True, stream_options=options)
    assert [event["usage"]["completion_tokens"] for event in events(answer.text)[:-1]] == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("path", "prompt"), [(CHAT, {"messages": HELLO}), (COMPLETIONS, {"prompt": "hello there world"})]
)
def test_streamed_or_not_the_text_is_the_same(sim: Simulator, path: str, prompt: dict[str, Any]) -> None:
    whole = post(sim, path, max_tokens=7, **prompt)
    streamed = events(post(sim, path, max_tokens=7, stream=True, **prompt).text)[:-1]
    choices = [event["choices"][0] for event in streamed]
    assert "".join(c["delta"]["content"] if "delta" in c else c["text"] for c in choices) == text_of(whole)
    assert len(text_of(whole).split()) == whole.json()["usage"]["completion_tokens"] == 7


def test_the_prompt_alone_decides_the_text(sim: Simulator, tmp_path: Path) -> None:
    def says(server: Simulator, *contents: str, tokens: int = 5) -> str:
        messages = [{"role": "user", "content": content} for content in contents]
        return text_of(post(server, CHAT, messages=messages, max_tokens=tokens))

    with simulator(tmp_path, "--seed", "7", "--jitter-ms", "1") as other:
        assert says(sim, "one") == says(
            other, "one"
        )  # after a restart, under another seed: the seed is of the times
    assert says(sim, "one", tokens=8).startswith(says(sim, "one"))
    assert len({says(sim, "one"), says(sim, "two"), says(sim, "a", "bc"), says(sim, "ab", "c")}) == 4


def test_output_is_16_tokens_for_completions_when_not_said(sim: Simulator) -> None:
    assert post(sim, COMPLETIONS, prompt="a b c").json()["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize(
    ("prompt_words", "asked", "given"), [(30, 10, 2), (31, 10, 1), (20, 12, 12), (20, 13, 12)]
)
def test_what_does_not_fit_the_context_of_32_is_cut_off(
    sim: Simulator, prompt_words: int, asked: int, given: int
) -> None:
    answer = post(sim, COMPLETIONS, prompt="w " * prompt_words, max_tokens=asked)
    assert answer.json()["usage"] == {
        "prompt_tokens": prompt_words,
        "total_tokens": prompt_words + given,
        "completion_tokens": given,
        "prompt_tokens_details": None,
    }


# Statuses, types and params as vLLM 0.32.0 itself answered them.
X = b'"messages":[{"role":"user","content":"x"}]'
BAD_REQUEST, BAD_SHAPE = "BadRequestError", "Bad Request"
REFUSALS = [
    (CHAT, b'{%b,"model":"nope"}' % X, 404, "NotFoundError", "model"),
    (CHAT, b'{%b,"max_tokens":0}' % X, 400, BAD_REQUEST, "max_tokens"),
    (CHAT, b'{%b,"max_tokens":-1}' % X, 400, BAD_REQUEST, "max_tokens"),
    (CHAT, b'{%b,"max_tokens":33}' % X, 400, BAD_REQUEST, "max_tokens"),
    (CHAT, b'{%b,"max_completion_tokens":33}' % X, 400, BAD_REQUEST, "max_completion_tokens"),
    (CHAT, b'{%b,"max_tokens":"abc"}' % X, 400, BAD_SHAPE, "body.max_tokens"),
    (CHAT, b'{%b,"stream_options":{}}' % X, 400, BAD_REQUEST, "stream_options"),
    (CHAT, b'{%b,"temperature":-1}' % X, 400, BAD_REQUEST, "temperature"),
    (CHAT, b'{%b,"temperature":99}' % X, 400, BAD_REQUEST, "temperature"),
    (CHAT, b'{%b,"temperature":%b}' % (X, b"9" * 401), 400, BAD_REQUEST, "temperature"),
    (CHAT, b'{%b,"temperature":-%b}' % (X, b"9" * 401), 400, BAD_REQUEST, "temperature"),
    (CHAT, b'{%b,"top_p":%b}' % (X, b"9" * 401), 400, BAD_REQUEST, "top_p"),
    (CHAT, b'{%b,"max_tokens":%b}' % (X, b"9" * 4_000), 400, BAD_REQUEST, "max_tokens"),
    (CHAT, b'{%b,"max_tokens":%b}' % (X, b"9" * 5_001), 400, BAD_SHAPE, "body"),
    (CHAT, b"[" * 100_000, 400, BAD_SHAPE, "body"),
    (CHAT, b"\xff", 400, BAD_SHAPE, "body"),
    (CHAT, b'{%b,"top_p":2}' % X, 400, BAD_REQUEST, "top_p"),
    (CHAT, b'{%b,"n":0}' % X, 400, BAD_REQUEST, None),
    (CHAT, b'{"messages":[]}', 400, BAD_REQUEST, None),
    (CHAT, b'{"model":"tiny"}', 400, BAD_SHAPE, "body.messages"),
    (CHAT, b'{"messages":"x"}', 400, BAD_SHAPE, "body.messages"),
    (CHAT, b"{bad", 400, BAD_SHAPE, "body.1"),
    (CHAT, b"", 400, BAD_SHAPE, "body"),
    (CHAT, b"[]", 400, BAD_SHAPE, "body"),
    (COMPLETIONS, b'{"model":"tiny"}', 400, BAD_REQUEST, "prompt"),
    (COMPLETIONS, b'{"prompt":""}', 400, BAD_REQUEST, "prompt"),
    (COMPLETIONS, b'{"prompt":[]}', 400, BAD_REQUEST, None),
    (COMPLETIONS, b'{"prompt":5}', 400, BAD_SHAPE, "body.prompt"),
    (COMPLETIONS, b'{"prompt":"%b"}' % (b"w " * 33), 400, BAD_REQUEST, "input_tokens"),
    (COMPLETIONS, b'{"prompt":"%b"}' % (b"w " * 32), 400, BAD_REQUEST, "max_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "kind", "param"), REFUSALS)
def test_a_bad_request_gets_vllms_own_answer(
    sim: Simulator, path: str, body: bytes, status: int, kind: str, param: str | None
) -> None:
    answer = httpx.post(sim.url + path, content=body, headers=AUTH | {"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"], error["code"]) == (status, kind, param, status)
    assert error["message"]
    assert list(error) == ["message", "type", "param", "code"]


@pytest.mark.parametrize(
    ("method", "path", "header", "status", "body"),
    [
        ("GET", "/v1/models", "", 401, {"error": "Unauthorized"}),
        ("GET", "/v1/models", "Bearer wrong", 401, {"error": "Unauthorized"}),
        ("GET", "/v1/models", "sk-test", 401, {"error": "Unauthorized"}),
        ("GET", "/v1/unknown", "", 401, {"error": "Unauthorized"}),
        ("POST", CHAT, "Basic sk-test", 401, {"error": "Unauthorized"}),
        ("GET", "/v1/unknown", "Bearer sk-test", 404, {"detail": "Not Found"}),
        ("GET", CHAT, "bearer sk-test", 405, {"detail": "Method Not Allowed"}),
        ("GET", "/unknown", "", 404, {"detail": "Not Found"}),
        ("POST", "/health", "", 405, {"detail": "Method Not Allowed"}),
        ("GET", "/version", "", 200, {"version": "0.32.0+simulated"}),
    ],
)
def test_only_v1_asks_for_the_key(
    sim: Simulator, method: str, path: str, header: str, status: int, body: dict[str, str]
) -> None:
    answer = httpx.request(method, sim.url + path, headers={"Authorization": header})
    assert (answer.status_code, answer.json()) == (status, body)
    assert "www-authenticate" not in answer.headers


def test_probes_and_the_list_of_models(sim: Simulator, tmp_path: Path) -> None:
    assert [httpx.get(sim.url + path).status_code for path in ("/health", "/ping", "/metrics")] == [
        200,
        200,
        200,
    ]
    model = httpx.get(sim.url + "/v1/models", headers=AUTH).json()["data"][0]
    assert (model["id"], model["max_model_len"]) == ("tiny", 32)
    with simulator(tmp_path, key="") as open_to_all:
        assert httpx.get(open_to_all.url + "/v1/models").status_code == 200
