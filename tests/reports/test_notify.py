"""A verdict told to a webhook: a real server that takes it, refuses, hangs, closes or sends elsewhere."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from environments.ports import take_port
from instruments.errors import ConfigurationError
from reports.__main__ import main
from reports.model import read_report
from reports.notify import MOST_BYTES, NotNotified, address_of, body_of, checked_link, link_of_build, post
from tests.reports.runs import RunBuilder, even_load, objective

SECRET = "T00000000/B00000000/planted-webhook-secret"
PATIENT_S, IMPATIENT_S = 10.0, 0.5  # for those that answer, and for those that never do


class Webhook(BaseHTTPRequestHandler):
    """Answers as its server was told, one after the other; the last answer stays."""

    server: Listening

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.answers[min(len(self.server.got), len(self.server.answers) - 1)]
        self.server.got.append((self.path, body))
        if answer == "close":
            self.close_connection = True
        elif answer == "hang":
            self.server.over.wait(20)
        elif answer == "drip":
            self._drip()
        else:
            self.send_response(int(answer))
            if 300 <= int(answer) < 400:
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _drip(self) -> None:
        """A byte now and then: each soon enough, and all of them never."""
        try:
            while not self.server.over.wait(0.1):
                self.wfile.write(b"H")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        pass


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    answers: tuple[str, ...] = ()
    got: list[tuple[str, bytes]]
    over: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/{SECRET}"


@contextmanager
def webhook(*answers: str) -> Iterator[Listening]:
    with Listening(("127.0.0.1", 0), Webhook) as server:
        server.answers, server.got, server.over = answers, [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()


def tell(url: str, body: bytes = b"{}", timeout_s: float = PATIENT_S) -> int:
    return post(url, body, timeout_s=timeout_s, backoff_s=0.01)


def refused(server: Listening, timeout_s: float = PATIENT_S) -> NotNotified:
    with pytest.raises(NotNotified) as caught:
        tell(server.url, timeout_s=timeout_s)
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_a_webhook_that_takes_it_is_asked_once() -> None:
    with webhook("200") as server:
        assert tell(server.url, b'{"a":1}') == 200
        assert server.got == [(f"/services/{SECRET}", b'{"a":1}')]


@pytest.mark.parametrize("first", ["500", "429", "close"])
def test_what_may_be_over_soon_is_tried_again(first: str) -> None:
    with webhook(first, "204") as server:
        assert tell(server.url) == 204
        assert len(server.got) == 2


@pytest.mark.parametrize(
    ("answer", "seen", "tries"),
    [
        ("500", "HTTP 500", 2),
        ("404", "HTTP 404", 1),
        ("302", "HTTP 302; redirects are not followed", 1),
        ("close", "no answer (RemoteProtocolError)", 2),
        ("hang", "no answer within 0.5 s", 2),
        ("drip", "no answer within 0.5 s", 2),
    ],
)
def test_one_that_does_not_take_it_is_told_without_its_address(answer: str, seen: str, tries: int) -> None:
    with webhook(answer) as server:
        assert refused(server, IMPATIENT_S if "within" in seen else PATIENT_S).seen == seen
        assert [path for path, _ in server.got] == [f"/services/{SECRET}"] * tries, "and nowhere else"


def test_nobody_there_is_told_without_its_address() -> None:
    url = f"http://127.0.0.1:{take_port(0, 'nobody')}/{SECRET}"
    with pytest.raises(NotNotified) as caught:
        tell(url)
    assert caught.value.seen == "no answer (ConnectError)"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "nonsense://", "http://[", "http://a b"])
def test_a_proxy_that_cannot_be_used_is_told_at_once(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(NotNotified) as refused:
        post(f"https://127.0.0.2:1/{SECRET}", b"{}", timeout_s=PATIENT_S, tries=1)
    assert str(refused.value.seen).startswith("no answer (")
    assert "planted" not in str(refused.value)


def test_the_bound_is_of_a_try_as_a_whole() -> None:
    with webhook("drip") as server:
        began_s = time.monotonic()
        with pytest.raises(NotNotified):
            post(server.url, b"{}", timeout_s=0.5, tries=1)
        assert time.monotonic() - began_s >= 0.5  # not before; how long after is the machine's


def test_no_log_holds_the_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with webhook("200") as server:
        tell(server.url)
    with webhook("500") as server:
        refused(server)
        httpx.get(f"http://127.0.0.1:{server.server_port}/of-others", trust_env=False)
    assert "of-others" in caplog.text, "what others ask for is logged as before"
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "value",
    [
        "", "  ", "hooks.example/" + SECRET, "http://hooks.example/" + SECRET, "ftp://127.0.0.1/" + SECRET,
        "https:///" + SECRET, "https://hooks.example:port/" + SECRET, "https://hooks.example/a b" + SECRET,
        "https://hooks.example/\n" + SECRET, "http://127.0.0.1.evil.example/" + SECRET,
        "https://[::1/" + SECRET,
    ],
)  # fmt: skip
def test_an_address_that_is_no_good_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        address_of("HOOK", {"HOOK": value})
    assert "--url-env HOOK" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "127.8.8.8"])
def test_http_is_for_this_machine(host: str) -> None:
    assert address_of("HOOK", {"HOOK": f"http://{host}:1/{SECRET}\n"}) == f"http://{host}:1/{SECRET}"
    assert address_of("HOOK", {"HOOK": f"https://hooks.example/{SECRET}"}).startswith("https://")


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://key@ci.example/", "//ci.example", "https://a b", "x" * 9]
)
def test_a_link_that_is_none_is_not_sent(link: str) -> None:
    with pytest.raises(ConfigurationError, match="not a link that may be sent"):
        checked_link(link)


@pytest.mark.parametrize(
    ("environ", "link"),
    [
        ({}, None),
        ({"GITHUB_ACTIONS": "true"}, None),
        (
            {
                "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7",
            },
            "https://github.com/a/b/actions/runs/7",
        ),
        ({"CI_JOB_URL": "https://gitlab.example/a/-/jobs/7"}, "https://gitlab.example/a/-/jobs/7"),
        ({"BUILD_URL": "https://jenkins.example/job/a/7/"}, "https://jenkins.example/job/a/7/"),
        ({"BUILD_URL": "https://key@jenkins.example/"}, None),
    ],
)  # fmt: skip
def test_a_ci_tells_where_the_job_is(environ: dict[str, str], link: str | None) -> None:
    assert link_of_build(environ) == link


def test_the_fields_are_those_of_the_verdict(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load())
    run.judge(journal, objective())
    run.judge(journal, objective(id="other", at_most=0.5))
    run.claim("passed").claim("skipped", "suites/a.py::t").session(exit_code=10)
    report = read_report(run.folder.path)
    told = json.loads(body_of(report, "json", "https://ci.example/7"))
    assert told == {
        "run_id": "run-1", "state": "VIOLATED", "reason": report.reason, "exit_code": 10,
        "environment": "local", "engine": "vllm", "simulated": False, "gate": False,
        "objectives": {"MET": 1, "VIOLATED": 1}, "claims": {"total": 2, "passed": 1, "skipped": 1},
        "link": "https://ci.example/7",
    }  # fmt: skip


def test_the_text_for_slack(met: RunBuilder) -> None:
    assert json.loads(body_of(read_report(met.folder.path), "slack", "https://ci.example/7?a=1&b=2")) == {
        "text": "*MET*: run-1 on local, exit code 0\n1 of 1 required objective met, 1 of 1 claim passed\n"
        "objectives: 1 MET; claims: 1 passed\n<https://ci.example/7?a=1&amp;b=2>"
    }


@pytest.mark.parametrize("kind", ["slack", "json"])
def test_a_message_is_small_whatever_the_run_and_mentions_nobody(run: RunBuilder, kind: str) -> None:
    hostile = "<!channel> <https://evil.example|click> \U0001f4a5" * 400
    run.claim("error", hostile, reason=hostile).session(run_id=hostile, environment=hostile, engine=hostile)
    body = body_of(read_report(run.folder.path), kind, "https://ci.example/" + "x" * 900)
    assert len(body) < MOST_BYTES
    assert json.loads(body)
    assert kind == "json" or "<!channel" not in json.loads(body)["text"]


def test_the_command_tells_the_webhook(
    met: RunBuilder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with webhook("200") as server:
        monkeypatch.setenv("HOOK", server.url)
        given = ["notify", str(met.folder.path), "--url-env", "HOOK", "--link", "https://ci.example/7"]
        assert main(given) == 0
        assert main([*given, "--format", "json"]) == 0
        assert [json.loads(body).get("state") for _, body in server.got] == [None, "MET"]
    said = capsys.readouterr()
    assert said.out == "the webhook in $HOOK took the verdict: HTTP 200\n" * 2
    assert SECRET not in said.out + said.err


def test_the_command_ends_with_2_when_it_is_not_taken(
    met: RunBuilder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    assert main(["notify", str(met.folder.path), "--url-env", "HOOK"]) == 2
    with webhook("404") as server:
        monkeypatch.setenv("HOOK", server.url)
        assert main(["notify", str(met.folder.path), "--url-env", "HOOK"]) == 2
    said = capsys.readouterr()
    assert "this variable is not set" in said.err
    assert "HTTP 404" in said.err
    assert SECRET not in said.out + said.err
