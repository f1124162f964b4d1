"""HTTP/1.1 framing of one response, fed as bytes arrive: header, then body pieces with their instants.

Only what is needed to know where a response ends is done here; what the body means is worked
out when it is complete. Source of the rules: RFC 9112, sections 4, 6 and 7.
"""

from __future__ import annotations

import re

HEADER_LIMIT = 65_536
CHUNK_LINE_LIMIT = 1_024
LENGTHS = ("content-length", "transfer-encoding")
_STATUS = re.compile(r"[1-5][0-9]{2}")
_LENGTH = re.compile(r"[0-9]{1,18}")


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
        start = 0
        while (end := data.find(b"\r\n\r\n", start)) >= 0:
            lines = data[start:end].decode("latin-1").split("\r\n")
            version, status = _status_line(lines[0])
            start = end + 4
            if status >= 200:  # below it, an interim answer: the real one follows
                self._take_head(status, version, lines[1:])
                self._body(data[start:], at_ns)
                return True
        self._pending = data[start:]
        if len(self._pending) > HEADER_LIMIT:
            raise MalformedResponse(f"no end of the header within {HEADER_LIMIT} bytes")
        return False

    def _take_head(self, status: int, version: str, lines: list[str]) -> None:
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedResponse(f"header line {line[:80]!r}")
            name, value = name.strip().lower(), value.strip()
            if name in LENGTHS and self.head.get(name, value) != value:
                raise MalformedResponse(f"two values of {name}")  # where does the body end?
            self.head[name] = value
        self.status = status
        said = [word.strip() for word in self.head.get("connection", "").lower().split(",")]
        self.keep_alive = "close" not in said if version != "HTTP/1.0" else "keep-alive" in said
        if status in (204, 304):  # no body, whatever the fields say
            self._remaining = 0
        elif "transfer-encoding" in self.head:
            if self.head["transfer-encoding"].lower() != "chunked":
                raise MalformedResponse(f"transfer-encoding {self.head['transfer-encoding'][:40]!r}")
            self._chunked = True
            self._remaining = 0
        elif "content-length" in self.head:
            self._remaining = _content_length(self.head["content-length"])
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
                cut = min(taken, max(0, remaining - 2))
                if cut:
                    self.pieces.append((at_ns, data[position : position + cut]))
                closing = data[position + cut : position + taken]
                if not b"\r\n"[cut - remaining :].startswith(closing):
                    raise MalformedResponse("a chunk is longer than its size line says")
                position += taken
                remaining -= taken
                continue
            end = data.find(b"\r\n", position)
            if (size - 1 if end < 0 else end) - position > CHUNK_LINE_LIMIT:
                raise MalformedResponse(f"a chunk size line of more than {CHUNK_LINE_LIMIT} bytes")
            if end < 0:
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


def _status_line(line: str) -> tuple[str, int]:
    parts = line.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not _STATUS.fullmatch(parts[1]):
        raise MalformedResponse(f"status line {line[:80]!r}")
    return parts[0], int(parts[1])


def _content_length(text: str) -> int:
    # Not str.isdigit(), which takes "²"; not any length, for which int() has a limit of its own.
    if not _LENGTH.fullmatch(text):
        raise MalformedResponse(f"content-length {text[:40]!r}")
    return int(text)


def _chunk_length(line: bytes) -> int:
    digits = line.split(b";", 1)[0].strip()
    # int() would take signs, underscores and "0x"; a chunk size is hexadecimal digits only.
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise MalformedResponse(f"chunk size {line[:40]!r}")
    return int(digits, 16)
