"""An API server that keeps what it is given, refuses what it is told to, and can go away."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from environments.kubernetes.api import MERGE, Api
from environments.kubernetes.context import connected

Document = dict[str, Any]
CONTEXT = "kept"
KINDS = {
    "/api/v1": {
        "Namespace": "namespaces", "Node": "nodes", "Pod": "pods", "Service": "services", "Event": "events",
        "Secret": "secrets", "ConfigMap": "configmaps",
    },
    "/apis/apps/v1": {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"},
    "/apis/networking.k8s.io/v1": {"Ingress": "ingresses"},
    "/apis/gateway.networking.k8s.io/v1": {"Gateway": "gateways"},
}  # fmt: skip
WHOLE_CLUSTERS = ("Namespace", "Node")


@dataclass(slots=True)
class Kept:
    """Path -> object, and what was asked. A namespace takes `going` looks to go, or never."""

    objects: dict[str, Document] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # METHOD path
    bodies: list[tuple[str, Document]] = field(default_factory=list)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)  # METHOD path -> status, message
    logs: dict[str, str] = field(default_factory=dict)  # pod/container, or pod/container/previous
    is_away: bool = False
    going: int | None = 2
    kubeconfig: Path = Path()

    def put(self, path: str, **more: Any) -> Document:
        metadata = {"name": path.rpartition("/")[2], "uid": str(uuid.uuid4()), **more.pop("metadata", {})}
        if "/namespaces/" in path.removesuffix(f"/namespaces/{metadata['name']}"):
            metadata["namespace"] = path.split("/namespaces/")[1].split("/")[0]
        self.objects[path] = {"metadata": metadata, **more}
        return self.objects[path]

    def names(self, plural: str) -> list[str]:
        return sorted(path.rpartition("/")[2] for path in self.objects if path.split("/")[-2] == plural)

    def calls(self, method: str) -> list[str]:
        return [one.partition(" ")[2] for one in self.asked if one.startswith(f"{method} ")]


@contextmanager
def kept_cluster(folder: Path) -> Iterator[tuple[Kept, Api]]:
    """The server, and an API that leads to it by a kubeconfig in `folder`."""
    kept = Kept(kubeconfig=folder / "kubeconfig")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"kept": kept}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    write_kubeconfig(kept.kubeconfig, CONTEXT, f"http://127.0.0.1:{server.server_port}")
    try:
        with connected_by(kept.kubeconfig) as api:
            yield kept, api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def connected_by(kubeconfig: Path) -> Iterator[Api]:
    """As a run connects."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig)
    try:
        with connected(CONTEXT) as api:
            yield api
    finally:
        os.environ.pop("KUBECONFIG")
        if before is not None:
            os.environ["KUBECONFIG"] = before


def write_kubeconfig(path: Path, context: str, server: str, *, cluster: str = "c", user: str = "u") -> None:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": context,
                "clusters": [{"name": cluster, "cluster": {"server": server}}],
                "users": [{"name": user, "user": {"token": "t"}}],
                "contexts": [{"name": context, "context": {"cluster": cluster, "user": user}}],
            }
        )
    )


class _Handler(BaseHTTPRequestHandler):
    kept: Kept

    def log_message(self, *_: object) -> None:
        pass

    def _begun(self) -> tuple[str, Document] | None:
        """Path and body; None where the request has been answered already, or nobody is there to."""
        path = urlsplit(self.path).path
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.kept.is_away:
            self.close_connection = True
            return None
        body = json.loads(text) if text else {}
        self.kept.asked.append(f"{self.command} {path}")
        self.kept.bodies.append((f"{self.command} {path}", body))
        if (refusal := self.kept.refused.get(f"{self.command} {path}")) is not None:
            self._tell({"message": refusal[1], "reason": "Invalid"}, refusal[0])
            return None
        return path, body

    def do_GET(self) -> None:
        if (begun := self._begun()) is None:
            return
        path, query = begun[0], parse_qs(urlsplit(self.path).query)
        if path == "/version":
            self._tell({"gitVersion": "v1.35.2"})
        elif path in KINDS:
            self._tell({"resources": _resources(path)})
        elif path.endswith("/log"):
            self._log(path, query)
        elif path.rpartition("/")[2] in {name for kinds in KINDS.values() for name in kinds.values()}:
            self._tell({"items": self._listed(path, query.get("labelSelector", [""])[0])})
        else:
            self._tell_kept(path)

    def do_POST(self) -> None:
        if (begun := self._begun()) is None:
            return
        path = f"{begun[0]}/{begun[1]['metadata']['name']}"
        if path in self.kept.objects:
            self._tell({"message": "already exists", "reason": "AlreadyExists"}, 409)
            return
        self.kept.put(path, **begun[1])
        self._tell(self.kept.objects[path], 201)

    def do_PATCH(self) -> None:
        if (begun := self._begun()) is not None:
            if self.headers["Content-Type"] == MERGE:
                self.kept.objects[begun[0]] = _merged(self.kept.objects[begun[0]], begun[1])
            else:
                self.kept.put(begun[0], **begun[1])
            self._tell(self.kept.objects[begun[0]])

    def do_DELETE(self) -> None:
        if (begun := self._begun()) is None:
            return
        path, body = begun
        found = self.kept.objects.get(path)
        wanted = (body.get("preconditions") or {}).get("uid")
        if path.endswith("/pods"):
            self._tell({})
        elif found is None:
            self._tell({"message": "not found"}, 404)
        elif wanted not in (None, found["metadata"]["uid"]):
            self._tell({"message": "the UID in the precondition is another one"}, 409)
        else:
            found["metadata"]["deletionTimestamp"] = "2026-11-22T04:00:00Z"
            self._tell(found)

    def _tell_kept(self, path: str) -> None:
        found = self.kept.objects.get(path)
        if found is not None and "deletionTimestamp" in found["metadata"] and self.kept.going is not None:
            self.kept.going -= 1
            if self.kept.going < 0:
                found = None
                del self.kept.objects[path]
        self._tell(found or {"message": "not found", "reason": "NotFound"}, 200 if found else 404)

    def _listed(self, path: str, selector: str) -> list[Document]:
        root, _, plural = path.rpartition("/")
        everywhere = "/namespaces/" not in root
        inside = [
            one
            for place, one in self.kept.objects.items()
            if place.rpartition("/")[0] == path or (everywhere and place.split("/")[-2] == plural)
        ]
        wanted = [part.partition("=") for part in selector.split(",") if part]
        return [one for one in inside if all(_has(one, name, sign, value) for name, sign, value in wanted)]

    def _log(self, path: str, query: dict[str, list[str]]) -> None:
        place = f"{path.split('/')[-2]}/{query['container'][0]}" + (
            "/previous" if "previous" in query else ""
        )
        text = self.kept.logs.get(place)
        data = (text or "no such log").encode()
        self._send(data, 200 if text is not None else 400)

    def _tell(self, document: Document, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status)

    def _send(self, data: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _resources(root: str) -> list[Document]:
    return [
        {"kind": kind, "name": name, "namespaced": kind not in WHOLE_CLUSTERS}
        for kind, name in KINDS[root].items()
    ]


def _merged(value: Document, change: Document) -> Document:
    """A JSON merge patch (RFC 7386) laid over an object."""
    found = dict(value)
    for name, one in change.items():
        if one is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name) or {}, one) if isinstance(one, dict) else one
    return found


def _has(document: Document, name: str, sign: str, value: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    return name in labels and (not sign or labels[name] == value)
