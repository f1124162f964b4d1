"""Collecting: a worker's journal on its way to who started it, slowly, and at the end all of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instruments.remote.frames import Frame, Kind
from instruments.spawn import STOP_BOUND_S, Spawned
from instruments.worker import is_ready

LOOK_EVERY_S = 0.25
WHILE_IT_GOES_BYTES = 1 << 18  # a look: a megabyte a second, whatever the load writes
AT_THE_END_BYTES = 1 << 20
BEAT_EVERY_S = 2.0
# Where Linux counts the processes of this control group that it killed for their memory: version 2 and 1.
OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


class Collector:
    """Sends what a worker writes and says, until it has ended and all is sent."""

    def __init__(self, worker: Spawned, journal: Path, send: Callable[[Frame], None]) -> None:
        self._worker, self._journal, self._send = worker, journal, send
        self._sent = 0
        self._said = b""
        self._beat_s = 0.0
        self._kills = oom_kills()

    def run(self) -> None:
        """OSError when nobody takes it."""
        while not self._worker_has_ended():
            self._pass_on(WHILE_IT_GOES_BYTES)
            self._beat()
        while self._pass_on(AT_THE_END_BYTES):
            pass
        self._send(Frame.of(Kind.END, self._ending()))

    def _worker_has_ended(self) -> bool:
        """Wait for a word of it, for as long as between two looks."""
        if not self._worker.says_something(LOOK_EVERY_S):
            return False
        data = self._worker.answers.read(65_536)
        self._said += data
        if is_ready(self._said):
            self._said = b""
            self._send(Frame(Kind.READY))
        return not data

    def _pass_on(self, most: int) -> bool:
        """Send what is new of the journal, at most so much; whether there was any."""
        try:
            with self._journal.open("rb") as file:
                file.seek(self._sent)
                data = file.read(most)
        except FileNotFoundError:
            return False
        if data:
            self._send(Frame(Kind.DATA, data))
            self._sent += len(data)
        return bool(data)

    def _beat(self) -> None:
        now_s = time.monotonic()
        if now_s - self._beat_s >= BEAT_EVERY_S:
            self._beat_s = now_s
            self._send(Frame(Kind.BEAT))

    def _ending(self) -> dict[str, Any]:
        """How the worker ended, and what its journal amounts to: read again, not remembered."""
        try:
            status = self._worker.process.wait(STOP_BOUND_S)
        except subprocess.TimeoutExpired:
            self._worker.process.kill()
            status = self._worker.process.wait()
        length, sha256 = _sealed(self._journal)
        return {
            "status": status,
            "said": _answer(self._said),
            "words": self._worker.last_words(),
            "bytes": length,
            "sha256": sha256,
            "oom_kills": oom_kills() - self._kills,
        }


def oom_kills() -> int:
    """How many processes of this container were killed for their memory; 0 where nobody tells."""
    for path in OOM_COUNTERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def _sealed(journal: Path) -> tuple[int, str]:
    """Length and SHA-256 of a file; of nothing where there is none."""
    if not journal.is_file():
        return 0, hashlib.sha256().hexdigest()
    with journal.open("rb") as file:
        made = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), made


def _answer(said: bytes) -> dict[str, Any] | None:
    """Why it failed, where it said so."""
    try:
        found = json.loads(said)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "error" in found else None
