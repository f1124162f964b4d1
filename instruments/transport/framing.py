"""HTTP/1.1 framing of one response, fed as bytes arrive: header, then body pieces with their instants.

Only what is needed to know where a response ends is done here; what the body means is worked
out when it is complete. Source of the rules: RFC 9112, sections 4 to 7.
"""

from __future__ import annotations

import re

HEADER_LIMIT = 65_536
CHUNK_LINE_LIMIT = 1_024
RAW_HEAD_LIMIT = 2_048
LENGTHS = ("content-length", "transfer-encoding")
_PROTOCOL = b"HTTP/1."
_STATUS_LINE = re.compile(r"(HTTP/1\.[0-9]) ([1-5][0-9]{2})(?: .*)?", re.DOTALL)
_FOLD = re.compile(r"\r\n[ \t]+")  # a field that goes on in the next line: obsolete, and still to be read
_LENGTH = re.compile(r"[0-9]{1,18}")
# The chunks of streams have few lengths: what a size line means is worked out once. Never holds 0.
_LENGTHS: dict[bytes, int] = {}


class MalformedResponse(Exception):
    """The bytes are not an HTTP/1.1 response."""


class ResponseFraming:
    """The state of one response.

    `pieces` holds (instant_ns, body bytes) as they came. `chunked` is True once the header said so.
    `surplus` counts bytes after the end of the response: it is whole all the same, but its connection
    cannot be used again. When the bytes are malformed, `malformed` says why and `raw_head` keeps, as far
    as they had arrived, up to RAW_HEAD_LIMIT bytes from the start of what was not understood.
    """

    __slots__ = (
        *("_between", "_held", "_in_trailer", "_remaining", "chunked", "complete", "head", "keep_alive"),
        *("malformed", "pieces", "raw_head", "status", "surplus"),
    )

    def __init__(self) -> None:
        self.status: int | None = None
        self.head: dict[str, str] = {}
        self.pieces: list[tuple[int, bytes]] = []
        self.chunked = False
        self.complete = False
        self.keep_alive = True
        self.surplus = 0
        self.malformed: str | None = None
        self.raw_head: bytes | None = None
        self._between = False  # at the start of a chunk, with nothing held
        # A header, a chunk's size line or a trailer whose end is not there yet.
        self._held: bytes | bytearray = b""
        self._in_trailer = False
        # Bytes to come of the body, or of a chunk with its closing CRLF; None: not known.
        self._remaining: int | None = None

    def feed(self, data: bytes, at_ns: int) -> bool:
        """Take bytes that arrived at an instant; True when this completed the header.

        Raises MalformedResponse, and again whenever more is fed.
        """
        if self._between:  # a piece is one whole chunk, as nearly always when tokens are streamed
            end = data.find(b"\r\n")
            length = _LENGTHS.get(data[:end])
            if length is not None and end + length + 4 == len(data) and data.endswith(b"\r\n"):
                self.pieces.append((at_ns, data[end + 2 : -2]))
                return False
        elif self.malformed is not None:
            raise MalformedResponse(self.malformed)
        elif self.status is None:
            return self._header(data, at_ns)
        self._body(data, at_ns)
        return False

    def end_of_stream(self) -> bool:
        """The peer closed; True when that ends the response in good order."""
        if self.status is not None and not self.chunked and self._remaining is None and not self.malformed:
            self.complete = True
        return self.complete

    def _header(self, data: bytes, at_ns: int) -> bool:
        held, searched = self._with_held(data)
        start = 0
        try:
            while (end := held.find(b"\r\n\r\n", max(start, searched - 3))) >= 0:
                _check_protocol(held, start)
                _bound(end + 4 - start, "header")
                version, status, lines = _head_of(held[start:end])
                if status >= 200:  # below it, an interim answer: the real one follows
                    self._take_head(status, version, lines)
                start = end + 4
                if self.status is not None:
                    break
            else:
                _check_protocol(held, start)
                self._hold(held, start, "header")
                return False
        except MalformedResponse as error:
            raise self._given_up(error, held, start) from None
        self._held = b""
        if start < len(held) or self._remaining == 0:
            self._body(bytes(held[start:]), at_ns)
        return True

    def _take_head(self, status: int, version: str, lines: list[str]) -> None:
        head = self.head
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise MalformedResponse(f"header line {line[:80]!r}")
            name, value = name.strip().lower(), value.strip()
            if name in LENGTHS and head.get(name, value) != value:
                raise MalformedResponse(f"two values of {name}")  # where does the body end?
            head[name] = value
        said = [word.strip() for word in head.get("connection", "").lower().split(",")]
        self.keep_alive = "close" not in said if version != "HTTP/1.0" else "keep-alive" in said
        if status in (204, 304):  # no body, whatever the fields say
            self._remaining = 0
        elif (coding := head.get("transfer-encoding")) is not None:
            if coding.lower() != "chunked":
                raise MalformedResponse(f"transfer-encoding {coding[:40]!r}")
            self.chunked = self._between = True
            self._remaining = 0
        elif (length := head.get("content-length")) is not None:
            self._remaining = _content_length(length)
        else:
            self.keep_alive = False  # the body goes on until the peer closes
        self.status = status

    def _body(self, data: bytes, at_ns: int) -> None:
        if self.complete:
            self._take_surplus(len(data))
        elif self._in_trailer:
            self._trailer(data)
        elif self.chunked:
            self._chunks(data, at_ns)
        else:
            taken = data if self._remaining is None else data[: self._remaining]
            if taken:
                self.pieces.append((at_ns, taken))
            if self._remaining is not None:
                self._remaining -= len(taken)
                self.complete = self._remaining == 0
                self._take_surplus(len(data) - len(taken))

    def _chunks(self, data: bytes, at_ns: int) -> None:
        if self._held:
            data = bytes(self._held) + data
            self._held = b""
        position, remaining, size, pieces = 0, self._remaining or 0, len(data), self.pieces
        self._between, self._remaining = False, 0
        try:
            while position < size:
                if remaining:
                    position, remaining = self._rest_of_chunk(data, position, remaining, at_ns)
                    continue
                end = data.find(b"\r\n", position)
                length = _LENGTHS.get(data[position:end]) if end > 0 else None
                if length is None and (length := _chunk_length(data, position, end)) is None:
                    self._held = data[position:]
                    return
                begin, close = end + 2, end + 2 + length
                if length == 0:
                    self._in_trailer = True
                    self._trailer(data[begin:])
                    return
                if data[close : close + 2] == b"\r\n":  # the whole chunk is there, as nearly always
                    pieces.append((at_ns, data[begin:close]))
                    position = close + 2
                else:
                    position, remaining = begin, length + 2
        except MalformedResponse as error:
            raise self._given_up(error, data, position) from None
        self._between, self._remaining = remaining == 0, remaining

    def _rest_of_chunk(self, data: bytes, position: int, remaining: int, at_ns: int) -> tuple[int, int]:
        """Take what is there of a chunk. The last two of the remaining bytes are its CRLF, not the body's."""
        taken = min(remaining, len(data) - position)
        cut = min(taken, max(0, remaining - 2))
        if cut:
            self.pieces.append((at_ns, data[position : position + cut]))
        closing = data[position + cut : position + taken]
        if not b"\r\n"[cut - remaining :].startswith(closing):
            wrong = position + cut + (remaining - cut == 2 and closing.startswith(b"\r"))
            error = MalformedResponse("a chunk is longer than its size line says")
            raise self._given_up(error, data, wrong)
        return position + taken, remaining - taken

    def _trailer(self, data: bytes) -> None:
        """After the last chunk: the response ends with an empty line, after any trailer fields."""
        held, searched = self._with_held(data)
        # With no fields before it, the empty line is all there is.
        finish = 2 if held.startswith(b"\r\n") else held.find(b"\r\n\r\n", max(0, searched - 3)) + 4
        try:
            if finish == 3:  # find() said -1
                self._hold(held, 0, "trailer")
                return
            _bound(finish, "trailer")
        except MalformedResponse as error:
            raise self._given_up(error, held, 0) from None
        self._held = b""
        self.complete = True
        self._take_surplus(len(held) - finish)

    def _with_held(self, data: bytes) -> tuple[bytes | bytearray, int]:
        """What was held with the new bytes after it, and how much of it was searched before."""
        searched = len(self._held)
        if not searched:
            return data, 0
        held = self._held if isinstance(self._held, bytearray) else bytearray(self._held)
        held += data  # grows in place: many small pieces are not copied again each time
        return held, searched

    def _hold(self, held: bytes | bytearray, start: int, what: str) -> None:
        _bound(len(held) - start, what)
        if isinstance(held, bytearray):
            del held[:start]
            self._held = held
        else:
            self._held = bytearray(held[start:])

    def _take_surplus(self, size: int) -> None:
        if size > 0:
            self.surplus += size
            self.keep_alive = False

    def _given_up(self, error: MalformedResponse, data: bytes | bytearray, start: int) -> MalformedResponse:
        if self.malformed is None:
            self.malformed = str(error)
            self.raw_head = bytes(data[start : start + RAW_HEAD_LIMIT])
        return error


def _head_of(block: bytes | bytearray) -> tuple[str, int, list[str]]:
    """Protocol version, status and field lines of a header without its blank line."""
    text = block.decode("latin-1")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    first, *lines = text.split("\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise MalformedResponse(f"status line {first[:80]!r}")
    return match[1], int(match[2]), lines


def _check_protocol(held: bytes | bytearray, start: int) -> None:
    """What cannot become a status line is not waited for: a port that speaks TLS, SSH, HTTP/2."""
    if not _PROTOCOL.startswith(bytes(held[start : start + len(_PROTOCOL)])):
        raise MalformedResponse(f"the answer does not begin with {_PROTOCOL.decode()}")


def _bound(size: int, what: str) -> None:
    if size > HEADER_LIMIT:
        raise MalformedResponse(f"no end of the {what} within {HEADER_LIMIT} bytes")


def _content_length(text: str) -> int:
    # Not str.isdigit(), which takes "²"; not any length, for which int() has a limit of its own.
    if not _LENGTH.fullmatch(text):
        raise MalformedResponse(f"content-length {text[:40]!r}")
    return int(text)


def _chunk_length(data: bytes, position: int, end: int) -> int | None:
    """The size of the chunk whose line begins at `position`; None while the line's `end` is not there."""
    if (len(data) - 1 if end < 0 else end) - position > CHUNK_LINE_LIMIT:
        raise MalformedResponse(f"a chunk size line of more than {CHUNK_LINE_LIMIT} bytes")
    if end < 0:
        return None
    line = data[position:end]
    digits = line.split(b";", 1)[0].strip(b" \t")
    # int() would take signs, underscores and "0x"; a chunk size is hexadecimal digits only.
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise MalformedResponse(f"chunk size {line[:40]!r}")
    length = int(digits, 16)
    if length and len(line) <= 8 and len(_LENGTHS) < 4_096:
        _LENGTHS[line] = length
    return length
