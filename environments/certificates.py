"""Certificates made for one run: an authority of its own, and a server certificate for loopback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM. The authority's own key is never written."""

    authority: Path
    chain: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Write the authority, a chain for loopback, and its key (readable by its owner only)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    server = authority.issue_cert(*HOSTS)
    authority.cert_pem.write_to_path(files.authority)
    files.chain.write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
    files.key.touch(mode=0o600)
    files.key.write_bytes(server.private_key_pem.bytes())
    return files
