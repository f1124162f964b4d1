"""What is asked of a server before a load, against a server that answers as it is told to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme

from instruments.cli.server import ask
from instruments.errors import ConfigurationError
from instruments.target import Target
from instruments.tokenize import Inquiry, NotOffered, vocabulary_of
from instruments.workloads.vocabulary import WORDS_AS_TOKENS

Answers = Callable[[str, str, dict[str, Any]], tuple[int, bytes]]
MODELS = {"data": [{"id": "big", "max_model_len": 512, "owned_by": "vllm"}, {"id": "adapter"}]}


class Server:
    """Where it is, and what was asked: (method, path, Authorization)."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str, str | None]] = []
        self.connections = 0


@contextmanager
def serving(answers: Answers, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def do_GET(self) -> None:
            server.asked.append((self.command, self.path, self.headers.get("Authorization")))
            length = int(self.headers.get("Content-Length") or 0)
            status, content = answers(self.command, self.path, json.loads(self.rfile.read(length) or b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False
        if tls is not None:
            listener.socket = tls.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )
        server = Server(listener.server_port)
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def tokens_of(body: dict[str, Any]) -> int:
    """A tokenizer of 1 token a word, 2 for "first"; 3 before each prompt, 11 before each chat."""
    text = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
    return (3 if "prompt" in body else 11) + sum(2 if word == "first" else 1 for word in text.split())


def whole(_: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    """A server that tells everything."""
    if path == "/v1/models":
        return 200, json.dumps(MODELS).encode()
    if path == "/tokenize":
        return 200, json.dumps({"count": tokens_of(body), "max_model_len": 512}).encode()
    return 404, b""


def always(status: int, content: bytes) -> Answers:
    return lambda *_: (status, content)


def test_the_first_model_is_the_one_and_words_cost_what_the_server_says() -> None:
    with serving(whole) as server:
        served = ask(Target(server.url), None, "chat", lengths=True)
    assert served.model == "big"
    assert served.simulated is False
    costs = dict(zip(served.vocabulary.words, served.vocabulary.costs, strict=True))
    assert costs["first"] == 2
    assert set(costs.values()) == {1, 2}
    # "Please" alone: 3 + 1 as a prompt, 11 + 1 as a chat.
    assert (served.vocabulary.prompt_overhead, served.vocabulary.chat_overhead) == (4, 12)
    assert served.vocabulary.exact


def test_a_hundred_questions_take_one_connection_and_carry_the_key() -> None:
    with serving(whole) as server:
        ask(Target(server.url, {"Authorization": "Bearer sk"}), None, "chat", lengths=True)
    assert len(server.asked) > 100
    assert {key for _, _, key in server.asked} == {"Bearer sk"}
    assert server.connections == 1


def test_nobody_asks_what_words_cost_where_no_prompt_is_made_of_them() -> None:
    with serving(whole) as server:
        served = ask(Target(server.url), None, "chat", lengths=False)
    assert served.vocabulary is WORDS_AS_TOKENS
    assert [path for _, path, _ in server.asked] == ["/v1/models"]


@pytest.mark.parametrize("status", [403, 404, 405, 429, 500])
def test_a_server_that_does_not_count_tokens_leaves_them_assumed(status: int) -> None:
    def models_only(method: str, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        return (status, b"no") if path == "/tokenize" else whole(method, path, body)

    with serving(models_only) as server, Inquiry(Target(server.url)) as inquiry:
        assert vocabulary_of(inquiry, "big") is WORDS_AS_TOKENS


def test_a_given_model_needs_no_list_and_a_missing_one_does() -> None:
    with serving(always(404, b"")) as server:
        served = ask(Target(server.url), "mine", "chat", lengths=True)
        assert (served.model, served.simulated) == ("mine", None)
        assert ask(Target(server.url), None, "generate", lengths=True).model == ""
        with pytest.raises(ConfigurationError) as refused:
            ask(Target(server.url), None, "chat", lengths=True)
    assert "--model" in str(refused.value)


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (401, b'{"error": "bad key sk-hidden"}', "--api-key-env"),
        (500, b"", "HTTP 500"),
        (200, b"<html>", "expected"),
        (200, b'{"data": []}', "serves no model"),
        (200, b'{"data": [{"name": "x"}]}', 'a list of models under "data"'),
        (200, b'{"data": [{"id": "x", "max_model_len": "long"}]}', 'a list of models under "data"'),
        (200, b'{"data": [{"id": "x", "max_model_len": 1e999}]}', 'a list of models under "data"'),
        (200, b"[]", 'a list of models under "data"'),
        (200, b"[" * 100_000, "JSON"),
    ],
)
def test_an_answer_that_cannot_be_used_is_said(status: int, content: bytes, told: str) -> None:
    with (
        serving(always(status, content)) as server,
        Inquiry(Target(server.url)) as inquiry,
        pytest.raises(ConfigurationError) as refused,
    ):
        inquiry.models()
    assert told in str(refused.value)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("content", [b'{"tokens": 4}', b'{"count": 1e999}'])
def test_a_count_that_is_none_is_said(content: bytes) -> None:
    with (
        serving(always(200, content)) as server,
        Inquiry(Target(server.url)) as inquiry,
        pytest.raises(ConfigurationError) as refused,
    ):
        inquiry.count("big", "hello")
    assert 'a number under "count"' in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://ex ample:80",
        "http://a..b",
        "http://host/p ath",
        "http://host/größe",
        "http://host:port",
        "http://[::1",
        "http://me:hunter2@host:port",
        "me:hunter2@host",
    ],
)
def test_what_is_no_address_is_said_without_a_password(url: str) -> None:
    for target in (Target(url), Target("http://host", proxy=url)):
        with pytest.raises(ConfigurationError) as refused:
            Inquiry(target)
        assert "is not a base URL" in str(refused.value)
        assert "hunter2" not in str(refused.value)


def test_no_such_route_is_told_apart() -> None:
    with (
        serving(always(404, b"")) as server,
        Inquiry(Target(server.url)) as inquiry,
        pytest.raises(NotOffered),
    ):
        inquiry.models()


def test_a_path_before_the_api_is_kept() -> None:
    with (
        serving(always(404, b"")) as server,
        Inquiry(Target(server.url + "/team/llm/")) as inquiry,
        pytest.raises(NotOffered),
    ):
        inquiry.models()
    assert server.asked[0][1] == "/team/llm/v1/models"


def test_a_proxy_is_used_when_it_is_given_and_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with serving(whole) as proxy:
        through = Target("http://llm.invalid:8000", proxy=proxy.url)
        with Inquiry(through) as inquiry, pytest.raises(NotOffered):  # this proxy knows no whole addresses
            inquiry.models()
        assert proxy.asked[-1][1] == "http://llm.invalid:8000/v1/models"
        with Inquiry(Target(proxy.url)) as inquiry:
            assert inquiry.models()[0].name == "big"


def test_a_certificate_is_verified_and_what_to_do_is_said(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(whole, context) as server:
        url = server.url.replace("http:", "https:")
        with Inquiry(Target(url)) as inquiry, pytest.raises(ConfigurationError) as refused:
            inquiry.models()
        for trusting in (Target(url, ca_file=tmp_path / "ca.pem"), Target(url, verify=False)):
            with Inquiry(trusting) as inquiry:
                assert inquiry.models()[0].name == "big"
    assert "--ca-file" in str(refused.value)
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value)
