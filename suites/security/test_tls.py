"""Is the TLS sound, and does all that is not TLS lead to it?

Load: a handshake or two a claim. Bounds: `security-certificate-…`, `security-…-bits`, `security-hsts-s`.
Needs: tls; where HTTP is taken, an ingress. Costs about 2 s. Versions and the authority are also looked at by
the smoke suite; here is the rest of a handshake.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = [pytest.mark.security, pytest.mark.needs("tls")]

MODELS = "/v1/models"
# Without forward secrecy, without authenticated encryption, or long broken.
WEAK = {
    "static-rsa": "kRSA", "cbc": "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA",
    "cbc-sha256": "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256", "no-encryption": "eNULL",
    "no-authentication": "aNULL",
}  # fmt: skip
SOUND = re.compile(r"^(TLS_|ECDHE-).*(GCM|POLY1305)")


def careless(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that takes whatever it is given, so that a refusal is the server's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    return context


def only(stack: Any, version: ssl.TLSVersion) -> ssl.SSLContext:
    context: ssl.SSLContext = stack.tls()
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.claim("minikube-rtx3060", "nobody")
@pytest.mark.parametrize(
    "version",
    [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1],
    ids=["tls1.0", "tls1.1"],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_no_version_before_1_2_is_spoken(wire, version):
    """TLS 1.0 and TLS 1.1 get no session, however careless the client is"""
    with (
        pytest.raises(OSError, match=r"(?i)alert|reset by peer|unexpected_eof"),
        wire(tls=careless(version)) as line,
    ):
        line.secured.version()


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("weak", WEAK)
def test_no_weak_cipher_is_taken(wire, weak):
    """A client that offers only ciphers without forward secrecy or authenticated encryption is sent away"""
    context = careless(ssl.TLSVersion.TLSv1_2, f"{WEAK[weak]}:@SECLEVEL=0")
    with (
        pytest.raises(OSError, match=r"(?i)alert|reset by peer|unexpected_eof"),
        wire(tls=context) as line,
    ):
        line.secured.cipher()


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_what_is_agreed_on_is_sound(stack, wire, version):
    """TLS 1.2 and 1.3: forward secrecy, authenticated encryption, no compression"""
    with wire(tls=only(stack, version)) as line:
        name, _, bits = line.secured.cipher()
        assert SOUND.match(name), name
        assert bits >= 128
        assert line.secured.compression() is None
        assert line.secured.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


@pytest.mark.claim("nobody")
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["http/1.1"], {"http/1.1"}), (["h2", "http/1.1"], {"h2", "http/1.1"}), (["spdy/3"], {None})],
    ids=["http1", "both", "unknown"],
)
def test_the_protocol_inside_is_one_that_was_offered(stack, wire, offered, chosen):
    """ALPN: one of the offered protocols, or none of them; never one that the client did not name"""
    context = stack.tls()
    context.set_alpn_protocols(offered)
    try:
        with wire(tls=context) as line:
            found = line.secured.selected_alpn_protocol()
    except ssl.SSLError as refused:
        if "no application protocol" not in str(refused).lower().replace("_", " "):
            raise
        found = None  # an alert that says so
    assert found in chosen


@pytest.mark.claim("nobody")
def test_a_session_is_resumed_by_whom_it_belongs_to(stack, wire):
    """A client that comes back resumes its session: a handshake of a returning client is cheap"""
    context = only(stack, ssl.TLSVersion.TLSv1_2)
    with wire(tls=context) as line:
        line.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert [answer.status for answer in line.answers()] == [200]
        session = line.secured.session
    with wire(tls=context, session=session) as line:
        assert line.secured.session_reused


@pytest.mark.claim("nobody")
def test_nothing_is_answered_to_early_or_plain_bytes(stack, address, connect):
    """A client that speaks no TLS gets no API: an error, a redirect, or nothing"""
    key = stack.headers().get("Authorization", "")
    with connect() as line:
        request = f"GET {MODELS} HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: {key}\r\n"
        line.sendall(f"{request}Connection: close\r\n\r\n".encode())
        told = b""
        try:
            while piece := line.recv(65536):
                told += piece
        except OSError:
            pass
    assert stack.model.encode() not in told.partition(b"\r\n\r\n")[2]
    assert not key or key.encode() not in told
    assert re.match(rb"HTTP/1\.1 (30[18]|400|426) ", told) or not told.startswith(b"HTTP/")


@pytest.mark.claim("minikube-rtx3060")
def test_the_certificate_is_good_for_a_while_yet(certificate, bound):
    """The certificate has begun, and lasts for the days that a renewal needs"""
    now = datetime.now(UTC)
    assert certificate.begins <= now
    left = certificate.ends - now
    assert left >= timedelta(days=bound("security-certificate-days-left")), f"{left.days} days left"


@pytest.mark.claim("nobody")
def test_the_certificates_key_is_strong(certificate, bound):
    """The certificate's key is long enough, and it is not signed with a broken digest"""
    least = {"rsa": bound("security-rsa-bits"), "ec": bound("security-ec-bits"), "ed25519": 256}
    assert certificate.key in least
    assert certificate.bits >= least[certificate.key]
    assert certificate.digest in {"sha256", "sha384", "sha512", None}


@pytest.mark.claim("minikube-rtx3060")
@pytest.mark.parametrize("name", ["somebody-else.invalid", "localhost.somebody-else.invalid"])
def test_the_certificate_is_good_for_this_host_and_no_other(stack, wire, certificate, address, name):
    """The chain leads to the authority, and the certificate is good for this host and for no other"""
    with wire() as line:  # a handshake with all checks on
        assert line.secured.getpeercert()
    assert address[0] in certificate.names or any(one.startswith("*.") for one in certificate.names)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname mismatch"), wire(name=name):
        pass


@pytest.mark.claim("minikube-rtx3060")
def test_it_is_not_a_certificate_that_came_with_the_software(certificate):
    """What is served is this place's own certificate, not the one that an ingress controller falls back to"""
    told = " ".join((certificate.subject, *certificate.names)).lower()
    assert not [word for word in ("fake", "snakeoil", "example.com", "default") if word in told]


@pytest.mark.needs("ingress")
@pytest.mark.claim("minikube-rtx3060")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_leads_to_https_and_says_nothing_else(guest, stack, method):
    """HTTP is answered with a permanent redirect to HTTPS on the stack's own name, and nothing else"""
    headers = {**stack.headers(), "Host": "somebody-else.invalid"}
    client = guest("http", headers=headers, follow_redirects=False)
    answer = client.request(method, MODELS, content=b"hello" if method == "POST" else None)
    assert answer.status_code in {301, 308}
    to = urlsplit(answer.headers["location"])
    own = urlsplit(stack.base_url)
    assert (to.scheme, to.hostname, to.port, to.path) == ("https", own.hostname, own.port, MODELS)
    key = stack.keys["suite"].reveal()
    assert key not in answer.text + str(answer.headers)
    assert "strict-transport-security" not in answer.headers  # RFC 6797, 7.2: never over plain HTTP
    assert "set-cookie" not in answer.headers


@pytest.mark.needs("ingress")
@pytest.mark.claim("minikube-rtx3060")
@pytest.mark.parametrize("path", [MODELS, "/health", "/nowhere", "/v1/nowhere"])
def test_hsts_is_asked_for_on_every_answer(guest, stack, bound, path):
    """Every answer over TLS, errors too, tells browsers to stay with HTTPS for long"""
    for key in (None, "suite"):
        (told,) = guest(key=key).get(path).headers.get_list("strict-transport-security")
        age = re.search(r"max-age=(\d+)", told)
        assert age
        assert int(age[1]) >= bound("security-hsts-s")
