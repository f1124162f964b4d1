"""The receiver keeps what Alertmanager sends, within bounds, and tells it to whoever may ask."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.monitoring.receiver import AT_ONCE, MOST_BODY_BYTES
from environments.binaries import ROOT
from tests.environments.census import eventually

BOUND_S = 20.0
TOKEN = "tok-123"


@contextmanager
def receiver(*words: str | Path) -> Iterator[httpx.Client]:
    """One on a free port, and a client of it; it ends in good order."""
    command = [sys.executable, "-m", "deploy.monitoring.receiver", "--port", "0", *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("receiver: listening on 127.0.0.1:"), said
            url = f"http://{said.split()[-1]}"
            with httpx.Client(base_url=url, trust_env=False, timeout=BOUND_S) as client:
                yield client
        finally:
            process.terminate()
            assert process.wait(BOUND_S) == 0


def message(*names: str, status: str = "firing") -> dict[str, Any]:
    """What Alertmanager sends (version 4), as far as the receiver reads it."""
    alerts = [
        {
            "status": status,
            "labels": {"alertname": name, "severity": "page"},
            "annotations": {"summary": f"{name} is so"},
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://p/graph",
            "fingerprint": f"f-{name}",
        }
        for name in names
    ]
    return {"version": "4", "receiver": "page", "status": status, "alerts": alerts}


def kept(client: httpx.Client) -> list[str]:
    return [one["labels"]["alertname"] for one in client.get("/alerts").raise_for_status().json()]


def test_what_came_is_told_in_its_order_and_stands_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with receiver("--file", file) as client:
        assert kept(client) == []
        assert client.post("/alerts", json=message("A", "B")).json() == {"kept": 2}
        client.post("/alerts", json=message("A", status="resolved")).raise_for_status()
        assert kept(client) == ["A", "B", "A"]
        first, _, last = client.get("/alerts").json()
        assert (first["status"], last["status"]) == ("firing", "resolved")
        assert first["receiver"] == "page"
        assert first["annotations"] == {"summary": "A is so"}
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines == client.get("/alerts").json()


def test_only_the_newest_are_kept_and_the_file_is_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with receiver("--file", file, "--keep", "2", "--file-bytes", "700") as client:
        for name in "ABCDE":
            client.post("/alerts", json=message(name)).raise_for_status()
        assert kept(client) == ["D", "E"]
    assert file.stat().st_size <= 700
    before = file.with_name("alerts.jsonl.1")
    assert before.stat().st_size <= 700
    assert {path.name for path in tmp_path.iterdir()} == {"alerts.jsonl", "alerts.jsonl.1"}


def test_alerts_that_are_long_push_others_out_of_memory() -> None:
    """A message may be a megabyte: a thousand of those would be all of the container's memory."""
    with receiver("--keep-bytes", "3500") as client:
        for name in ("A", "B", "C" * 1000):
            client.post("/alerts", json=message(name)).raise_for_status()
        assert kept(client) == ["C" * 1000]  # three times in it, and some bytes of other words
        client.post("/alerts", json=message("D" * 3000)).raise_for_status()
        assert kept(client) == []


def test_half_a_letter_is_no_reason_to_tell_nothing_any_more() -> None:
    with receiver() as client:
        client.post(
            "/alerts", content=b'{"alerts": [{"labels": {"alertname": "\\ud800"}}]}'
        ).raise_for_status()
        assert kept(client) == ["?"]


def test_connections_are_few_and_short_whatever_their_clients_do() -> None:
    with receiver("--connection-s", "1") as client, contextlib.ExitStack() as idle:
        assert kept(client) == []
        client.close()
        for _ in range(AT_ONCE):
            at = (client.base_url.host, client.base_url.port or 0)
            one = idle.enter_context(socket.create_connection(at, timeout=BOUND_S))
            one.sendall(b"POST /alerts HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
        with httpx.Client(base_url=client.base_url, trust_env=False, timeout=BOUND_S) as next_one:
            with pytest.raises(httpx.HTTPError):
                next_one.get("/health")
            until_s = time.monotonic() + 0.8
            while time.monotonic() < until_s:
                one.sendall(b" ")  # never a second without a byte
                time.sleep(0.1)
            eventually(lambda: _answers(next_one), "there is room again", 5.0)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_token_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with receiver("--token-file", token) as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            assert client.get("/alerts", headers=headers).status_code == 401
            assert client.post("/alerts", json=message("A"), headers=headers).status_code == 401
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert client.post("/alerts", json=message("A"), headers=own).status_code == 200
        assert len(client.get("/alerts", headers=own).json()) == 1


def test_what_is_no_message_is_refused_and_nothing_of_it_is_kept() -> None:
    with receiver() as client:
        for body in (b"", b"{", b"[]", b'{"alerts": 1}', b'{"alerts": [1]}', b"[" * 100_000, b"\xff"):
            assert client.post("/alerts", content=body).status_code == 400, body[:20]
        too_much = b" " * (MOST_BODY_BYTES + 1)
        assert client.post("/alerts", content=too_much).status_code == 413
        assert client.post("/alerts", content=iter([b"{}"])).status_code == 411
        assert client.post("/elsewhere", json=message("A")).status_code == 404
        assert client.get("/").status_code == 404
        assert kept(client) == []


@pytest.mark.parametrize("words", [["--host", "0.0.0.0"], ["--token-file", "empty"]])  # noqa: S104
def test_it_does_not_start_open_to_the_world(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    words = [str(tmp_path / word) if word == "empty" else word for word in words]
    command = [sys.executable, "-m", "deploy.monitoring.receiver", "--port", "0", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 2
    assert "token" in done.stderr
