"""Certificates of a run: good for loopback and for nothing else, and a key for its owner's eyes only."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from environments.certificates import Certificates, make_certificates

BOUND_S = 20.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def handshake(made: Certificates, trust: ssl.SSLContext, host: str) -> None:
    """One TLS handshake over a pair of sockets; raises what the client's side raises."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)
    ours, theirs = socket.socketpair()
    ours.settimeout(BOUND_S)
    theirs.settimeout(BOUND_S)

    def serve() -> None:
        try:
            context.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()  # the client refused, and says why itself

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ours, trust.wrap_socket(ours, server_hostname=host):
            pass
    finally:
        server.join(BOUND_S)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_the_chain_is_good_for_loopback_with_its_own_authority(made: Certificates, host: str) -> None:
    handshake(made, ssl.create_default_context(cafile=str(made.authority)), host)


@pytest.mark.parametrize("host", ["example.com", "127.0.0.2", "localhost.example.com"])
def test_the_chain_is_good_for_no_other_host(made: Certificates, host: str) -> None:
    trust = ssl.create_default_context(cafile=str(made.authority))
    with pytest.raises(ssl.SSLCertVerificationError, match="match"):
        handshake(made, trust, host)


def test_without_the_authority_nobody_trusts_it(made: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, ssl.create_default_context(), "localhost")


def test_the_authority_of_another_run_does_not_vouch_for_it(made: Certificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(made, ssl.create_default_context(cafile=str(other.authority)), "localhost")


def test_the_key_is_for_its_owner_only(made: Certificates) -> None:
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600


def test_the_key_of_the_authority_is_never_written(made: Certificates) -> None:
    written = {path: path.read_text() for path in made.authority.parent.iterdir()}
    assert set(written) == {made.authority, made.chain, made.key}
    assert [path for path, text in written.items() if "PRIVATE KEY" in text] == [made.key]
