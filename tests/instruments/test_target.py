"""Whom to ask: certificates, and what cannot be used is said before anything is sent."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from instruments.errors import ConfigurationError
from instruments.records import Outcome
from instruments.target import Target
from tests.instruments.shapes import request
from tests.instruments.sockets import answer, client, serving


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> dict[str, Path]:
    named = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    mine = authority.issue_cert("a-client.example")
    authority.cert_pem.write_to_path(named["ca"])
    mine.private_key_pem.write_to_path(named["key"])
    for blob in mine.cert_chain_pems:
        blob.write_to_path(named["cert"], append=True)
    return named


def server_side(authority: trustme.CA, *, asks_for_a_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if asks_for_a_certificate:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the refusal is part of the handshake
    return context


def test_plain_http_has_no_context() -> None:
    assert Target("http://host").tls_context() is None


def test_a_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(Target("http://host", {"Authorization": "Bearer sk-secret"}))


@pytest.mark.parametrize(("verify", "outcome"), [(True, Outcome.FAILED), (False, Outcome.COMPLETED)])
async def test_an_unknown_authority_is_refused_unless_nobody_wants_to_know(
    authority: trustme.CA, verify: bool, outcome: Outcome
) -> None:
    async with serving(answer, tls=server_side(authority)) as served:
        tls = Target(served.url, verify=verify).tls_context()
        async with client(served.url, tls=tls) as transport:
            assert (await transport.send(request())).outcome is outcome


@pytest.mark.parametrize("with_certificate", [True, False])
async def test_mutual_tls_shows_the_clients_certificate(
    authority: trustme.CA, files: dict[str, Path], with_certificate: bool
) -> None:
    async with serving(answer, tls=server_side(authority, asks_for_a_certificate=True)) as served:
        mine = (
            {"client_cert_file": files["cert"], "client_key_file": files["key"]} if with_certificate else {}
        )
        tls = Target(served.url, ca_file=files["ca"], **mine).tls_context()  # type: ignore[arg-type]
        async with client(served.url, tls=tls) as transport:
            record = await transport.send(request())
    assert record.outcome is (Outcome.COMPLETED if with_certificate else Outcome.FAILED)
    if with_certificate:
        assert record.connect_ns is not None
        assert record.tls_ns is not None
        assert 0 < record.tls_ns < record.connect_ns


@pytest.mark.parametrize(
    "wrong",
    [
        {"ca_file": Path("/no/such/ca.pem")},
        {"client_cert_file": Path("/no/such/cert.pem")},
        {"ca_file": Path(__file__)},
    ],
)
def test_a_file_that_cannot_be_used_is_a_configuration_error(wrong: dict[str, Path]) -> None:
    with pytest.raises(ConfigurationError, match="a certificate or key file cannot be used") as caught:
        Target("https://host", **wrong).tls_context()  # type: ignore[arg-type]
    assert str(next(iter(wrong.values()))) in (caught.value.expected or "")
