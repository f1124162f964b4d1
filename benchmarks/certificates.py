"""Certificates of one run over TLS: an authority, and the server's certificate with its key in one file."""

from pathlib import Path

import trustme


def write_certificates(folder: Path) -> tuple[Path, Path]:
    """Paths of the server's PEM file (key and chain) and of the authority that signed it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    server, root = folder / "server.pem", folder / "authority.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(server))
    authority.cert_pem.write_to_path(str(root))
    return server, root
