"""An API server whose Pods, logs and events are dictated, down to where a stream breaks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from environments.kubernetes.api import Api
from environments.kubernetes.context import connected

NAMESPACE = "somewhere"
KINDS = {
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "secrets", "kind": "Secret", "namespaced": True},
    ]
}
BEGAN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass(slots=True)
class Life:
    """One life of a container: its lines, each with its instant, as a node keeps them."""

    lines: list[tuple[datetime, str]] = field(default_factory=list)
    is_over: bool = False
    is_stalled: bool = False  # nothing more comes to those who follow it
    breaks_after: list[int] = field(default_factory=list)  # bytes that a stream gives before it is cut

    def say(self, text: str, after_s: float = 0.0) -> None:
        self.lines.append((BEGAN + timedelta(seconds=after_s), text))


@dataclass(slots=True)
class Script:
    """What the server says, and what it was asked."""

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    lives: dict[tuple[str, str, int], Life] = field(default_factory=dict)  # Pod, container, number
    events: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    is_down: bool = False  # answers 503 to all
    is_mute: bool = False  # answers nothing for long
    forbidden: tuple[str, ...] = ()  # ends of paths that may not be read
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)  # who was told nothing is let go

    def pod(self, name: str, container: str = "main", *, restarts: int = 0, uid: str = "") -> Life:
        """A Pod with one container that runs for the so-manieth time; its log of now."""
        running = {"name": container, "restartCount": restarts, "state": {"running": {}}}
        before = {"terminated": {"reason": "Error", "exitCode": 3}}
        self.pods[name] = {
            "metadata": {"name": name, "uid": uid or f"uid-of-{name}",
                         "labels": {"app.kubernetes.io/component": container}},
            "spec": {"containers": [{"name": container}]},
            "status": {"containerStatuses": [{**running, "lastState": before if restarts else {}}]},
        }  # fmt: skip
        return self.lives.setdefault((name, container, restarts), Life())

    def ended(self, name: str, container: str = "main") -> None:
        """The container is over, and stays so."""
        status = self.pods[name]["status"]["containerStatuses"][0]
        status["state"] = {"terminated": {"exitCode": 0}}
        self.lives[name, container, status["restartCount"]].is_over = True


@contextmanager
def scripted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Script, Api]]:
    """The server, and an API whose context leads to it."""
    script = Script()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
    server.daemon_threads = True
    going = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    going.start()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(_kubeconfig(server.server_address[1]))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    try:
        with connected("scripted") as api:
            yield script, api
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        going.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, asked = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        with self.script.lock:
            self.script.asked.append(self.path)
        inside = path.removeprefix(f"/api/v1/namespaces/{NAMESPACE}/").split("/")
        if self.script.is_mute:
            self.script.released.wait(30.0)
        if self.script.is_down or self.script.is_mute:
            self._tell({"message": "etcd has no leader"}, 503)
        elif path.endswith(self.script.forbidden) and self.script.forbidden:
            self._tell({"message": "may not be read"}, 403)
        elif inside[0] == "pods" and inside[2:] == ["log"]:
            self._log(inside[1], {name: values[0] for name, values in asked.items()})
        elif inside == ["pods"]:
            self._tell({"items": list(self.script.pods.values())})
        elif inside[0] == "pods" and inside[1] in self.script.pods:
            self._tell(self.script.pods[inside[1]])
        elif inside == ["events"]:
            self._tell({"items": self.script.events})
        elif path == "/api/v1":
            self._tell(KINDS)
        else:
            self._tell({"message": "not found"}, 404)

    def _tell(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _log(self, pod: str, asked: dict[str, str]) -> None:
        """As a kubelet: from the whole second on that was asked for, followed to the end of that life."""
        if pod not in self.script.pods:
            self._tell({"message": "not found"}, 404)
            return
        now = self.script.pods[pod]["status"]["containerStatuses"][0]["restartCount"]
        life = self.script.lives[pod, asked["container"], now - (asked.get("previous") == "true")]
        since = datetime.fromisoformat(asked.get("sinceTime", "2000-01-01T00:00:00Z")).replace(microsecond=0)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        room, sent = (life.breaks_after.pop(0) if life.breaks_after else None), 0
        try:
            while True:
                is_over = life.is_over
                text = "".join(f"{_instant(at)} {said}\n" for at, said in life.lines[sent:] if at >= since)
                sent = len(life.lines)
                if room is not None and len(text) >= room:
                    self._chunk(text[:room].encode())
                    self.close_connection = True
                    self.connection.close()
                    return
                room = None if room is None else room - len(text)
                self._chunk(text.encode())
                if is_over or asked.get("follow") != "true":
                    self.wfile.write(b"0\r\n\r\n")
                    return
                time.sleep(0.01)
                while life.is_stalled and not self.script.released.is_set():
                    time.sleep(0.01)
        except OSError:
            self.close_connection = True

    def _chunk(self, text: bytes) -> None:
        if text:
            self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")


def _instant(at: datetime) -> str:
    """As Go writes it: nanoseconds, without the zeros at their end."""
    fraction = f"{at.microsecond:06d}".rstrip("0")
    return f"{at:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"


def _kubeconfig(port: int) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "contexts": [{"name": "scripted", "context": {"cluster": "scripted", "user": "nobody"}}],
            "clusters": [{"name": "scripted", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "nobody", "user": {}}],
        }
    )
