"""Faults of stacks that stand, for the security suite: the ingress's configuration and the certificate."""

from __future__ import annotations

import os
import re
import signal
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from environments.provider import Stack
from tests.mutants.after import Later, part

RELOADED_S = 10.0
Edit = Callable[[str], str]


def edited(*edits: tuple[str, str]) -> Later:
    """The ingress with another configuration: (pattern, what stands there instead)."""

    def plant(stack: Stack) -> None:
        path = _folder(stack) / "ingress" / "nginx.conf"
        text = path.read_text()
        for pattern, instead in edits:
            text, count = re.subn(pattern, instead, text)
            assert count, f"nothing to change by {pattern}"
        path.write_text(text)
        _reloaded(stack)

    return plant


def other_certificate(stack: Stack) -> None:
    """One of another, trusted authority: it ends soon, is good for others too, and came with the software."""
    folder = _folder(stack) / "tls"
    authority = trustme.CA()
    names = ("localhost", "somebody-else.invalid", "localhost.somebody-else.invalid")
    server = authority.issue_cert(
        *names,
        common_name="Kubernetes Ingress Controller Fake Certificate",
        not_after=datetime.now(UTC) + timedelta(days=2),
    )
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "server.pem").write_bytes(b"".join(pem.bytes() for pem in server.cert_chain_pems))
    (folder / "server.key").write_bytes(server.private_key_pem.bytes())
    _reloaded(stack)


def _folder(stack: Stack) -> Path:
    assert stack.ca_bundle is not None
    return stack.ca_bundle.parent.parent


def _reloaded(stack: Stack) -> None:
    """New workers have taken over: nobody else answers a handshake."""
    nginx = part(stack, "ingress")
    children = Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children")
    old = set(children.read_text().split())
    os.kill(nginx.pid, signal.SIGHUP)
    until = time.monotonic() + RELOADED_S
    while set(children.read_text().split()) & old or not children.read_text().split():
        assert time.monotonic() < until, "nginx keeps its old workers"
        time.sleep(0.05)
    where = urlsplit(stack.base_url)
    ssl.get_server_certificate((str(where.hostname), where.port or 443))


LATER: dict[str, Later] = {
    "security-other-certificate": other_certificate,
    "security-cbc": edited(
        (r"ssl_ciphers [^;]*;", "ssl_ciphers ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256;")
    ),
    "security-no-resumption": edited((r"ssl_session_cache [^;]*;", "ssl_session_cache off;")),
    "security-redirect-anywhere": edited(
        (r"return 308 https://[^$]*\$request_uri", r"return 308 https://$host$request_uri")
    ),
    "security-hsts-short": edited((r"max-age=63072000", "max-age=60")),
    "security-ingress-unlimited": edited((r"limit_req zone=strangers [^;]*;", "")),
}
