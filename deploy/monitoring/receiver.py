"""A receiver of Alertmanager's webhook that keeps what came: `python -m deploy.monitoring.receiver`.

POST /alerts takes Alertmanager's message (version 4); each of its alerts becomes a line of JSON in --file,
with the instant of its arrival. GET /alerts gives the newest, oldest first; GET /health says that it lives.
With --token-file both ask for `Authorization: Bearer …`. What is kept is bounded: --keep alerts and
--keep-bytes in memory, and a file that is begun anew at --file-bytes, with the one before beside it as
FILE.1. So are connections, in number and in time. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import json
import signal
import socket
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

MOST_BODY_BYTES = 1 << 20
TIMEOUT_S = 10.0
AT_ONCE = 16  # connections; more are turned away, and Alertmanager tries again
LINGER_S = 2.0
CHUNK_BYTES = 1 << 16
FIELDS = ("status", "labels", "annotations", "startsAt", "endsAt", "fingerprint")


class Kept:
    """The newest alerts in memory, all of them in a file of bounded length; each is a line of JSON."""

    def __init__(self, file: Path | None, keep: int, keep_bytes: int, file_bytes: int) -> None:
        self._newest: deque[bytes] = deque(maxlen=keep)
        self._keep_bytes = keep_bytes
        self._file, self._file_bytes = file, file_bytes
        self._lock = threading.Lock()

    def add(self, message: Any) -> int:
        """Keep a message's alerts; how many they were. ValueError when it is none of Alertmanager's."""
        alerts = message.get("alerts") if isinstance(message, dict) else None
        if not isinstance(alerts, list) or not all(isinstance(one, dict) for one in alerts):
            raise ValueError("not a message of Alertmanager: no list of alerts")
        told = {"received_unix_s": round(time.time(), 3), "receiver": message.get("receiver")}
        found = [_line(told | {name: one.get(name) for name in FIELDS}) for one in alerts]
        with self._lock:
            if self._file is not None:
                self._write(self._file, b"".join(found))
            self._newest.extend(found)
            while self._newest and sum(map(len, self._newest)) > self._keep_bytes:
                self._newest.popleft()
        return len(found)

    def newest(self) -> bytes:
        """A list in JSON, the oldest first."""
        with self._lock:
            return b"[" + b",".join(self._newest) + b"]"

    def _write(self, file: Path, lines: bytes) -> None:
        if file.exists() and file.stat().st_size + len(lines) > self._file_bytes:
            file.replace(file.with_name(f"{file.name}.1"))
        with file.open("ab") as kept:
            kept.write(lines)


def _line(alert: dict[str, Any]) -> bytes:
    """Half a surrogate pair is JSON, and no text."""
    return json.dumps(alert, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class Handler(BaseHTTPRequestHandler):
    """One connection. `kept` and `token` are set by `serve`."""

    kept: ClassVar[Kept]
    token: ClassVar[str | None] = None
    timeout = TIMEOUT_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """What came, or that this lives."""
        if self.path == "/health":
            self._answer(200, {"status": "ok"})
        elif self.path != "/alerts":
            self._answer(404, {"error": "only /alerts and /health are here"})
        elif self._allowed():
            self._send(200, self.kept.newest())

    def do_POST(self) -> None:
        """Take a message."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        if self.path != "/alerts":
            self._refuse(404, "only /alerts is here")
        elif not self._allowed():
            self._linger()
        elif not length.isascii() or not length.isdigit():
            self._refuse(411, "a Content-Length is needed")
        elif len(length) > 9 or int(length) > MOST_BODY_BYTES:
            self._refuse(413, f"at most {MOST_BODY_BYTES} bytes")
        else:
            self._take(self.rfile.read(int(length)))

    def _refuse(self, status: int, why: str) -> None:
        self._answer(status, {"error": why})
        self._linger()

    def _linger(self) -> None:
        """Let a body that is not wanted run out: to close on it would take the answer away with a reset."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            for _ in range(2 * MOST_BODY_BYTES // CHUNK_BYTES):
                if not self.connection.recv(CHUNK_BYTES):
                    break

    def _take(self, body: bytes) -> None:
        try:
            count = self.kept.add(json.loads(body))
        except (ValueError, RecursionError) as error:
            self._answer(400, {"error": str(error)})
        else:
            self._answer(200, {"kept": count})

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if self.token is None or hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            return True
        self._answer(401, {"error": "unauthorized"})
        return False

    def _answer(self, status: int, document: object) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: alerts are in the file."""


class Server(ThreadingHTTPServer):
    """A thread a connection (Alertmanager opens one a message), each for `connection_s` at most."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, connection_s: float) -> None:
        """Bind. Raises OSError when the port is taken."""
        self._connection_s = connection_s
        self._open: dict[socket.socket, float] = {}  # until when
        self._lock = threading.Lock()
        super().__init__((host, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve it, if there is room for one more."""
        with self._lock:
            room = len(self._open) < AT_ONCE
            if room:
                self._open[request] = time.monotonic() + self._connection_s
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

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that left is no trouble of ours; anything else is said in one line."""
        error = sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"receiver: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; 0 then."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring.receiver", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="anything beyond loopback needs --token-file")
    parser.add_argument("--port", type=int, default=9094, help="0 takes any that is free")
    parser.add_argument("--file", type=Path, help="where lines of JSON go; none are written without it")
    parser.add_argument("--token-file", type=Path, help="holds the bearer token that is asked for")
    parser.add_argument("--keep", type=int, default=1000, help="alerts that GET /alerts gives at most")
    parser.add_argument("--keep-bytes", type=int, default=8_000_000, help="and so many bytes of them")
    parser.add_argument(
        "--connection-s", type=float, default=30.0, help="the longest that a connection lives"
    )
    parser.add_argument("--file-bytes", type=int, default=10_000_000, help="the file is begun anew beyond it")
    options = parser.parse_args(words)
    Handler.token = options.token_file.read_text(encoding="utf-8").strip() if options.token_file else None
    if Handler.token == "":
        parser.error(f"{options.token_file} is empty: that would be no token")
    if Handler.token is None and not ip_address(options.host).is_loopback:
        parser.error(f"--host {options.host} is beyond loopback and needs --token-file")
    Handler.kept = Kept(options.file, options.keep, options.keep_bytes, options.file_bytes)
    with Server(options.host, options.port, options.connection_s) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"receiver: listening on {options.host}:{server.server_address[1]}", flush=True)
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
