"""A real S3 API on this machine, a proxy before it that cuts and spoils, and deploy.weights as a process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"  # moto's
BUCKET = "weights"
PREFIX = "models/m"
SECRET = "s3cr3t/never+to+be+shown"
ACCESS = "AKIANEVERTOBESHOWN00"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ACCESS,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MIB = 1 << 20
LIMIT_S = 60.0


@dataclass(frozen=True)
class Store:
    """moto's server and a client of it."""

    url: str
    client: Any

    def put(self, name: str, content: bytes, prefix: str = PREFIX, **more: str) -> None:
        """Upload by S3's API, which adds a CRC-32."""
        self.client.put_object(Bucket=BUCKET, Key=f"{prefix}/{name}", Body=content, **more)

    def put_directly(self, name: str, content: bytes) -> None:
        """Store past the API, which is quicker: no checksum but the ETag, and any name."""
        get_backend("s3")[ACCOUNT]["aws"].put_object(BUCKET, f"{PREFIX}/{name}", content)

    def delete_directly(self, name: str) -> None:
        get_backend("s3")[ACCOUNT]["aws"].delete_object(BUCKET, f"{PREFIX}/{name}")


@contextlib.contextmanager
def store() -> Iterator[Store]:
    """A server with one empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(proxies={}),
        )
        client.create_bucket(Bucket=BUCKET)
        yield Store(url, client)
        client.close()
    finally:
        server.stop()


def empty(one: Store) -> None:
    """Throw all objects away."""
    for page in one.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", ())]
        if keys:
            one.client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys})


@dataclass
class Mischief:
    """What the proxy does to answers; positions count their bytes over one connection, or over all."""

    cut_after: int | None = None  # each connection is closed after so many
    hold_after: int | None = None  # over all: so many pass, the rest waits
    spoil_at: list[int] = field(default_factory=list)  # over all: these bytes are inverted
    on_request: Callable[[bytes], None] | None = None
    passed: int = 0
    requests: list[bytes] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)


class _Pipe(socketserver.BaseRequestHandler):
    """One connection of the proxy; its server carries `mischief` and `upstream`."""

    server: _Proxy

    def handle(self) -> None:
        mischief = self.server.mischief
        client: socket.socket = self.request
        own = 0
        with socket.create_connection(self.server.upstream) as engine:
            while not mischief.closing.is_set():
                ready, _, _ = select.select([client, engine], [], [], 0.05)
                if client in ready:
                    asked = client.recv(65536)
                    if not asked:
                        return
                    mischief.requests.append(asked.partition(b"\r\n")[0])
                    if mischief.on_request:
                        mischief.on_request(asked)
                    engine.sendall(asked)
                if engine in ready:
                    if mischief.hold_after is not None and mischief.passed >= mischief.hold_after:
                        mischief.closing.wait(0.02)
                        continue
                    answer = engine.recv(65536)
                    if not answer:
                        return
                    own += len(answer)
                    client.sendall(self._spoilt(answer))
                    if mischief.cut_after is not None and own >= mischief.cut_after:
                        return

    def _spoilt(self, answer: bytes) -> bytes:
        mischief = self.server.mischief
        with mischief.lock:
            spoilt = bytearray(answer)
            for at in mischief.spoil_at:
                if mischief.passed <= at < mischief.passed + len(answer):
                    spoilt[at - mischief.passed] ^= 0xFF
            mischief.passed += len(answer)
            return bytes(spoilt)


class _Proxy(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False  # joined at the end, so that no socket outlives its test

    def __init__(self, upstream: tuple[str, int], mischief: Mischief) -> None:
        super().__init__(("127.0.0.1", 0), _Pipe)
        self.upstream = upstream
        self.mischief = mischief

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed resets its connections; that is meant."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def proxy(one: Store, mischief: Mischief) -> Iterator[str]:
    """A proxy before the store; its URL."""
    host, _, port = one.url.removeprefix("http://").partition(":")
    with _Proxy((host, int(port)), mischief) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            mischief.closing.set()
            server.shutdown()
            thread.join()


def command(url: str, destination: Path, *flags: str, prefix: str = PREFIX) -> list[str]:
    """The program's arguments, with pauses short enough for a test."""
    start = [sys.executable, "-m", "deploy.weights", f"s3://{BUCKET}/{prefix}", str(destination)]
    return [*start, "--endpoint-url", url, "--pause-s", "0.01", *flags]


def environment(**more: str) -> dict[str, str]:
    """The process's own, without proxies."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**kept, **CREDENTIALS, **more}


def download(
    url: str, destination: Path, *flags: str, prefix: str = PREFIX
) -> subprocess.CompletedProcess[str]:
    """Run it to its end; no secret may be in what it says."""
    done = subprocess.run(
        command(url, destination, *flags, prefix=prefix),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert SECRET not in done.stdout + done.stderr
    assert ACCESS not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def safetensors(size: int) -> bytes:
    """A sound file of one tensor of `size` bytes, which differ from place to place."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    body = b"".join(number.to_bytes(4, "big") for number in range(-(-size // 4)))[:size]
    return struct.pack("<Q", len(header)) + header + body


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def published(folder: Path) -> dict[str, bytes]:
    """What was published, without the marker."""
    found = tree(folder)
    assert found.pop(".complete.json")
    return found


def came(said: str) -> int:
    (count,) = re.findall(r"([\d,]+) bytes came", said)
    return int(count.replace(",", ""))


BIG = safetensors(8 * MIB)
