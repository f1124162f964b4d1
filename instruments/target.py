"""Whom to ask: a base URL with what it takes to be let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from instruments.errors import ConfigurationError
from instruments.limits import RequestTimeouts

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how it is spoken to. Certificates are verified unless `verify` is False.

    `headers` may hold a key: it is never shown.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: Path | None = None
    client_cert_file: Path | None = None  # PEM: the certificate of the client, for mutual TLS
    client_key_file: Path | None = None
    verify: bool = True
    proxy: str | None = None  # http://HOST:PORT; proxies named in the environment are never used
    timeouts: RequestTimeouts = field(default_factory=RequestTimeouts)

    def tls_context(self) -> ssl.SSLContext | None:
        """None for plain HTTP. ConfigurationError when a file cannot be used."""
        if not self.base_url.startswith("https:"):
            return None
        import ssl  # a fifth of a small client's memory, which plain HTTP does without

        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
            if self.client_cert_file is not None:
                # An encrypted key is refused: OpenSSL would ask on the terminal, and wait for ever.
                context.load_cert_chain(self.client_cert_file, self.client_key_file, lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = [self.ca_file, self.client_cert_file, self.client_key_file]
            raise ConfigurationError(
                "a certificate or key file cannot be used",
                expected="PEM files: " + ", ".join(str(file) for file in files if file is not None),
                seen=str(error),
            ) from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
