"""Server-sent events out of body pieces: framing only, no I/O, no meaning.

An event's instant is the arrival of the piece that holds the end of its blank line: before
that the client could not know that it was complete. Source: the WHATWG HTML standard, 9.2.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

NOTHING = [b""]  # of a line, and not of the first
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def events(pieces: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield (instant_ns, data) of every event that carries data; comments and the rest are left out."""
    decoder = Events()
    for at_ns, piece in pieces:
        for data in decoder.feed(piece):
            yield at_ns, data


class Events:
    """The same piece by piece: bytes go in as they come, and the data of each event comes out once."""

    __slots__ = ("_data", "_lines")

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []

    @property
    def between(self) -> bool:
        """What comes next begins an event (or is the other half of a CRLF, which changes nothing)."""
        return not self._data and self._lines.begun == NOTHING

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that this piece completed."""
        # Where LF alone ends lines, an event ends with two of them; nearly all servers send just that.
        if piece.endswith(b"\n\n") and b"\r" not in piece and self.between:
            if piece.startswith(b"data: ") and piece.find(b"\n") == len(piece) - 2:
                return [piece[6:-2]]
            return [data for block in piece[:-2].split(b"\n\n") if (data := _data_of(block)) is not None]
        found = []
        for line in self._lines.feed(piece):
            if line:
                if (value := _value_of(line)) is not None:
                    self._data.append(value)
            elif self._data:
                found.append(b"\n".join(self._data))
                self._data = []
        return found


class Lines:
    """Lines without their ends (LF, CRLF or CR), and without the mark that may begin a text."""

    __slots__ = ("_after_cr", "_first", "begun")

    def __init__(self) -> None:
        self.begun: list[bytes] = []  # joined once a line: a long one in tiny pieces is not copied each time
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completed."""
        if not piece:
            return []
        # A CR ends a line by itself; an LF right after it is the other half of a CRLF.
        fresh = piece[1:] if self._after_cr and piece.startswith(b"\n") else piece
        self._after_cr = piece.endswith(b"\r")
        first, *others = fresh.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self.begun.append(first)
        if not others:
            return []
        line = b"".join(self.begun)
        if self._first:
            line, self._first = line.removeprefix(BYTE_ORDER_MARK), False
        self.begun = [others.pop()]
        return [line, *others]

    @property
    def rest(self) -> bytes:
        """What came after the last line's end."""
        return b"".join(self.begun)


def _data_of(block: bytes) -> bytes | None:
    """The data of an event out of its lines, each but the last ended by LF."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    values = [value for line in block.split(b"\n") if (value := _value_of(line)) is not None]
    return b"\n".join(values) if values else None


def _value_of(line: bytes) -> bytes | None:
    """The value of a data field; None for other fields and comments."""
    if line.startswith(b"data:"):
        return line[6:] if line.startswith(b" ", 5) else line[5:]
    return b"" if line == b"data" else None
