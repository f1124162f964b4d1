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
    begun: list[bytes] = []  # joined once a line: a long one in tiny pieces is not copied each time
    after_cr = False
    for at_ns, piece in pieces:
        # A CR ends a line by itself; an LF right after it is the other half of a CRLF.
        fresh = piece[1:] if after_cr and piece.startswith(b"\n") else piece
        after_cr = piece.endswith(b"\r") if piece else after_cr
        first, *others = fresh.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        begun.append(first)
        for line in others:
            yield at_ns, b"".join(begun)
            begun = [line]
