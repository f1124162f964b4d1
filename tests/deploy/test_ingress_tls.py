"""The ingress's TLS: versions and ciphers of Mozilla's intermediate guideline, HTTP/2, where HTTP leads."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.deploy.ingress_stage import Ingress, echo, ingress

GUIDELINE = [  # those for a certificate with an elliptic curve, as the tests' authority makes them
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
]
REFUSED = [
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES128-CCM",
]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, SETTINGS = 1, 4


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    with echo() as upstream, ingress(tmp_path_factory.mktemp("ingress"), upstream) as running:
        yield running


@contextmanager
def secured(stage: Ingress, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", stage.port), timeout=10.0) as wire,
        context.wrap_socket(wire, server_hostname="localhost") as found,
    ):
        yield found


def only(stage: Ingress, version: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
    context = stage.tls()
    context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=lambda one: one.name)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused_by_an_alert(stage: Ingress, version: ssl.TLSVersion) -> None:
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"),
        secured(stage, only(stage, version)),
    ):
        pass


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_1_2_and_1_3_are_spoken(stage: Ingress, version: ssl.TLSVersion, name: str) -> None:
    with secured(stage, only(stage, version)) as wire:
        assert wire.version() == name


@pytest.mark.parametrize("cipher", GUIDELINE)
def test_a_cipher_of_the_guideline_is_taken(stage: Ingress, cipher: str) -> None:
    with secured(stage, only(stage, ssl.TLSVersion.TLSv1_2, cipher)) as wire:
        found = wire.cipher()
        assert found is not None
        assert found[0] == cipher


@pytest.mark.parametrize("cipher", REFUSED)
def test_any_other_cipher_is_refused(stage: Ingress, cipher: str) -> None:
    with (
        pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"),
        secured(stage, only(stage, ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0")),
    ):
        pass


@pytest.mark.parametrize("order", [GUIDELINE, GUIDELINE[::-1]], ids=["as-listed", "reversed"])
def test_the_client_chooses_among_good_ciphers(stage: Ingress, order: list[str]) -> None:
    with secured(stage, only(stage, ssl.TLSVersion.TLSv1_2, ":".join(order))) as wire:
        found = wire.cipher()
        assert found is not None
        assert found[0] == order[0]


def test_no_session_tickets_are_given_out(stage: Ingress) -> None:
    with secured(stage, only(stage, ssl.TLSVersion.TLSv1_2)) as wire:
        assert wire.session is not None
        assert not wire.session.has_ticket


def test_the_certificate_is_verified_against_its_authority_and_no_other(stage: Ingress) -> None:
    with pytest.raises(ssl.SSLCertVerificationError), secured(stage, ssl.create_default_context()):
        pass


def test_http_2_is_spoken(stage: Ingress) -> None:
    context = stage.tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with secured(stage, context) as wire:
        assert wire.selected_alpn_protocol() == "h2"
        wire.sendall(
            PREFACE + frame(SETTINGS, b"") + frame(HEADERS, request("/v1/models"), flags=0x5, stream=1)
        )
        kinds = []
        while True:
            kind, stream, payload = read_frame(wire)
            kinds.append(kind)
            if kind == HEADERS:
                break
    assert kinds[0] == SETTINGS
    assert stream == 1
    # HPACK: after an optional change of the table's size comes field 8 of the static table, `:status: 200`.
    assert re.match(rb"(?:[\x20-\x3f][\x80-\xff]*[\x00-\x7f]?)?\x88", payload)


def frame(kind: int, payload: bytes, flags: int = 0, stream: int = 0) -> bytes:
    """RFC 9113, 4.1: length, type, flags, stream."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def read_frame(wire: ssl.SSLSocket) -> tuple[int, int, bytes]:
    head = exactly(wire, 9)
    return head[3], int.from_bytes(head[5:9], "big"), exactly(wire, int.from_bytes(head[:3], "big"))


def exactly(wire: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = wire.recv(count - len(data))
        assert piece, "the server closed the connection"
        data += piece
    return data


def request(path: str) -> bytes:
    """GET in HPACK: method and scheme from the static table (2, 7), path and authority written out (4, 1)."""
    words = bytes([0x82, 0x87])
    for index, text in ((4, path), (1, "localhost")):
        words += bytes([index, len(text)]) + text.encode()
    return words


def test_plain_http_leads_to_https_with_path_and_query(stage: Ingress) -> None:
    answer = httpx.get(f"http://127.0.0.1:{stage.http_port}/v1/models?a=1&b=%20", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{stage.url}/v1/models?a=1&b=%20")


def test_the_redirect_does_not_follow_the_host_that_a_client_names(stage: Ingress) -> None:
    answer = httpx.get(
        f"http://127.0.0.1:{stage.http_port}/v1/models", headers={"Host": "evil.example"}, trust_env=False
    )
    assert answer.headers["location"] == f"{stage.url}/v1/models"


def test_plain_http_on_the_port_of_https_leads_there_too(stage: Ingress) -> None:
    answer = httpx.get(f"http://127.0.0.1:{stage.port}/v1/models", trust_env=False)
    assert (answer.status_code, answer.headers["location"]) == (308, f"{stage.url}/v1/models")
    assert "strict-transport-security" not in answer.headers  # RFC 6797, 7.2: not over plain HTTP


@pytest.mark.parametrize(("path", "status"), [("/v1/models", 200), ("/metrics", 404)])
def test_hsts_is_on_every_answer_for_two_years(stage: Ingress, path: str, status: int) -> None:
    answer = stage.client().get(path)
    assert answer.status_code == status
    assert answer.headers.get_list("strict-transport-security") == ["max-age=63072000"]
    assert answer.headers["server"] == "nginx"  # and no version
