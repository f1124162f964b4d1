"""Starting a worker's process: light to import, so that a worker can get ready while its parent does."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
STOP_BOUND_S = 10.0
WORDS_KEPT = 4_000
WORKER = ("-m", "instruments.worker")


@dataclass(frozen=True, slots=True)
class Spawned:
    """A worker that waits for its order. It goes by itself when its standard input is closed."""

    process: subprocess.Popen[bytes]
    words: IO[bytes]  # what it says on its standard error
    stop_bound_s: float = STOP_BOUND_S  # that it has to write its journal's end, and to hand it over

    def tell(self, words: bytes) -> None:
        """Write all of it; harmless when it has gone."""
        left = memoryview(words)
        with suppress(BrokenPipeError):
            while left:
                left = left[self.orders.write(left) :]

    def stop(self) -> None:
        """Tell it to stop, by the end of its input; harmless when it has gone."""
        with suppress(BrokenPipeError):
            self.orders.close()

    def says_something(self, bound_s: float) -> bool:
        """Wait for a word of it, or for its end."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.answers, selectors.EVENT_READ)
            return bool(selector.select(bound_s))

    def last_words(self) -> str:
        """What it said last on its standard error."""
        self.words.seek(0)
        return self.words.read()[-WORDS_KEPT:].decode("utf-8", "replace").strip()

    def end(self) -> None:
        """End it and collect what is left of it; bounded."""
        self.stop()
        try:
            self.process.wait(self.stop_bound_s)
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


def spawn(module: Sequence[str] = WORKER, stop_bound_s: float = STOP_BOUND_S) -> Spawned:
    """Start a worker, or a module that is spoken to as one. OSError when the machine cannot."""
    words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
    try:
        process = subprocess.Popen(
            [sys.executable, *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *_elsewhere()])},
        )
    except BaseException:
        words.close()
        raise
    return Spawned(process, words, stop_bound_s)


def _elsewhere() -> list[str]:
    """Further folders that this process imports from: in an image, those of what it was built with."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(ROOT)]
