"""Line: the bytes of one client's socket, plain; what the socket does not take at once waits here."""

import contextlib
import socket
import struct
from time import monotonic_ns
from typing import Protocol

from .clocks import ANCILLARY_BYTES, Ancillary
from .watch import READ, WRITE, Watch

PIECE_BYTES = 65536
AT_ONCE = struct.pack("ii", 1, 0)  # linger for 0 s: closing resets


class Line(Protocol):
    """Where an answer's bytes go. Instants are of CLOCK_MONOTONIC, ns."""

    fd: int
    pending: bytearray

    def send(self, data: bytes) -> int:
        """Write `data` and say when; 0, and nothing is written, when the socket takes nothing now."""
        ...

    def write(self, data: bytes) -> int:
        """Write `data` now or, behind what waits, later; says when it was handed over."""
        ...

    def receive(self) -> tuple[bytes | None, Ancillary]:
        """Bytes and what the kernel says of them; None when there are none yet, b"" when the client left."""
        ...

    def flush(self) -> bool:
        """Write what waits; whether all of it is gone."""
        ...

    def close(self) -> None:
        """Close the socket in good order."""

    def reset(self) -> None:
        """Close the socket so that the client sees a reset."""


class PlainLine:
    """A non-blocking socket."""

    __slots__ = ("_broken", "_send", "_socket", "_watch", "fd", "pending")

    def __init__(self, accepted: socket.socket, watch: Watch) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = accepted
        self._send = accepted.send
        self._watch = watch
        self._broken = False
        self.fd = accepted.fileno()
        self.pending = bytearray()

    def send(self, data: bytes) -> int:
        """See Line."""
        if self.pending or self._broken:
            return 0
        sent_ns = monotonic_ns()
        try:
            taken = self._send(data)
        except BlockingIOError:
            self._watch.want(self.fd, READ | WRITE)
            return 0
        except OSError:  # the client has gone; the next reading says so
            self._broken = True
            return 0
        if taken < len(data):
            self._keep(data[taken:])
        return sent_ns

    def write(self, data: bytes) -> int:
        """See Line."""
        sent_ns = monotonic_ns()
        if self._broken:
            return sent_ns
        if self.pending:
            self.pending += data
            return sent_ns
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._broken = True
            return sent_ns
        if taken < len(data):
            self._keep(data[taken:])
        return sent_ns

    def receive(self) -> tuple[bytes | None, Ancillary]:
        """See Line."""
        try:
            data, ancillary, _, _ = self._socket.recvmsg(PIECE_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return None, []
        except OSError:
            return b"", []
        return data, ancillary

    def flush(self) -> bool:
        """See Line."""
        if self.pending and not self._broken:
            try:
                del self.pending[: self._send(self.pending)]
            except BlockingIOError:
                return False
            except OSError:
                self._broken = True
        if self.pending and not self._broken:
            return False
        self._watch.want(self.fd, READ)
        return True

    def close(self) -> None:
        """See Line."""
        self._socket.close()

    def reset(self) -> None:
        """See Line."""
        with contextlib.suppress(OSError):  # it may be gone already
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._socket.close()

    def _keep(self, rest: bytes) -> None:
        self.pending += rest
        self._watch.want(self.fd, READ | WRITE)
