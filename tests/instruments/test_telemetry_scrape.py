"""Direct scrape: what is served is read, and what is not is one clear error within a bound."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from instruments.errors import TelemetryError
from instruments.telemetry import scrape
from instruments.telemetry.scrape import DirectScrape
from tests.instruments.exposing import exposing, v1


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def test_some_names_are_what_all_would_have_said_of_them(client: httpx.Client) -> None:
    with exposing(v1(running=3, tokens=9)) as engine:
        source = DirectScrape(engine.url, client)
        whole, some = source.snapshot(), source.some({"vllm:num_requests_running"})
    (key,) = some.samples
    assert some.samples[key] == whole.samples[key] == 3


@pytest.mark.parametrize(
    ("status", "text", "words"),
    [
        (500, v1(), "500"),
        (404, v1(), "404"),
        (200, "<html><body>log in</body></html>\n", "text format"),
        (200, "vllm:a many\n", "text format"),
    ],
)
def test_what_is_not_an_exposition_is_a_telemetry_error(
    client: httpx.Client, status: int, text: str, words: str
) -> None:
    with exposing(text) as engine:
        engine.status = status
        with pytest.raises(TelemetryError, match=words):
            DirectScrape(engine.url, client).snapshot()


def test_a_server_that_gives_a_byte_at_a_time_is_not_waited_for(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes within the bound of a read: only the bound of the whole ends it."""
    monkeypatch.setattr(scrape, "BOUND_S", 0.3)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                gives_up_s = time.monotonic() + 5
                try:
                    while time.monotonic() < gives_up_s and not ended.wait(0.02):
                        connection.sendall(b"#")
                except OSError:
                    pass  # the client has left, as it should

        thread = threading.Thread(target=drip)
        thread.start()
        began_s = time.monotonic()
        try:
            with pytest.raises(TelemetryError, match="no end"):
                DirectScrape(f"http://127.0.0.1:{listener.getsockname()[1]}/metrics", client).snapshot()
            assert time.monotonic() - began_s < 5
        finally:
            ended.set()
            thread.join(5)


def test_a_body_without_end_is_not_kept(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "MOST_BYTES", 1000)
    with exposing("#" * 5000 + "\n") as engine, pytest.raises(TelemetryError, match="no end"):
        DirectScrape(engine.url, client).snapshot()
