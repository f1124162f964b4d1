"""Prometheus' address and its errors: what is no Prometheus is told as such, and no password is shown."""

from __future__ import annotations

import http.server
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from instruments.errors import ConfigurationError, TelemetryError
from instruments.telemetry.prometheus import PrometheusTelemetry
from instruments.telemetry.prometheus_api import PrometheusApi
from tests.instruments.exposing import JOB, exposing

ASKED = ("query", "metrics")


@contextmanager
def redirecting(elsewhere: str) -> Iterator[str]:
    """The URL of a server that sends whoever asks to another address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", elsewhere)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Said to nobody."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(5.0)


def told_of(url: str, asked: str) -> TelemetryError:
    """How it is told that the server at the URL does not answer."""
    api = PrometheusApi(url)
    try:
        with pytest.raises(TelemetryError) as raised:
            api.query("up") if asked == "query" else api.metrics()
    finally:
        api.close()
    return raised.value


def all_of(error: Exception) -> str:
    """The error as a reader sees it, and with all that is shown of where it came from."""
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@127.0.0.1:9090",
        "http://hunter2@127.0.0.1:9090",
        "http://user:hunter2@127.0.0.1:99999",
        "http://user:hunter2@[::1",
        "http://user:hun/hunter2@127.0.0.1:9090",
        "http://user:80/hunter2@127.0.0.1:9090",
        "user:hunter2@127.0.0.1:9090",
        "https:/user:hunter2@127.0.0.1",
    ],
)
def test_an_address_with_a_password_is_refused_and_none_of_it_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the URL of Prometheus cannot be used") as raised:
        PrometheusTelemetry(url, JOB)
    assert raised.value.seen == "a user or a password"
    for secret in ("hunter2", "user:", "127.0.0.1"):
        assert secret not in all_of(raised.value)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("", "something else"),
        ("hunter2", "something else"),
        ("127.0.0.1:9090", "something else"),
        ("hunter2:9090", "something else"),
        ("ftp://hunter2", "something else"),
        ("http://", "something else"),
        ("http://:9090/hunter2", "something else"),
        ("http://[::1/hunter2", "something else"),
        ("http://hunter2:99999", "something else"),
        ("http://127.0.0.1:hunter2", "something else"),
        ("http://127.0.0.1:0/hunter2", "something else"),
        ("http://127.0.0.1:9090?token=hunter2", "a query or a fragment"),
        ("http://127.0.0.1:9090/#hunter2", "a query or a fragment"),
    ],
)
def test_what_is_no_address_is_refused_and_none_of_it_shown(url: str, seen: str) -> None:
    with pytest.raises(ConfigurationError, match="the URL of Prometheus cannot be used") as raised:
        PrometheusApi(url)
    assert raised.value.seen == seen
    assert "hunter2" not in all_of(raised.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:9090/", "http://127.0.0.1:9090"),
        ("https://prometheus.example/at/a/path/", "https://prometheus.example/at/a/path"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_an_address_is_kept_as_it_is_but_for_the_slash_at_its_end(url: str, place: str) -> None:
    api = PrometheusApi(url)
    api.close()
    assert api.place == place


@pytest.mark.parametrize("asked", ASKED)
def test_no_server_at_all_is_one_clear_text(asked: str) -> None:
    error = told_of("http://127.0.0.1:1", asked)
    assert error.message.startswith("Prometheus at http://127.0.0.1:1 does not ")
    assert error.seen == "connection refused"


def test_an_answer_that_is_an_http_error_is_told_by_its_status_alone() -> None:
    with exposing("no such page") as other:
        other.status = 404
        error = told_of(f"http://{other.target}", "metrics")
    assert error.seen == "HTTP 404"


@pytest.mark.parametrize("asked", ASKED)
def test_an_http_error_after_a_redirect_does_not_show_the_password_of_where_it_led(asked: str) -> None:
    with exposing("down") as other:
        other.status = 503
        with redirecting(f"http://user:hunter2@{other.target}/") as url:
            error = told_of(url, asked)
    assert "503" in str(error.seen)
    assert "hunter2" not in all_of(error)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://user:hunter2@127.0.0.1:99999/",
        "http://user:hunter2@[::1/",
        "http://user:hunter2@/",
        "ftp://user:hunter2@127.0.0.1/",
        f"ftp://user:hunter2{'x' * 400}@127.0.0.1/",  # longer than what is told of an error
    ],
)
def test_a_redirect_to_nowhere_is_told_without_the_password_in_it(elsewhere: str, asked: str) -> None:
    with redirecting(elsewhere) as url:
        error = told_of(url, asked)
    assert f"Prometheus at {url} does not " in str(error)
    assert error.seen
    assert "hunter2" not in all_of(error)


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("<html>login</html>", "JSONDecodeError"),
        ("{}", "KeyError"),
        ('{"data": null}', "TypeError"),
        ('{"data": {"result": []}}', "IndexError"),
        ('{"data": {"result": [0, "no"]}}', "ValueError"),
    ],
)
def test_what_is_not_prometheus_is_told_as_such(body: str, seen: str) -> None:
    with exposing(body) as other:
        telemetry = PrometheusTelemetry(f"http://{other.target}", JOB)
        with pytest.raises(TelemetryError, match="Prometheus at") as raised:
            telemetry.snapshot()
        telemetry.close()
    assert raised.value.seen is not None
    assert seen in raised.value.seen
