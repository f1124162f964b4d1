"""An API server that keeps objects and changes them as asked, budgets included: no node, nobody who acts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import ApiClient, Configuration

from environments.kubernetes.api import Api

AHEAD = timedelta(hours=1)  # its clock, of ours
SPACE = "somewhere"
KINDS = {
    "/api/v1": {"Pod": ("pods", True), "Node": ("nodes", False), "ConfigMap": ("configmaps", True),
                "Endpoints": ("endpoints", True), "Event": ("events", True)},
    "/apis/apps/v1": {"Deployment": ("deployments", True)},
    "/apis/networking.k8s.io/v1": {"NetworkPolicy": ("networkpolicies", True)},
}  # fmt: skip
EVICTION = {
    "name": "pods/eviction",
    "kind": "Eviction",
    "namespaced": True,
    "group": "policy",
    "version": "v1beta1",
}
TOO_MANY = 429


@dataclass(slots=True)
class Store:
    """Path -> object, and what was asked of it. `held` are Pods that a budget holds, each so many times."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)  # method, path
    evictions: list[dict[str, Any]] = field(default_factory=list)
    refuse: set[tuple[str, str]] = field(default_factory=set)  # method, path -> HTTP 500

    def put(
        self, root: str, plural: str, name: str, space: str | None = SPACE, **more: Any
    ) -> dict[str, Any]:
        inside = f"/namespaces/{space}" if space else ""
        metadata = {"name": name, **({"namespace": space} if space else {}), **more.pop("metadata", {})}
        found = self.objects[f"{root}{inside}/{plural}/{name}"] = {"metadata": metadata, **more}
        return found

    def pod(self, name: str, component: str = "gateway", *, node: str = "one", space: str = SPACE,
            **metadata: Any) -> dict[str, Any]:  # fmt: skip
        labels = {"app.kubernetes.io/component": component}
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T04:00:00Z"}
        running = {"name": component, "restartCount": 0, "state": {"running": {}}}
        container = {
            "name": component,
            "image": f"{component}:1",
            "resources": {"limits": {"memory": "64Mi"}},
        }
        return self.put(
            "/api/v1", "pods", name, space,
            metadata={"labels": labels, "creationTimestamp": "2026-11-22T03:59:00Z", **metadata},
            spec={"nodeName": node, "containers": [container]},
            status={"conditions": [ready], "containerStatuses": [running]},
        )  # fmt: skip

    def node(self, name: str, **spec: Any) -> dict[str, Any]:
        return self.put("/api/v1", "nodes", name, None, spec=spec)


@contextmanager
def stored() -> Iterator[tuple[Store, Api]]:
    """The server, and an API that leads to it."""
    store = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": store}))
    server.daemon_threads = True
    going = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    going.start()
    settings = Configuration()
    settings.host, settings.retries = f"http://127.0.0.1:{server.server_address[1]}", 0
    api = Api(ApiClient(settings), "stored")
    try:
        yield store, api
    finally:
        api.close()
        server.shutdown()
        server.server_close()
        going.join()


class _Handler(BaseHTTPRequestHandler):
    store: Store

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if ("GET", path) in self.store.refuse:
            self._tell({"message": "etcd has no leader"}, 500)
        elif path in KINDS:
            listed = [
                {"kind": kind, "name": name, "namespaced": inside}
                for kind, (name, inside) in KINDS[path].items()
            ]
            self._tell({"resources": [*listed, EVICTION] if path == "/api/v1" else listed})
        elif path in self.store.objects:
            self._tell(self.store.objects[path])
        else:
            self._tell({"items": [one for one in self._below(path) if _chosen(one, query)]})

    def do_PATCH(self) -> None:
        path, change = urlsplit(self.path).path, self._body()
        if self._noted(path):
            return
        found = self.store.objects.setdefault(path, {"metadata": {"name": path.rsplit("/", 1)[-1]}})
        if isinstance(change, list):
            for one in change:
                _, place, name = one["path"].split("/")
                if one["op"] == "remove":
                    del found[place][name]
                else:
                    found[place][name] = one["value"]
        else:
            _merge(found, change)
        self._tell(found)

    def do_DELETE(self) -> None:
        path = urlsplit(self.path).path
        self._body()
        if not self._noted(path):
            self._tell(self.store.objects.pop(path, {}), 200)

    def do_POST(self) -> None:
        path, body = urlsplit(self.path).path, self._body()
        if self._noted(path):
            return
        if path.endswith("/eviction"):
            name = path.split("/")[-2]
            if self.store.held.get(name, 0) > 0:
                self.store.held[name] -= 1
                self._tell({"message": "it would violate the pod's disruption budget"}, TOO_MANY)
                return
            self.store.evictions.append(body)
            self.store.objects.pop(path.removesuffix("/eviction"))
        now = f"{datetime.now(UTC) + AHEAD:%Y-%m-%dT%H:%M:%SZ}"
        self._tell({"metadata": {"creationTimestamp": now}}, 201)

    def _noted(self, path: str) -> bool:
        """Note what was asked; whether it was refused."""
        self.store.asked.append((self.command, path))
        refused = (self.command, path) in self.store.refuse
        if refused:
            self._tell({"message": "etcd has no leader"}, 500)
        return refused

    def _below(self, path: str) -> list[dict[str, Any]]:
        root, _, plural = path.rpartition("/")
        here = [one for at, one in self.store.objects.items() if at.startswith(f"{path}/")]
        if "/namespaces/" in path:
            return here
        anywhere = [
            one for at, one in self.store.objects.items()
            if at.startswith(f"{root}/namespaces/") and at.split("/")[-2] == plural
        ]  # fmt: skip
        return [*here, *anywhere]

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def _tell(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _chosen(one: dict[str, Any], query: dict[str, list[str]]) -> bool:
    for text in query.get("labelSelector", ()):
        name, _, value = text.partition("=")
        if one["metadata"].get("labels", {}).get(name) != value:
            return False
    for text in query.get("fieldSelector", ()):
        if text != f"spec.nodeName={one['spec'].get('nodeName')}":
            return False
    return True


def _merge(found: dict[str, Any], change: dict[str, Any]) -> None:
    """RFC 7396."""
    for name, value in change.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, dict):
            found[name] = found.get(name) if isinstance(found.get(name), dict) else {}
            _merge(found[name], value)
        else:
            found[name] = value
