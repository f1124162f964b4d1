"""The exporter's HTTP server: GET /metrics and GET /health, bounded in time and in number."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

AT_ONCE = 16  # scrapes; more are turned away, since a scrape takes milliseconds
CLIENT_BOUND_S = 10.0

Answer = tuple[int, str, bytes]  # status, content type, body


def metrics(text: bytes) -> Answer:
    """A page of metrics."""
    return 200, "text/plain; version=0.0.4; charset=utf-8", text


def words(status: int, word: str) -> Answer:
    """A short answer as JSON."""
    return status, "application/json", json.dumps({"status": word}).encode() + b"\n"


class Server(ThreadingHTTPServer):
    """Answers `pages` by path, each request on a thread of its own that ends with the process."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, pages: dict[str, Callable[[], Answer]]) -> None:
        """Bind. Raises OSError when the port is taken."""
        self.pages = pages
        self._open: dict[Any, float] = {}  # connections, until when each may be
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        return f"http://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it, if there is room for one more."""
        with self._lock:
            room = len(self._open) < AT_ONCE
            if room:
                self._open[request] = time.monotonic() + CLIENT_BOUND_S
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Its end, whoever asks for it."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """At each poll: who sends a byte now and then would never run into a time-out of one read."""
        with self._lock:
            late = [one for one, until_s in self._open.items() if time.monotonic() > until_s]
        for one in late:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is no news; a mistake of ours is."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = CLIENT_BOUND_S
    server_version = "vllm-slo-exporter"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, body = page() if page else words(404, "not found")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """A scrape is no event."""
