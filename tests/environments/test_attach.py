"""Attaching: what cannot be used is told at once, and what a stranger's server says is believed with care."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from environments import attach
from environments.attach import AttachOptions, attached_stack
from environments.provider import Stack, StackNotReady
from instruments.errors import ConfigurationError

Answer = tuple[int, str]
MODELS = json.dumps({"data": [{"id": "tiny", "max_model_len": 512}, {"id": "large"}]})


class Dictated(BaseHTTPRequestHandler):
    """Answers each path as dictated, 404 otherwise; asks for a key when there is one."""

    answers: ClassVar[dict[str, Answer]] = {}
    key: ClassVar[str | None] = None

    def do_GET(self) -> None:
        status, body = self.answers.get(self.path, (404, "not here"))
        if self.key and self.path == "/v1/models" and self.headers["Authorization"] != f"Bearer {self.key}":
            status, body = 401, "no"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Dictated.answers, Dictated.key = {"/v1/models": (200, MODELS)}, None
    with ThreadingHTTPServer(("127.0.0.1", 0), Dictated) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def attached(options: AttachOptions) -> Stack:
    with attached_stack(options, lambda _: None) as stack:
        return stack


def refusal(options: AttachOptions) -> str:
    with pytest.raises(StackNotReady) as error:
        attached(options)
    return str(error.value)


def test_a_server_is_taken_as_it_describes_itself(server: str) -> None:
    Dictated.answers |= {"/version": (200, '{"version": "0.11.0"}'), "/metrics": (200, "vllm:x 1\n")}
    stack = attached(AttachOptions(f"{server}/"))
    assert (stack.base_url, stack.model, stack.max_model_len) == (server, "tiny", 512)
    assert stack.engine_url == server
    assert stack.fingerprint["engine.version"] == "vllm 0.11.0"
    assert not stack.simulated
    assert stack.components == ()


def test_what_it_lacks_is_told_with_a_reason(server: str) -> None:
    missing = attached(AttachOptions(server)).missing
    assert missing["tls"] == "the base URL is plain HTTP"
    assert "no --api-key-env" in missing["keys"]
    assert "does not show vLLM's metrics" in missing["engine_metrics"]
    assert "no --prometheus-url" in missing["prometheus"]
    assert {"gateway", "gateway_metrics", "limiter", "alertmanager", "exclusive"} <= set(missing)


def test_the_key_is_used_and_shown_to_nobody(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Dictated.key = "sk-right"
    monkeypatch.setenv("MY_KEY", "sk-right")
    stack = attached(AttachOptions(server, api_key_env="MY_KEY"))
    assert stack.headers() == {"Authorization": "Bearer sk-right"}
    assert "keys" not in stack.missing
    assert "sk-right" not in repr(stack)


def test_a_model_may_be_chosen(server: str) -> None:
    assert attached(AttachOptions(server, model="large")).model == "large"


def test_an_unknown_model_lists_the_known(server: str) -> None:
    text = refusal(AttachOptions(server, model="huge"))
    assert "does not serve the model 'huge'" in text
    assert "tiny, large" in text


def test_a_server_without_models_is_refused(server: str) -> None:
    Dictated.answers["/v1/models"] = (200, '{"data": []}')
    assert "lists no model" in refusal(AttachOptions(server))


@pytest.mark.parametrize(
    "answer",
    [(404, "not here"), (200, "<html>hello</html>"), (200, "[]"), (200, '{"data": 3}'), (500, "{}")],
    ids=["404", "html", "list", "number", "500"],
)
def test_a_server_that_is_no_openai_server_is_told_with_what_it_said(server: str, answer: Answer) -> None:
    Dictated.answers["/v1/models"] = answer
    text = refusal(AttachOptions(server))
    assert "is not an OpenAI-compatible list of models" in text
    assert f"HTTP {answer[0]}: {answer[1]!r}" in text


def test_a_wrong_key_is_told_by_its_variable_and_not_by_its_value(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dictated.key = "sk-right"
    monkeypatch.setenv("MY_KEY", "sk-wrong")
    text = refusal(AttachOptions(server, api_key_env="MY_KEY"))
    assert "refused the key in $MY_KEY" in text
    assert "HTTP 401" in text
    assert "sk-wrong" not in text


def test_no_key_where_one_is_asked_for_is_told(server: str) -> None:
    Dictated.key = "sk-right"
    assert "refused no key" in refusal(AttachOptions(server))


def test_where_nobody_listens_is_told() -> None:
    text = refusal(AttachOptions("http://127.0.0.1:9"))
    assert "no answer from http://127.0.0.1:9/v1/models" in text
    assert "ConnectError" in text
    assert "--ca-bundle" in text


def test_a_server_that_never_answers_is_waited_for_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "REACH_BOUND_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = refusal(AttachOptions(f"http://127.0.0.1:{silent.getsockname()[1]}"))
    assert "a list of models within 0.2 s" in text
    assert "ReadTimeout" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (AttachOptions(None), "--base-url URL"),
        (AttachOptions("localhost:8000"), "not the URL of a server"),
        (AttachOptions("ftp://localhost"), "not the URL of a server"),
        (AttachOptions("http://"), "not the URL of a server"),
        (AttachOptions("http://localhost:99999"), "not the URL of a server"),
        (AttachOptions("http://[::1"), "not the URL of a server"),
        (AttachOptions("http://me:sk-in-url@localhost"), "no user, password, query or fragment"),
        (AttachOptions("http://localhost?key=sk-in-url"), "no user, password, query or fragment"),
        (AttachOptions("http://localhost", api_key_env="NO_SUCH"), "NO_SUCH: this variable is not set"),
        (AttachOptions("http://localhost", ca_bundle=Path("absent.pem")), "absent.pem: no such file"),
    ],
)
def test_an_option_that_cannot_be_used_is_told_before_anybody_is_asked(
    options: AttachOptions, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(ConfigurationError) as error:
        attached(options)
    assert told in str(error.value)
    assert "sk-in-url" not in str(error.value)


@pytest.mark.parametrize("value", ["sk-key\n", " sk-key", "sk-\tkey", "sk-kéy"])
def test_a_key_that_no_header_can_carry_is_told_and_not_shown(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ConfigurationError, match="MY_KEY: its value cannot be sent") as error:
        attached(AttachOptions("http://localhost", api_key_env="MY_KEY"))
    assert value.strip() not in str(error.value)


def test_a_bundle_that_holds_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem holds no certificate"):
        attached(AttachOptions("https://localhost", ca_bundle=tmp_path / "ca.pem"))
