"""Network weather: another way into a stack, over a link that delays, loses packets, breaks or goes dark."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from environments.binaries import ROOT
from environments.network_namespace import Conditions
from environments.ports import take_port
from environments.process import Process
from environments.provider import StackNotReady

RELAY = "environments.weather_relay"
HOST = "127.0.0.1"
READY_BOUND_S = 20.0
ANSWER_BOUND_S = 10.0
LOOPBACK = ("localhost", HOST)  # the names that a certificate of a stack here holds


class Weather:
    """A running link. `base_url` is the stack's way in through it: the same scheme, the same name."""

    def __init__(self, base_url: str, control: int, process: Process) -> None:
        self.base_url = base_url
        self._control = control
        self._process = process

    @property
    def words(self) -> str:
        """What the weather is, and who makes it: the kernel, or where it cannot, the relay."""
        return str(self._say("told")["weather"])

    @property
    def packets_lost(self) -> int:
        """How many packets the kernel dropped so far; those lost in the dark are not counted."""
        return int(self._say("told")["lost"])

    def cut(self) -> int:
        """Reset every connection, at the client's end and at the stack's; how many ends there were."""
        return int(self._say("cut")["cut"])

    def dark(self) -> None:
        """Lose every packet from now on: neither end is told anything."""
        self._say("dark")

    def light(self) -> None:
        """End the dark."""
        self._say("light")

    def _say(self, word: str) -> dict[str, Any]:
        self._process.check()
        with socket.create_connection((HOST, self._control), timeout=ANSWER_BOUND_S) as wire:
            wire.sendall(f"{word}\n".encode())
            with wire.makefile("rb") as answer:
                found = json.loads(answer.readline())
        return dict(found)


def lacks_weather(url: str) -> str | None:
    """Why no weather can be made before this URL; None where it can."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname not in LOOPBACK:
        return f"the certificate is {parts.hostname}'s, and the way in through the weather would be localhost"
    return _lacks_namespace()


@lru_cache(maxsize=1)
def _lacks_namespace() -> str | None:
    try:
        done = subprocess.run(
            [sys.executable, "-m", RELAY, "--check"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=READY_BOUND_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")


@contextmanager
def weather_before(url: str, conditions: Conditions, log: Path) -> Iterator[Weather]:
    """A link in this weather to whoever listens at a URL; gone with its block. StackNotReady, StackDied."""
    parts = urlsplit(url)
    host = "localhost" if parts.scheme == "https" else HOST
    port, control = take_port(0, "weather"), take_port(0, "weather's control")
    upstream = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    flags = ["--listen", str(port), "--control", str(control), "--upstream", upstream]
    flags += ["--loss-share", str(conditions.loss_share), "--round-trip-s", str(conditions.round_trip_s)]
    flags += [] if conditions.rate_bps is None else ["--rate-bps", str(conditions.rate_bps)]
    process = Process.start("weather", [sys.executable, "-m", RELAY, *flags], log=log, cwd=ROOT)
    try:
        _wait(process, control)
        yield Weather(f"{parts.scheme}://{host}:{port}", control, process)
    finally:
        process.stop()


def _wait(process: Process, control: int) -> None:
    """The control port is the last that the relay opens."""
    began = time.monotonic()
    while True:
        process.check()
        try:
            socket.create_connection((HOST, control), timeout=1.0).close()
        except OSError as error:
            seen = str(error)
        else:
            return
        if time.monotonic() - began > READY_BOUND_S:
            raise StackNotReady("the weather is not there", expected=f"within {READY_BOUND_S:g} s", seen=seen)
        time.sleep(0.05)
