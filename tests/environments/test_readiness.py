"""Waits: they end when it is ready, when the bound is over, and at once when what they need has died."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from environments.process import Process
from environments.provider import StackDied, StackNotReady
from environments.readiness import answers, wait_until


class Answering(BaseHTTPRequestHandler):
    """200 on /health, 503 with a reason on everything else."""

    def do_GET(self) -> None:
        well = self.path == "/health"
        body = b"well" if well else b"still loading the model"
        self.send_response(200 if well else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def base_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[Process]:
    """A component that prints a line and ends with exit code 7."""
    command = [sys.executable, "-c", "print('CUDA out of memory', flush=True); raise SystemExit(7)"]
    process = Process.start("engine", command, log=tmp_path / "engine.log", cwd=tmp_path)
    yield process
    process.stop()


def test_a_wait_ends_as_soon_as_it_is_ready() -> None:
    said = iter(["not yet", "not yet", None])
    ticks: list[float] = []
    waited_s = wait_until(lambda: next(said), "the third answer", bound_s=60.0, tick=ticks.append)
    assert len(ticks) == 2
    assert ticks[-1] < waited_s < 60.0


def test_a_wait_looks_once_even_without_time() -> None:
    assert wait_until(lambda: None, "what is there already", bound_s=0.0) >= 0.0


def test_a_wait_that_runs_out_says_what_it_waited_for_last_saw_and_what_to_try() -> None:
    began = time.monotonic()
    seen = (f"HTTP 503: step {n}" for n in range(10_000))
    last: list[str] = []

    def probe() -> str:
        last.append(next(seen))
        return last[-1]

    with pytest.raises(StackNotReady) as error:
        wait_until(probe, "the engine answers", bound_s=0.3, hint="a longer bound")
    assert time.monotonic() - began >= 0.3
    assert str(error.value).splitlines() == [
        "the engine answers: not within 0.3 s",
        "  expected: the engine answers",
        f"  seen:     {last[-1]}",
        "  try:      a longer bound",
    ]


def test_a_wait_that_runs_out_shows_the_logs_of_what_it_needed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('loading', flush=True); import time; time.sleep(600)"]
    process = Process.start("engine", command, log=tmp_path / "engine.log", cwd=tmp_path)
    try:
        wait_until(lambda: None if "loading" in process.log_tail() else "silent", "its line", bound_s=30.0)
        with pytest.raises(StackNotReady, match=r"(?s)engine, last lines:\nloading"):
            wait_until(lambda: "nothing", "more", bound_s=0.0, components=(process,))
    finally:
        process.stop()


def test_the_death_of_a_component_ends_the_wait_with_its_log(dying: Process) -> None:
    with pytest.raises(StackDied) as death:  # and not StackNotReady, which the bound would bring
        wait_until(lambda: "connection refused", "the engine answers", bound_s=30.0, components=(dying,))
    assert death.value.message == "engine died: exit code 7"
    assert death.value.log_tail == "CUDA out of memory"


def test_a_url_is_ready_when_it_answers_200(base_url: str) -> None:
    with httpx.Client(trust_env=False) as client:
        assert answers(f"{base_url}/health", client)() is None
        assert answers(f"{base_url}/ready", client)() == "HTTP 503: still loading the model"


def test_a_url_where_nobody_listens_is_not_ready() -> None:
    with httpx.Client(trust_env=False) as client:
        seen = answers("http://127.0.0.1:9/health", client)()
    assert seen is not None
    assert seen.startswith("ConnectError: ")
