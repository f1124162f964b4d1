"""SecureLine: TLS in memory between the socket and the bytes, so that the kernel's instants survive and
what is stamped is the sending of a record that is already encrypted.
"""

import contextlib
import ssl
from pathlib import Path

from .clocks import Ancillary
from .line import PIECE_BYTES, PlainLine


def server_context(certfile: Path, keyfile: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate; raises OSError (ssl.SSLError is one) when it is none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certfile, keyfile)
    context.set_alpn_protocols(["http/1.1"])
    return context


class SecureLine:
    """A PlainLine whose bytes are TLS records."""

    __slots__ = ("_from_client", "_plain", "_shaken", "_tls", "_to_client", "fd", "pending")

    def __init__(self, plain: PlainLine, context: ssl.SSLContext) -> None:
        self._plain = plain
        self._from_client, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from_client, self._to_client, server_side=True)
        self._shaken = False
        self.fd = plain.fd
        self.pending = plain.pending

    def send(self, data: bytes) -> int:
        """See Line. A record cannot be taken back: one that the socket does not take waits, with the
        instant of this attempt.
        """
        return 0 if self.pending else self.write(data)

    def write(self, data: bytes) -> int:
        """See Line."""
        self._tls.write(data)
        return self._plain.write(self._to_client.read())

    def receive(self) -> tuple[bytes | None, Ancillary]:
        """See Line."""
        data, ancillary = self._plain.receive()
        if not data:
            return data, ancillary
        self._from_client.write(data)
        try:
            return self._read(), ancillary
        except ssl.SSLWantReadError:
            return None, []
        except ssl.SSLError:  # no TLS, an alert, or the end
            return b"", []
        finally:
            if self._to_client.pending:
                self._plain.write(self._to_client.read())

    def flush(self) -> bool:
        """See Line."""
        return self._plain.flush()

    def close(self) -> None:
        """See Line."""
        with contextlib.suppress(ssl.SSLError):  # the client's own farewell is not waited for
            self._tls.unwrap()
        if self._to_client.pending:
            self._plain.write(self._to_client.read())
        self._plain.close()

    def reset(self) -> None:
        """See Line."""
        self._plain.reset()

    def _read(self) -> bytes:
        if not self._shaken:
            self._tls.do_handshake()
            self._shaken = True
        read = bytearray(self._tls.read(PIECE_BYTES))
        with contextlib.suppress(ssl.SSLWantReadError):
            while read and (more := self._tls.read(PIECE_BYTES)):
                read += more
        return bytes(read)
