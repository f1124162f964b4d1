"""Trace: the truth about each request, one JSON line each, for comparing a client's stamps with."""

import json
from pathlib import Path
from typing import Any

from .generation import Generation

BUFFER_BYTES = 1 << 20


class Trace:
    """Appends to `path`; without a path it does nothing. Instants: CLOCK_MONOTONIC, ns."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", buffering=BUFFER_BYTES, encoding="utf-8") if path is not None else None

    def write(self, generation: Generation) -> None:
        """One line for `generation`; it is in the file after `flush`."""
        if self._file is not None:
            self._file.write(json.dumps(line(generation), separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Put into the file what was written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def line(generation: Generation) -> dict[str, Any]:
    """The fields of a trace line.

    - arrival_ns: when the kernel had the request's last byte ("kernel"), else when it was read ("user");
      all dues count from it
    - read_ns: when the server read that byte
    - start_ns: when it got its slot; null if it never did
    - headers_ns: right before the send that completed status line and headers; null if there was none
    - dues, sends: for each token that went out, when it should have, and the instant right before the
      send system call of the chunk that carried it (over TLS: of the record, already encrypted)
    - chunks: the tokens of each chunk
    - ended_ns: right before the last send; that of an error event, or a reset, if it ended so
    - finish: length, stop (a tool call), error, reset, close, cancelled (the client left)
    - fault: the names of the faults dictated to it, or null
    """
    sends = generation.sends()
    stamps = generation.stamps
    return {
        "request_id": generation.request_id,
        "arrival_ns": generation.arrival_ns,
        "read_ns": generation.arrival.read_ns,
        "arrival_clock": "kernel" if generation.arrival.kernel else "user",
        "start_ns": generation.start_ns or None,
        "headers_ns": generation.headers_ns or None,
        "ended_ns": stamps[-1] if stamps else None,
        "finish": generation.finish,
        "fault": generation.fault.names(generation.ask.max_tokens),
        "stream": generation.ask.stream,
        "prompt_tokens": generation.ask.prompt_tokens,
        "dues": generation.dues[: len(sends)],
        "sends": sends,
        "chunks": generation.chunk_sizes(),
    }
