"""The manifests on a real API server, scheduler and node, with the simulator in the engine's place."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.kubernetes.monitors import target_labels
from tests.kubernetes.rendering import KUBERNETES, PLACES, rendered
from tests.kubernetes.stack import ENGINES, GATEWAYS, NAMESPACE, Answer, Stack, sent_and_stored

pytestmark = pytest.mark.kubernetes

USERS = 8
TOKENS = (
    200  # 20 ms each: a stream of 4 s outlasts the sleep before a stop, so that draining is what saves it
)
LABEL = re.compile(r'[{,](\w+)="')
# What Kubernetes 1.20 knows of what the other places apply. Not Deployments: they sleep before they stop.
OF_OTHER_PLACES = {"DaemonSet", "Service", "ServiceAccount", "ConfigMap", "NetworkPolicy", "StorageClass",
                   "PersistentVolumeClaim", "Ingress"}  # fmt: skip
UNGUARDED = [
    "/metrics",
    "/invocations",
    "/tokenize",
    "/detokenize",
    "/pause",
    "/v1/../metrics",
    "/openapi.json",
]


def status(url: str, headers: dict[str, str] | None = None) -> int:
    return httpx.get(url, headers=headers, timeout=10, trust_env=False).status_code


class Users:
    """Clients that ask one stream after another, each over a connection of its own, until told to stop."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self.answers: list[Answer | httpx.HTTPError] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask) for _ in range(USERS)]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self._over.set()
            for one in threads:
                one.join(timeout=60)

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.answers.append(self._stack.ask(TOKENS))
            except httpx.HTTPError as error:
                self.answers.append(error)

    def lost(self) -> list[Answer | httpx.HTTPError]:
        return [
            one
            for one in self.answers
            if isinstance(one, httpx.HTTPError) or not one.is_whole or one.tokens != TOKENS
        ]


def test_a_client_with_the_key_gets_a_stream(stack: Stack) -> None:
    answer = stack.ask(20)
    assert answer.is_whole
    assert answer.tokens == 20
    assert len(answer.events) >= 20, "a token an event: nothing on the way gathers them"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_a_client_without_it_gets_401(stack: Stack, headers: dict[str, str]) -> None:
    assert stack.ask(20, headers=headers).status == 401


@pytest.mark.parametrize("path", UNGUARDED)
def test_what_the_engine_leaves_open_is_not_behind_the_gateway(stack: Stack, path: str) -> None:
    assert status(stack.url + path, stack.headers) in (404, 405)


def test_the_server_keeps_every_field_of_every_custom_resource(stack: Stack) -> None:
    kept = sent_and_stored(stack)
    assert len({name.split()[0] for name, _, _ in kept}) == 10
    for name, sent, stored in kept:
        assert stored == sent, name


def test_prometheus_would_find_metrics_behind_every_monitor(stack: Stack) -> None:
    wanted = {"vllm-engine": "vllm:num_requests_waiting", "vllm-gateway": "gateway_active_requests"}
    monitors = stack.kubectl.read("servicemonitors.monitoring.coreos.com", "-n", NAMESPACE)["items"]
    assert {one["metadata"]["name"] for one in monitors} == set(wanted)
    for monitor in monitors:
        labels = ",".join(
            f"{name}={value}" for name, value in monitor["spec"]["selector"]["matchLabels"].items()
        )
        (service,) = stack.kubectl.read("services", "-n", NAMESPACE, "-l", labels)["items"]
        (endpoint,) = monitor["spec"]["endpoints"]
        (port,) = [one["port"] for one in service["spec"]["ports"] if one["name"] == endpoint["port"]]
        url = f"http://{service['spec']['clusterIP']}:{port}{endpoint['path']}"
        text = httpx.get(url, timeout=10, trust_env=False).text
        name = monitor["metadata"]["name"]
        assert wanted[name] in text
        hidden = set(target_labels("overlays/minikube", name)) & set(LABEL.findall(text))
        assert not hidden, "the target's label of that name would stand in the place of the page's own"


def test_the_server_would_take_what_other_places_apply(stack: Stack) -> None:
    """Its validation knows what schemas do not say: combinations, lengths, names of ports."""
    found = {
        json.dumps(one): one for place in PLACES for one in rendered(place) if one["kind"] in OF_OTHER_PLACES
    }
    items = []
    for number, one in enumerate(found.values()):
        metadata = {**one["metadata"], "name": f"{one['metadata']['name']}-{number}"[-63:]}
        if "namespace" in metadata:
            metadata["namespace"] = NAMESPACE
        items.append({**one, "metadata": metadata})
    assert {one["kind"] for one in items} == OF_OTHER_PLACES
    sent = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    said = stack.kubectl("create", "--dry-run=server", "-f", "-", text=sent)
    assert said.count("created (server dry run)") == len(items)


def test_a_second_run_of_the_script_locks_nobody_out(stack: Stack) -> None:
    before = stack.kubectl.read("secrets", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=vllm-slo")[
        "items"
    ]
    done = subprocess.run(
        [str(KUBERNETES / "secrets.sh"), str(stack.key_file)],
        env={**os.environ, "KUBECTL": shlex.join(["kubectl", *stack.kubectl.arguments])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    after = stack.kubectl.read("secrets", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=vllm-slo")[
        "items"
    ]
    assert [one["data"] for one in before] == [one["data"] for one in after]
    assert len(after) == 2
    assert done.stdout.count("kept: ") == 3
    key = stack.key_file.read_text().strip()
    assert len(key) == 48
    assert key not in done.stdout + json.dumps(after)
    assert stack.key_file.stat().st_mode & 0o777 == 0o600


def test_engines_run_where_there_is_a_gpu_and_wait_where_there_is_none(stack: Stack) -> None:
    nodes = stack.kubectl.read("nodes")["items"]
    gpus = sum(int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) for node in nodes)
    assert gpus > 0
    stack.kubectl("scale", "-n", NAMESPACE, "deployment/vllm-engine", f"--replicas={gpus + 1}")
    try:
        stack.kubectl.wait_until("an engine for each GPU", lambda: len(stack.names(ENGINES)) == gpus)
        pods = stack.kubectl.read("pods", "-n", NAMESPACE, "-l", ENGINES)["items"]
        (waiting,) = [pod for pod in pods if pod["status"]["phase"] == "Pending"]
        (scheduled,) = [one for one in waiting["status"]["conditions"] if one["type"] == "PodScheduled"]
        assert "Insufficient nvidia.com/gpu" in scheduled["message"]
    finally:
        stack.kubectl("scale", "-n", NAMESPACE, "deployment/vllm-engine", "--replicas=1")
        stack.kubectl.wait_until("one engine again", lambda: len(stack.names(ENGINES)) == 1)


def test_new_gateways_take_over_without_the_loss_of_a_stream(stack: Stack) -> None:
    old = set(stack.names(GATEWAYS))
    users = Users(stack)
    with users.asking():
        stack.kubectl("rollout", "restart", "-n", NAMESPACE, "deployment/vllm-gateway")
        stack.rolled_out("vllm-gateway")
        stack.kubectl.wait_until("the old gateways are gone", lambda: not old & set(every_name(stack)))
    assert len(users.answers) > 2 * USERS
    assert users.lost() == []
    assert len(stack.names(GATEWAYS)) == 2


def every_name(stack: Stack) -> list[str]:
    """Names of all gateways' Pods, going ones too."""
    pods = stack.kubectl.read("pods", "-n", NAMESPACE, "-l", GATEWAYS)["items"]
    return [pod["metadata"]["name"] for pod in pods]


def test_a_gateway_that_goes_finishes_what_it_began(stack: Stack) -> None:
    name = stack.names(GATEWAYS)[0]
    address = stack.kubectl.read("pod", "-n", NAMESPACE, name)["status"]["podIP"]
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(stack.ask, 300, f"http://{address}:8080")
        began = time.monotonic()
        time.sleep(1)  # 50 of its 300 tokens
        stack.kubectl("delete", "pod", "-n", NAMESPACE, name, "--wait=false")
        answer = asking.result(timeout=60)
    assert answer.is_whole
    assert answer.tokens == 300
    stack.kubectl.wait_until("it is gone", lambda: name not in every_name(stack))
    lasted_s = time.monotonic() - began
    assert 6 < lasted_s < 60, "it stayed for the stream of 6 s, and not until it was killed"
    stack.rolled_out("vllm-gateway")


def test_an_engine_that_is_deleted_comes_back(stack: Stack) -> None:
    (name,) = stack.names(ENGINES)
    stack.kubectl("delete", "pod", "-n", NAMESPACE, name)
    stack.kubectl.wait_until("another engine", lambda: stack.names(ENGINES) not in ([], [name]))
    stack.kubectl.wait_until("the gateway finds it", lambda: status(f"{stack.url}/ready") == 200)
    assert stack.ask(20).is_whole


def test_one_gateway_may_be_evicted_and_not_both(stack: Stack) -> None:
    first, second = stack.names(GATEWAYS)
    assert evicted(stack, first).returncode == 0
    refused = evicted(stack, second)
    assert refused.returncode != 0
    assert "disruption budget" in refused.stderr
    stack.kubectl.wait_until("two gateways again", lambda: len(stack.names(GATEWAYS)) == 2)


def evicted(stack: Stack, name: str) -> subprocess.CompletedProcess[str]:
    """Ask the server to evict a Pod, as a drain of its node does."""
    asked = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": NAMESPACE},
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
    return stack.kubectl.attempt("create", "--raw", path, "-f", "-", text=json.dumps(asked))


def test_nothing_is_left_after_a_delete(stack: Stack) -> None:
    """Last, since the others need what it takes away."""
    stack.kubectl("delete", "--wait=true", "-f", "-", text=stack.manifests, bound_s=150)
    left = stack.kubectl.attempt("get", "namespace", NAMESPACE, "-o", "name")
    assert "NotFound" in left.stderr
    volumes = stack.kubectl.read("persistentvolumes")["items"]
    assert volumes == []
