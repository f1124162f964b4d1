"""A cluster whose every answer is dictated: an API server of lists, rights and refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

Document = dict[str, Any]
ARN = "arn:aws:eks:us-east-1:111122223333:cluster/slo"
WHOLE_CLUSTERS = {"Namespace", "Node", "StorageClass", "IngressClass", "GatewayClass"}
# A current server with all that the overlays know: group version -> kinds with their plurals.
SERVED: dict[str, dict[str, str]] = {
    "v1": {
        "Namespace": "namespaces", "Node": "nodes", "Pod": "pods", "Service": "services",
        "ConfigMap": "configmaps", "ServiceAccount": "serviceaccounts",
        "PersistentVolumeClaim": "persistentvolumeclaims",
    },
    "apps/v1": {"Deployment": "deployments", "DaemonSet": "daemonsets"},
    "policy/v1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "autoscaling/v2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "networking.k8s.io/v1": {
        "NetworkPolicy": "networkpolicies", "Ingress": "ingresses", "IngressClass": "ingressclasses",
    },
    "storage.k8s.io/v1": {"StorageClass": "storageclasses"},
    "cert-manager.io/v1": {"Issuer": "issuers", "Certificate": "certificates"},
    "monitoring.coreos.com/v1": {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"},
    "gateway.networking.k8s.io/v1": {
        "Gateway": "gateways", "HTTPRoute": "httproutes", "GatewayClass": "gatewayclasses",
    },
    "gateway.nginx.org/v1alpha1": {
        "RateLimitPolicy": "ratelimitpolicies", "ProxySettingsPolicy": "proxysettingspolicies",
        "ClientSettingsPolicy": "clientsettingspolicies",
    },
    "keda.sh/v1alpha1": {"ScaledObject": "scaledobjects"},
    "metrics.k8s.io/v1beta1": {"NodeMetrics": "nodes"},
}  # fmt: skip


@dataclass(slots=True)
class Cluster:
    """What the server says, and what it was asked to change."""

    version: str = "v1.35.2"
    served: dict[str, dict[str, str]] = field(default_factory=lambda: {**SERVED})
    objects: dict[str, list[Document]] = field(default_factory=dict)  # kind -> objects
    denied: set[str] = field(default_factory=set)  # `patch nodes`, `create pods/exec` …
    hidden: set[str] = field(default_factory=set)  # plurals that may not be listed
    refused: dict[str, str] = field(default_factory=dict)  # name of an object -> the server's words
    written: list[str] = field(default_factory=list)  # requests that would have changed something
    dry: list[str] = field(default_factory=list)  # objects of dry runs

    def without(self, group: str) -> None:
        self.served = {name: kinds for name, kinds in self.served.items() if name != group}


def node(name: str, kind: str = "", gpus: int = 0, labels: dict[str, str] | None = None) -> Document:
    """A node that is ready; of a kind of AWS's, or of no cloud."""
    made = {**(labels or {}), **({"node.kubernetes.io/instance-type": kind} if kind else {})}
    return {
        "metadata": {"name": name, "labels": made},
        "spec": {"providerID": f"aws:///us-east-1a/i-{name}"} if kind else {},
        "status": {
            "allocatable": {"cpu": "4", **({"nvidia.com/gpu": str(gpus)} if gpus else {})},
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": f"192.168.49.{len(name)}"}],
        },
    }


def gpu_pod(name: str, on: str, gpus: int = 1, phase: str = "Running") -> Document:
    container = {"name": "it", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    spec = {"nodeName": on, "containers": [container]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def named(name: str, **more: Any) -> Document:
    return {"metadata": {"name": name}, **more}


@contextmanager
def dictated(cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server; its context is `dictated`, and KUBECONFIG leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": cluster}))
    server.daemon_threads = True
    going = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    going.start()
    point_to(folder, f"http://127.0.0.1:{server.server_address[1]}", monkeypatch)
    try:
        yield "dictated"
    finally:
        server.shutdown()
        server.server_close()
        going.join()


def point_to(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubeconfig whose one context leads to a URL."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": "dictated", "context": {"cluster": ARN, "user": "nobody"}}],
        "clusters": [{"name": ARN, "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(file))
    # The client looks where KUBECONFIG pointed when it was imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: the second would wait for the client's delayed ACK
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/version":
            self._tell({"gitVersion": self.cluster.version})
        elif path == "/apis":
            self._tell({"groups": [{"versions": [{"groupVersion": one}]} for one in self.cluster.served]})
        elif (group := path.removeprefix("/apis/").removeprefix("/api/")) in self.cluster.served:
            self._tell({"resources": _resources(self.cluster.served[group])})
        else:
            self._list(path)

    def _list(self, path: str) -> None:
        for group, kinds in self.cluster.served.items():
            root = f"/apis/{group}/" if "/" in group else f"/api/{group}/"
            inside = path.removeprefix(root).split("/")
            if not path.startswith(root):
                continue
            inside = inside[2:] if inside[0] == "namespaces" and len(inside) > 2 else inside
            kind = next((kind for kind, plural in kinds.items() if plural == inside[0]), "")
            if inside[0] in self.cluster.hidden:
                return self._tell({"message": f"may not list {inside[0]}"}, 403)
            found = self.cluster.objects.get(kind, [])
            if len(inside) == 1 and kind:
                return self._tell({"items": found})
            for one in found:
                if one["metadata"]["name"] == inside[-1]:
                    return self._tell(one)
        return self._tell({"message": "not found"}, 404)

    def do_POST(self) -> None:
        asked = self._body()
        if not self.path.endswith("/selfsubjectaccessreviews"):
            self.cluster.written.append(f"POST {self.path}")
            return self._tell({}, 201)
        right = asked["spec"]["resourceAttributes"]
        sub = f"/{right['subresource']}" if right["subresource"] else ""
        allowed = f"{right['verb']} {right['resource']}{sub}" not in self.cluster.denied
        return self._tell({"status": {"allowed": allowed}}, 201)

    def do_PATCH(self) -> None:
        sent, name = self._body(), urlsplit(self.path).path.rpartition("/")[2]
        if parse_qs(urlsplit(self.path).query).get("dryRun") != ["All"]:
            self.cluster.written.append(f"PATCH {self.path}")
        self.cluster.dry.append(f"{sent['kind']} {name}")
        if name in self.cluster.refused:
            return self._tell({"message": self.cluster.refused[name]}, 422)
        return self._tell(sent)

    def _body(self) -> Document:
        return dict(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _tell(self, document: Document, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _resources(kinds: dict[str, str]) -> list[Document]:
    return [
        {"name": plural, "kind": kind, "namespaced": kind not in WHOLE_CLUSTERS}
        for kind, plural in kinds.items()
    ]
