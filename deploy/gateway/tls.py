"""TLS: the server's side of it, with a floor that is really the floor."""

from __future__ import annotations

import ssl
import warnings
from typing import Any

from structlog.typing import FilteringBoundLogger

from deploy.gateway.settings import SettingsError, Tls

_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_OBSOLETE = ("1.0", "1.1")
# Of TLS 1.2: Mozilla's intermediate guideline 5.8, as in the ingress. Those of 1.3 are good as they are.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def server_context(tls: Tls, log: FilteringBoundLogger) -> ssl.SSLContext:
    """The context for the API's port. Raises SettingsError unless the files are a certificate and its key."""
    context = _AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # an old version is chosen on purpose, and said below
        context.minimum_version = _VERSIONS[tls.minimum_version]
    context.set_ciphers(_CIPHERS)
    if tls.minimum_version in _OBSOLETE:
        # OpenSSL 3 speaks no TLS below 1.2 at its default security level, whatever the minimum says.
        context.set_ciphers("ALL:@SECLEVEL=0")
        log.warning(
            "obsolete_tls",
            minimum_version=tls.minimum_version,
            message="TLS below 1.2 is accepted, with weak ciphers: for tests of a client only",
        )
    try:
        # Without the last, OpenSSL would ask the terminal for the passphrase of a key that has one, and wait.
        context.load_cert_chain(tls.certificate, tls.private_key, _no_passphrase)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"tls: {tls.certificate} and {tls.private_key} cannot be used ({error}); "
            "allowed: a certificate chain and its private key, both PEM"
        ) from None
    return context


def _no_passphrase() -> str:
    return ""


class _AlertingObject(ssl.SSLObject):
    """A handshake that tells the client why it was refused.

    asyncio closes the connection of a failed handshake before OpenSSL's alert is written: the client sees a
    reset and cannot tell "protocol version" from a broken network. When an alert waits to be written, the
    failure is put off by one step: asyncio writes it, and fails when the client closes or speaks.
    """

    outgoing: ssl.MemoryBIO
    failed = False

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.failed or not self.outgoing.pending:
                raise
            self.failed = True
            raise ssl.SSLWantReadError from None


class _AlertingContext(ssl.SSLContext):
    sslobject_class = _AlertingObject

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any
    ) -> ssl.SSLObject:
        wrapped = super().wrap_bio(incoming, outgoing, *args, **options)
        if isinstance(wrapped, _AlertingObject):
            wrapped.outgoing = outgoing
        return wrapped
