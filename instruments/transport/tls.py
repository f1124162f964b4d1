"""A connected socket under TLS. Imported when it is spoken: it is a fifth of a small client's memory.

Records are opened from memory (ssl.MemoryBIO): the socket itself is read as a plain one is, so that the
kernel's instants survive the encryption.
"""

from __future__ import annotations

import socket
import ssl

from instruments.transport.wire import READ_BYTES, PlainWire, Received


class TlsWire:
    """TLS over TCP, once its handshake is done."""

    __slots__ = ("_incoming", "_outgoing", "_plain", "_tls", "sock")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self.sock = sock
        self._plain = PlainWire(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self) -> tuple[bool, bytes]:
        """Whether the handshake is done, and what has to be sent for it. ssl.SSLError when it failed."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        except ssl.SSLError:
            self._say_why()
            raise
        return True, self._outgoing.read()

    def feed(self, data: bytes) -> None:
        """Take what came from the socket during the handshake; b"" is the peer's end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def sealed(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def receive(self) -> Received:
        raw, stamp = self._plain.receive()
        if not raw:
            return raw, stamp
        self._incoming.write(raw)
        return self._opened(), stamp

    def _opened(self) -> bytes | None:
        """The text of all whole records that are there; None when there is none yet."""
        parts: list[bytes] = []
        try:
            while True:
                part = self._tls.read(READ_BYTES)
                if not part:  # the peer said that it will send nothing more
                    break
                parts.append(part)
                if not self._incoming.pending and not self._tls.pending():
                    return parts[0] if len(parts) == 1 else b"".join(parts)
        except ssl.SSLWantReadError:
            return b"".join(parts) if parts else None
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError:
            if not parts:
                raise
            # What came before the alert is what was said; the connection's end is read next.
        return b"".join(parts)

    def _say_why(self) -> None:
        """Send the alert that tells the peer why the handshake failed; nothing more can be done for it."""
        try:
            self.sock.send(self._outgoing.read())
        except OSError:
            return
