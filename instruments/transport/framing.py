"""HTTP/1.1 framing of one response, fed as bytes arrive: header, then body pieces with their instants.

Only what is needed to know where a response ends is done here; what the body means is worked
out when it is complete. Source of the rules: RFC 9112, sections 4, 6 and 7.
"""

from __future__ import annotations

HEADER_LIMIT = 65_536
CHUNK_LINE_LIMIT = 1_024


class MalformedResponse(Exception):
    """The bytes are not an HTTP/1.1 response."""


class ResponseFraming:
    """The state of one response. `pieces` holds (instant_ns, body bytes) as they came."""

    __slots__ = ("_chunked", "_pending", "_remaining", "complete", "head", "keep_alive", "pieces", "status")

    def __init__(self) -> None:
        self.status: int | None = None
        self.head: dict[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.complete = False
        self.keep_alive = True
        self._pending = b""
        self._chunked = False
        self._remaining: int | None = None  # bytes to come of the body or the chunk; None: not known

    def feed(self, data: bytes, at_ns: int) -> bool:
        """Take bytes that arrived at an instant; True when this completed the header."""
        if self.complete:
            raise MalformedResponse(f"{len(data)} bytes came after the end of the response")
        data = self._pending + data if self._pending else data
        self._pending = b""
        if self.status is not None:
            self._body(data, at_ns)
            return False
        return self._header(data, at_ns)

    def end_of_stream(self) -> bool:
        """The peer closed; True when that ends the response in good order."""
        if self.status is not None and not self._chunked and self._remaining is None:
            self.complete = True
        return self.complete

    def _header(self, data: bytes, at_ns: int) -> bool:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEADER_LIMIT:
                raise MalformedResponse(f"no end of the header within {HEADER_LIMIT} bytes")
            self._pending = data
            return False
        lines = data[:end].decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise MalformedResponse(f"status line {lines[0][:80]!r}")
        status = int(parts[1])
        rest = data[end + 4 :]
        if 100 <= status < 200:  # an interim answer: the real one follows
            return self._header(rest, at_ns) if rest else False
        self._take_head(status, parts[0], lines[1:])
        self._body(rest, at_ns)
        return True

    def _take_head(self, status: int, version: str, lines: list[str]) -> None:
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedResponse(f"header line {line[:80]!r}")
            self.head[name.strip().lower()] = value.strip()
        self.status = status
        connection = self.head.get("connection", "").lower()
        self.keep_alive = connection != "close" if version != "HTTP/1.0" else connection == "keep-alive"
        if self.head.get("transfer-encoding", "").lower() == "chunked":
            self._chunked = True
            self._remaining = 0
        elif "content-length" in self.head:
            length = self.head["content-length"]
            if not length.isdigit():
                raise MalformedResponse(f"content-length {length[:40]!r}")
            self._remaining = int(length)
        elif status in (204, 304):
            self._remaining = 0
        else:
            self.keep_alive = False  # the body goes on until the peer closes

    def _body(self, data: bytes, at_ns: int) -> None:
        if self._chunked:
            self._chunks(data, at_ns)
        elif self._remaining is None:
            if data:
                self.pieces.append((at_ns, data))
        else:
            if len(data) > self._remaining:
                raise MalformedResponse("more body than content-length says")
            if data:
                self.pieces.append((at_ns, data))
            self._remaining -= len(data)
            self.complete = self._remaining == 0

    def _chunks(self, data: bytes, at_ns: int) -> None:
        """Take the chunks in `data`. `_remaining` counts a chunk's bytes with its closing CRLF."""
        position, remaining, size = 0, self._remaining or 0, len(data)
        while position < size:
            if remaining:
                taken = min(remaining, size - position)
                # The last two of the remaining bytes are the chunk's CRLF, not the body's.
                body = data[position : position + min(taken, max(0, remaining - 2))]
                if body:
                    self.pieces.append((at_ns, body))
                position += taken
                remaining -= taken
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                if size - position > CHUNK_LINE_LIMIT:
                    raise MalformedResponse("a chunk size line without an end")
                break
            length = _chunk_length(data[position:end])
            if length == 0:
                self._trailer(data, position, end)
                return
            remaining = length + 2
            position = end + 2
        self._remaining = remaining
        self._pending = data[position:]

    def _trailer(self, data: bytes, position: int, end: int) -> None:
        """The last chunk was seen: the response ends with an empty line, after any trailer fields."""
        if data.startswith(b"\r\n", end + 2):
            finish = end + 4
        else:
            blank = data.find(b"\r\n\r\n", end)
            if blank < 0:
                self._remaining = 0
                self._pending = data[position:]
                if len(self._pending) > HEADER_LIMIT:
                    raise MalformedResponse("a trailer without an end")
                return
            finish = blank + 4
        if finish != len(data):
            raise MalformedResponse(f"{len(data) - finish} bytes came after the end of the response")
        self.complete = True


def _chunk_length(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    # int() would take signs, underscores and "0x"; a chunk size is hexadecimal digits only.
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise MalformedResponse(f"chunk size {line[:40]!r}")
    return int(digits, 16)
