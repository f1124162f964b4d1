"""A connected socket: what is read comes with the kernel's instant of its arrival. See also transport.tls."""

from __future__ import annotations

import socket
from typing import Protocol

from instruments.transport.stamps import ANCILLARY_BYTES

READ_BYTES = 65_536

Received = tuple[bytes | None, bytes | None]  # bytes (b"" is the end, None none yet), the kernel's stamp


class Wire(Protocol):
    """One connected, non-blocking socket."""

    sock: socket.socket

    def sealed(self, data: bytes) -> bytes:
        """What has to be sent to say `data`."""
        ...

    def receive(self) -> Received:
        """Read once. OSError when the connection broke."""
        ...


class PlainWire:
    """TCP as it is."""

    __slots__ = ("_recvmsg", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._recvmsg = sock.recvmsg

    def sealed(self, data: bytes) -> bytes:
        return data

    def receive(self) -> Received:
        try:
            data, extra, _, _ = self._recvmsg(READ_BYTES, ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return None, None
        return data, extra[0][2] if extra else None
