"""Server-sent events out of body pieces: framing only, no I/O, no meaning.

An event's instant is the arrival of the piece that holds the end of its blank line: before
that the client could not know that it was complete. Source: the WHATWG HTML standard, 9.2.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def events(pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield (instant_ns, data) of every event that carries data; comments and the rest are left out."""
    data: list[bytes] = []
    for at_ns, line in _lines(pieces):
        if not line:
            if data:
                yield at_ns, b"\n".join(data)
                data = []
        elif line.startswith(b"data:"):
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)


def _lines(pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Lines without their ends (LF, CRLF or CR) and the instant at which each was complete."""
    rest = b""
    for at_ns, piece in pieces:
        buffer = rest + piece
        if b"\r" not in buffer:  # what servers send; a CR needs the care below
            *lines, rest = buffer.split(b"\n")
            for line in lines:
                yield at_ns, line
            continue
        # A CR at the very end may be half of a CRLF: it waits for the next piece.
        held = b"\r" if buffer.endswith(b"\r") else b""
        body = buffer[: len(buffer) - len(held)]
        *lines, rest = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            yield at_ns, line
        rest += held
    if rest.endswith(b"\r"):
        yield at_ns, rest[:-1]
