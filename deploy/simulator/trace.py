"""Trace: the truth about each request, one JSON line each, for comparing a client's stamps with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Generation


class Trace:
    """Appends to `path`, a line at a time and flushed; without a path it does nothing.

    Instants: CLOCK_MONOTONIC, ns.
    """

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8") if path is not None else None

    def write(self, generation: Generation) -> None:
        """One line for `generation`: when token k went to the socket, and when it should have."""
        if self._file is None:
            return
        line = {
            "request_id": generation.request_id,
            "arrival_ns": generation.arrival_ns,
            "start_ns": generation.start_ns,
            "finish": generation.finish,
            "stream": generation.ask.stream,
            "prompt_tokens": generation.ask.prompt_tokens,
            "dues": generation.dues[: len(generation.sends)],
            "sends": generation.sends,
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
