"""HTTP/1.1 on the wire: requests cut out of a connection's bytes, answers put into bytes.

Knows no paths and no JSON.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

HEAD_LIMIT = 4 * 1024 * 1024  # bytes; vLLM's own bound
LENGTH_DIGITS = 18  # of a body; int() has a bound of its own, far beyond
SERVER = "vllm-slo-simulator"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class MalformedError(Exception):
    """The bytes are no HTTP/1.x request; the connection cannot be read any further."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request. `path` has no query; header names are in lower case, the last of equal ones wins."""

    method: str
    path: str
    http11: bool
    headers: Mapping[str, str]
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the connection outlives the answer; for HTTP/1.0 it never does, as its streams end with
        it.
        """
        return self.http11 and "close" not in self.headers.get("connection", "").lower()


class RequestReader:
    """Collects bytes and gives whole requests, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: HttpRequest | None = None
        self._chunks: bytearray | None = None
        self.wants_continue = False

    def feed(self, data: bytes) -> None:
        """Add bytes as they came."""
        self._buffer += data

    @property
    def begun(self) -> bool:
        """Whether there are bytes of a request that was not given yet."""
        return bool(self._buffer) or self._head is not None

    def next(self) -> HttpRequest | None:
        """The next whole request, or None until more bytes come. Raises MalformedError."""
        if self._head is None and not self._read_head():
            return None
        head = self._head
        assert head is not None  # noqa: S101 - _read_head set it
        body = self._read_chunks() if self._chunks is not None else self._read_length(head)
        if body is None:
            return None
        self._head = self._chunks = None
        self.wants_continue = False
        return HttpRequest(head.method, head.path, head.http11, head.headers, body)

    def _read_head(self) -> bool:
        while self._buffer.startswith(b"\r\n"):  # tolerated between requests, says RFC 9112
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 and len(self._buffer) < HEAD_LIMIT:
            return False
        if not 0 <= end < HEAD_LIMIT:
            raise MalformedError("the head is too long")
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        coding = head.headers.get("transfer-encoding", "").lower()
        if coding and (coding != "chunked" or "content-length" in head.headers):
            raise MalformedError("the length of the body is in doubt")
        self._head = head
        self._chunks = bytearray() if coding else None
        self.wants_continue = head.headers.get("expect", "").lower() == "100-continue"
        return True

    def _read_length(self, head: HttpRequest) -> bytes | None:
        text = head.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= LENGTH_DIGITS):
            raise MalformedError("Content-Length is no number, or none that a body can have")
        if len(self._buffer) < (length := int(text)):
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        assert self._chunks is not None  # noqa: S101 - the caller looked
        while (end := self._buffer.find(b"\r\n")) >= 0:
            try:
                size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            except ValueError:
                raise MalformedError("a chunk's size is no number") from None
            if size < 0:
                raise MalformedError("a chunk's size is negative")
            if len(self._buffer) < end + 2 + size + 2:
                return None
            if self._buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise MalformedError("a chunk does not end where it said")  # also refuses trailers
            self._chunks += self._buffer[end + 2 : end + 2 + size]
            del self._buffer[: end + 4 + size]
            if size == 0:
                return bytes(self._chunks)
        return None


def parse_head(head: bytes) -> HttpRequest:
    """Request line and headers, without the blank line; the body is left empty. Raises MalformedError."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        raise MalformedError("no request line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MalformedError("a header line without a name")
        headers[name.lower()] = value.strip()
    return HttpRequest(words[0], words[1].partition("?")[0], words[2] == "HTTP/1.1", headers, b"")


def answer_head(status: int, headers: Mapping[str, str], close: bool) -> bytes:
    """Status line and headers, with Date, Server and, if the connection ends here, Connection."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"date: {_date(int(time.time()))}",
        f"server: {SERVER}",
        *(f"{name}: {value}" for name, value in headers.items()),
        *(["connection: close"] if close else []),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
