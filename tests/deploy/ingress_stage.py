"""The stage of the ingress's tests: the real nginx on loopback before an upstream that tells what it got."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from deploy.ingress.nginx.rendering import ask, render
from deploy.ingress.nginx.settings import Settings
from environments.binaries import Binary, find_nginx
from environments.certificates import Certificates, make_certificates

BOUND_S = 20.0
STRANGER, OTHER = "127.0.0.2", "127.0.0.3"  # addresses of this host that are not among the ingress's own


def nginx() -> Binary:
    """The program, or a skip that says why."""
    found = find_nginx()
    if found is None:
        pytest.skip("no nginx on this machine: `make setup PARTS=nginx` unpacks one where there is apt")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until it holds; AssertionError when the bound is over."""
    bound = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < bound, f"not within {BOUND_S:g} s: {what}"
        time.sleep(0.01)


@dataclass
class Ingress:
    """A running nginx, its process, its ports and its files."""

    process: subprocess.Popen[bytes]
    port: int
    http_port: int
    certificates: Certificates
    folder: Path
    _clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificates.authority))

    def client(self, source: str = "127.0.0.1", **options: Any) -> httpx.Client:
        """A client at an address of this host; closed with the stage."""
        transport = httpx.HTTPTransport(verify=self.tls(), local_address=source)
        made = httpx.Client(base_url=self.url, transport=transport, timeout=BOUND_S, **options)
        self._clients.append(made)
        return made

    def log(self, request_id: str) -> dict[str, Any]:
        """The one line of the access log with this request id; waited for, as it is written at the end."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            lines = (self.folder / "access.jsonl").read_text().splitlines()
            found[:] = [one for one in map(json.loads, lines) if one["request_id"] == request_id]
            return bool(found)

        until(there, f"a line for {request_id}")
        (line,) = found
        return line

    def close(self) -> None:
        for client in self._clients:
            client.close()


@contextmanager
def ingress(folder: Path, upstream: str, *, more: str = "", **changes: Any) -> Iterator[Ingress]:
    """nginx before `upstream` (host:port), on the host's own template with these settings changed.

    `more` are directives that no host has, put before all others of the http block.
    """
    program = nginx()
    certificates = make_certificates(folder / "tls")
    port, http_port = free_port(), free_port()
    settings: dict[str, Any] = {
        "server_name": "localhost",
        "certificate": str(certificates.chain),
        "private_key": str(certificates.key),
        "upstreams": [upstream],
        "listen": [f"127.0.0.1:{port}"],
        "listen_http": [f"127.0.0.1:{http_port}"],
        "own_addresses": ["127.0.0.1/32"],
        "access_log": str(folder / "access.jsonl"),
        "error_log": "stderr",
        "folder": str(folder),
        "pid": str(folder / "nginx.pid"),
        "user": "root" if os.geteuid() == 0 else None,
        **changes,
    }
    config = folder / "nginx.conf"
    with_libraries = {**os.environ, **program.environment}
    text = render(TypeAdapter(Settings).validate_python(settings), ask(str(program.path)))
    config.write_text(text.replace("http {\n", f"http {{\n{more}\n", 1))
    command = [str(program.path), "-e", "stderr", "-p", str(folder), "-c", str(config), "-g", "daemon off;"]
    with (folder / "error.log").open("wb") as log:
        process = subprocess.Popen(command, env=with_libraries, stderr=log)
    running = Ingress(process, port, http_port, certificates, folder)
    try:
        until(lambda: _listens(running), f"nginx listens; it said: {(folder / 'error.log').read_text()}")
        yield running
    finally:
        running.close()
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND_S)


def _listens(running: Ingress) -> bool:
    assert running.process.poll() is None, (running.folder / "error.log").read_text()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", running.port), timeout=1.0):
        return True
    return False


class Echo(BaseHTTPRequestHandler):
    """Answers any request with what it was sent: path, headers, length of the body."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one write: two would wait for each other 40 ms
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            length = self._chunked()
        else:
            length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        headers = [[name.lower(), value] for name, value in self.headers.items()]
        body = json.dumps({"path": self.path, "headers": headers, "length": length}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815  the names are the library's

    def _chunked(self) -> int:
        length = 0
        while size := int(self.rfile.readline(), 16):
            length += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return length

    def log_message(self, *_: object) -> None:
        pass


class EchoServer(ThreadingHTTPServer):
    """Does not wait for clients that keep their connections."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128


@contextmanager
def echo() -> Iterator[str]:
    """host:port of an upstream that says what it was sent."""
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def sent(answer: httpx.Response) -> dict[str, list[str]]:
    """The headers that reached the upstream, by name."""
    found: dict[str, list[str]] = {}
    for name, value in answer.json()["headers"]:
        found.setdefault(name, []).append(value)
    return found


def envelope(answer: httpx.Response) -> tuple[int, str]:
    """Status and type of an error in the OpenAI envelope; AssertionError when it is no such thing."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["code"] == answer.status_code
    return answer.status_code, error["type"]
