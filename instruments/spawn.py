"""Starting a worker's process: light to import, so that a worker can get ready while its parent does."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
STOP_BOUND_S = 10.0


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker that waits for its order. It goes by itself when its standard input is closed."""

    process: subprocess.Popen[bytes]
    words: IO[bytes]  # what it says on its standard error

    def end(self) -> None:
        """End it and collect what is left of it; bounded."""
        with suppress(BrokenPipeError):
            self.orders.close()
        try:
            self.process.wait(STOP_BOUND_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()
        self.words.close()

    @property
    def orders(self) -> IO[bytes]:
        assert self.process.stdin is not None  # noqa: S101 - narrows a type
        return self.process.stdin

    @property
    def answers(self) -> IO[bytes]:
        assert self.process.stdout is not None  # noqa: S101 - narrows a type
        return self.process.stdout


def spawn() -> Spawned:
    """Start a worker. OSError when the machine cannot."""
    words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "instruments.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    except BaseException:
        words.close()
        raise
    return Spawned(process, words)
