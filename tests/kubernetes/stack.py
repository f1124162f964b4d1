"""Stack: the local overlay on a cluster: images, custom resources, Secrets, and where its gateway answers."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import trustme
import yaml

from tests.kubernetes.cluster import Kubectl
from tests.kubernetes.fields import definition, resources
from tests.kubernetes.rendering import KUBERNETES, ROOT, documents, render_text

NAMESPACE = "vllm"
GATEWAYS = "app.kubernetes.io/name=vllm-gateway"
ENGINES = "app.kubernetes.io/name=vllm-engine"
DEFINITION = "customresourcedefinition.apiextensions.k8s.io"
DEPLOYMENTS = (
    "vllm-engine", "vllm-gateway", "vllm-ingress", "vllm-redis", "vllm-prometheus", "vllm-alertmanager",
)  # fmt: skip
PROGRAMS = ("gateway", "simulator", "nginx", "redis", "prometheus", "alertmanager", "receiver")
ARGUMENTS = "/spec/template/spec/containers/0/args/-"
SLOW = [{"op": "add", "path": ARGUMENTS, "value": word} for word in ("--ttft-ms=20", "--itl-ms=20")]
ROLLOUT_S = 180.0
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Stack:
    """What was applied, and what a client needs."""

    kubectl: Kubectl
    manifests: str
    url: str
    key_file: Path

    @property
    def headers(self) -> dict[str, str]:
        """With the one key that secrets.sh made."""
        return {"Authorization": f"Bearer {self.key_file.read_text().strip()}"}

    def ask(self, tokens: int, url: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """One streamed completion over a connection of its own."""
        body = {"model": "tiny", "prompt": "a b c", "max_tokens": tokens, "stream": True, "ignore_eos": True}
        body["stream_options"] = {"include_usage": True}
        sent = httpx.stream(
            "POST",
            f"{url or self.url}/v1/completions",
            json=body,
            headers=self.headers if headers is None else headers,
            timeout=ANSWER_S,
            trust_env=False,
        )
        with sent as response:
            events = [line[6:] for line in response.iter_lines() if line.startswith("data: ")]
            return Answer(response.status_code, events)

    def names(self, labels: str) -> list[str]:
        """Names of the Pods with these labels that are ready and not going."""
        pods = self.kubectl.read("pods", "-n", NAMESPACE, "-l", labels)["items"]
        return sorted(pod["metadata"]["name"] for pod in pods if _is_ready(pod))

    def rolled_out(self, deployment: str) -> None:
        """Wait until all its Pods are of its newest form and ready."""
        self.kubectl(
            "rollout", "status", "-n", NAMESPACE, f"deployment/{deployment}", f"--timeout={ROLLOUT_S:g}s",
            bound_s=ROLLOUT_S + 10,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A streamed answer: its status and its events' data."""

    status: int
    events: list[str]

    @property
    def is_whole(self) -> bool:
        return self.status == httpx.codes.OK and self.events[-1:] == ["[DONE]"]

    @property
    def tokens(self) -> int:
        """As the engine counted them; 0 where the stream ended before it said so."""
        usages = [json.loads(event).get("usage") for event in self.events if event != "[DONE]"]
        return max((usage["completion_tokens"] for usage in usages if usage), default=0)


@contextlib.contextmanager
def standing(kubectl: Kubectl, folder: Path, *, is_ours: bool) -> Iterator[Stack]:
    """The stack, ready; of a cluster that is not ours all is removed again that was not there."""
    before = _kept(kubectl)
    try:
        yield applied(kubectl, folder)
    finally:
        if not is_ours:
            brought = _kept(kubectl) - before
            wanted = {f"namespace/{name}" for name in (NAMESPACE, "monitoring")}
            wanted |= {f"{DEFINITION}/{definition(row)['metadata']['name']}" for row in resources().values()}
            for name in sorted(brought & wanted, reverse=True):  # namespaces first: they hold the resources
                kubectl("delete", "--wait=true", name, bound_s=150)


def _kept(kubectl: Kubectl) -> set[str]:
    """Names of namespaces and of definitions of resources."""
    return set(kubectl("get", "namespaces,customresourcedefinitions", "-o", "name").split())


def applied(kubectl: Kubectl, folder: Path) -> Stack:
    """The stack, ready. Fails the test where the server refuses an object or a Pod does not come up."""
    text = render_text(_with_images(folder))
    made = [definition(row) for row in resources().values()]
    there = {one["metadata"]["name"] for one in kubectl.read("crd")["items"]}
    # Where a controller has brought the real ones, those are what the objects have to suit.
    missing = [one for one in made if one["metadata"]["name"] not in there]
    if missing:
        kubectl("create", "-f", "-", text=yaml.safe_dump_all(missing))
    kubectl.wait_until("the custom resources are served", lambda: _are_served(kubectl))
    key_file = folder / "key"
    subprocess.run(
        [str(KUBERNETES / "secrets.sh"), str(key_file)],
        env={**os.environ, "KUBECTL": shlex.join(["kubectl", *kubectl.arguments])},
        check=True,
        capture_output=True,
        timeout=60,
    )
    kubectl("apply", "-f", "-", text=json.dumps(_certificate(folder)))
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=text)
    stack = Stack(kubectl, text, _url(kubectl), key_file)
    for deployment in DEPLOYMENTS:
        stack.rolled_out(deployment)
    # A node writes its rules a moment after the Pods are ready.
    kubectl.wait_until("the node's port leads to a gateway", lambda: _answers(f"{stack.url}/health"))
    return stack


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _certificate(folder: Path) -> dict[str, object]:
    """The Secret of the way in, with a certificate of an authority whose own lies in the folder."""
    authority = trustme.CA()
    server = authority.issue_cert("vllm-ingress", "127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "vllm-gateway-tls", "namespace": NAMESPACE},
        "stringData": {"tls.crt": chain.decode(), "tls.key": server.private_key_pem.bytes().decode()},
    }


def _are_served(kubectl: Kubectl) -> bool:
    conditions = [one.get("status", {}).get("conditions") or [] for one in kubectl.read("crd")["items"]]
    return all(
        {"Established": "True"}.items() <= {c["type"]: c["status"] for c in one}.items() for one in conditions
    )


def _with_images(folder: Path) -> Path:
    """An overlay over the local one that names this session's images, as a provider of environments would."""
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(KUBERNETES / "overlays" / "local", folder.resolve())],
        "images": [
            {"name": f"vllm-slo/{program}", "newTag": name.rpartition(":")[2]}
            for program, name in _images(*PROGRAMS).items()
        ],
        # A stream that outlasts what a test does to the stack: 20 ms a token.
        "patches": [{"patch": json.dumps(SLOW), "target": {"kind": "Deployment", "name": "vllm-engine"}}],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return folder


def _images(*programs: str) -> dict[str, str]:
    """Program -> image of it in this machine's Docker, made unless it is there."""
    command = [sys.executable, "-m", "deploy.images.local", *programs]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, cwd=ROOT).stdout
    return dict(json.loads(said))


def _url(kubectl: Kubectl) -> str:
    """Straight to the gateways: what is tested is how they come and go."""
    return f"http://127.0.0.1:{node_port(kubectl, 'vllm-gateway', 'http')}"


def node_port(kubectl: Kubectl, name: str, port: str) -> int:
    """The port of the node that leads to a Service's port."""
    service = kubectl.read("service", "-n", NAMESPACE, name)
    (found,) = [one["nodePort"] for one in service["spec"]["ports"] if one["name"] == port]
    return int(found)


def _is_ready(pod: dict[str, dict[str, object]]) -> bool:
    conditions = pod["status"].get("conditions", [])
    assert isinstance(conditions, list)
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def sent_and_stored(stack: Stack) -> list[tuple[str, object, object]]:
    """Of each custom resource: its name, the spec that was sent, the spec that the server keeps."""
    found = []
    for document in documents(stack.manifests):
        row = resources().get((document["apiVersion"], document["kind"]))
        if row:
            name = document["metadata"]["name"]
            stored = stack.kubectl.read(f"{row['plural']}.{row['group']}", "-n", NAMESPACE, name)
            found.append((f"{document['kind']} {name}", document["spec"], stored["spec"]))
    return found
