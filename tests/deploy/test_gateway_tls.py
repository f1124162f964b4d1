"""The floor of TLS is where the settings put it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import ssl
import subprocess
import sys
import termios
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    ENVIRONMENT,
    ROOT,
    Upstream,
    gateway,
    settings_of,
    stage,
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def block(folder: Path, authority: trustme.CA, minimum: str) -> dict[str, Any]:
    """The `tls` block, its files written."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return {"certificate": str(certificate), "private_key": str(key), "minimum_version": minimum}


def client_speaking(authority: trustme.CA, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks this version only, its own floor removed: a refusal is then the server's."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


async def status_line(port: int, context: ssl.SSLContext) -> tuple[bytes, str]:
    """The first line of GET /health, and the version that was agreed on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        line = await asyncio.wait_for(reader.readline(), 5)
        await asyncio.wait_for(reader.read(), 5)  # to close before the rest came is an error
        return line, writer.get_extra_info("ssl_object").version()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_tls_1_1_is_refused_by_a_floor_of_1_2(tmp_path: Path, authority: trustme.CA) -> None:
    async with stage(tls=block(tmp_path, authority, "1.2")) as (_, running):
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            await status_line(running.port, client_speaking(authority, ssl.TLSVersion.TLSv1_1))
        line, version = await status_line(running.port, client_speaking(authority, ssl.TLSVersion.TLSv1_2))
        assert (line, version) == (b"HTTP/1.1 200 OK\r\n", "TLSv1.2")


async def test_tls_1_1_is_spoken_with_a_floor_of_1_0_and_said_aloud(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async with stage(tls=block(tmp_path, authority, "1.0")) as (_, running):
        line, version = await status_line(running.port, client_speaking(authority, ssl.TLSVersion.TLSv1_1))
        assert (line, version) == (b"HTTP/1.1 200 OK\r\n", "TLSv1.1")
        (warning,) = running.lines("obsolete_tls")
        assert warning["level"] == "warning"


async def test_tls_1_2_is_refused_by_a_floor_of_1_3(tmp_path: Path, authority: trustme.CA) -> None:
    async with stage(tls=block(tmp_path, authority, "1.3")) as (_, running):
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            await status_line(running.port, client_speaking(authority, ssl.TLSVersion.TLSv1_2))


async def test_a_cipher_of_the_guideline_is_taken_and_any_other_refused(
    tmp_path: Path, authority: trustme.CA
) -> None:
    context = client_speaking(authority, ssl.TLSVersion.TLSv1_2)
    async with stage(tls=block(tmp_path, authority, "1.2")) as (_, running):
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        line, _ = await status_line(running.port, context)
        assert line.startswith(b"HTTP/1.1 200")
        context.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match=r"(?i)alert handshake failure"):
            await status_line(running.port, context)


async def test_requests_pass_through_tls(tmp_path: Path, authority: trustme.CA) -> None:
    async with stage(tls=block(tmp_path, authority, "1.2")) as (_, running):
        context = client_speaking(authority, ssl.TLSVersion.TLSv1_3)
        async with httpx.AsyncClient(base_url=running.url, trust_env=False, verify=context) as client:
            assert (await client.get("/v1/models", headers=AUTHORIZED)).status_code == 200
            assert running.url.startswith("https://")


async def test_a_certificate_that_is_not_one_exits_2(tmp_path: Path, authority: trustme.CA) -> None:
    tls = block(tmp_path, authority, "1.2") | {"certificate": str(tmp_path / "none.pem")}
    async with process(tmp_path, settings_of("http://127.0.0.1:1", tls=tls)) as started:
        assert await started.exit_code() == 2
    assert any("tls:" in line and "none.pem" in line for line in started.stderr)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    made = rsa.generate_private_key(65537, 2048)
    locked = serialization.BestAvailableEncryption(b"passphrase")
    key = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (tmp_path / "key.pem").write_bytes(key)
    own = trustme.CA()
    own.issue_cert("localhost").cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    tls = {"certificate": str(tmp_path / "certificate.pem"), "private_key": str(tmp_path / "key.pem")}
    (tmp_path / "gateway.yaml").write_text(yaml.safe_dump(settings_of("http://127.0.0.1:1", tls=tls)))
    ours, theirs = os.openpty()  # a terminal, on which it could be asked for

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.gateway", "--config", str(tmp_path / "gateway.yaml")],
            cwd=ROOT, env=ENVIRONMENT, preexec_fn=take_terminal, capture_output=True, timeout=15, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"key.pem cannot be used" in done.stderr


async def test_an_engine_behind_tls_is_reached_by_its_own_authority_and_no_other(
    tmp_path: Path, authority: trustme.CA
) -> None:
    own = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(own)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with Upstream().running(tls) as upstream:
        body = b'{"prompt":"' + b"x" * 3_000_000 + b'"}'
        async with gateway(
            upstream.url, upstream={"url": upstream.url, "certificate_authority": str(own)}
        ) as running:
            response = await running.client.post(CHAT, headers=AUTHORIZED, content=body)
            assert (response.status_code, response.content) == (200, b'{"ok":true}')
            assert upstream.requests[0].body == body
        async with gateway(upstream.url) as running:
            response = await running.client.post(CHAT, headers=AUTHORIZED, content=body)
            assert response.status_code == 503
