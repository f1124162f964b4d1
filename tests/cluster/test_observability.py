"""A real node's logs and events, captured whole; the suite's claims of observability in a cluster."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.kubernetes.api import Api
from environments.kubernetes.captured import logs_of, written
from environments.kubernetes.capturing import capturing
from environments.kubernetes.context import connected
from tests.cluster.sessions import Context, Sessions
from tests.kubernetes.cluster import ROOT, Kubectl

pytestmark = pytest.mark.kubernetes

NAMESPACE = f"vllm-slo-test-capture-{secrets.token_hex(3)}"  # several sessions may share a cluster
LINES = 3000
NODE_BOUND_S = 240.0  # of a node whose two cores others use too
KEY = "sk-not-for-any-file"
# A key of a run, and a certificate's.
SECRET = re.compile(rb"sk-(suite|second|limited|engine)-[A-Za-z0-9_-]{20,}|PRIVATE KEY")
SERVING = ("engine", "gateway", "ingress")
CLAIMED = ("suites/observability/test_cluster.py", "suites/observability/test_logs.py")
# A first container that says one thing, then one that counts, fails, and counts again after its restart.
COUNTING = f"""
import sys, time
for number in range({LINES}):
    print("out", number)
    if number % 50 == 0:
        sys.stdout.flush()
        time.sleep(0.01)
sys.stdout.flush()
time.sleep(4)
sys.exit(3)
"""


KILLED = """
import sys, time
from pathlib import Path
from environments.kubernetes.capturing import capturing
from environments.kubernetes.context import connected
with connected(sys.argv[1]) as api, capturing(api, sys.argv[2], Path(sys.argv[3])):
    print("going", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def api(context: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The API of the tests' cluster."""
    for name, value in context.environment.items():
        monkeypatch.setenv(name, value)
    with connected(context.name) as found:
        yield found


@pytest.fixture(scope="module")
def image() -> str:
    """An image with Python in it, made here."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.images.local", "simulator"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        pytest.skip(f"does not fit: no image can be made here: {done.stderr.strip()[-300:]}")
    return str(json.loads(done.stdout.splitlines()[-1])["simulator"])


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    kubectl("create", "namespace", NAMESPACE)
    try:
        yield NAMESPACE
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=true")


@pytest.fixture
def started(context: Context) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Processes that end with the test."""
    going: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **context.environment}
        going.append(subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL))
        return going[-1]

    yield start
    for one in going:
        one.kill()
        one.wait(10)


def pod(image: str, name: str) -> str:
    def container(name: str, script: str) -> dict[str, Any]:
        command = ["/usr/local/bin/python", "-c", script]
        secret = [{"name": "API_KEY", "value": KEY}]
        return {"name": name, "image": image, "command": command, "env": secret}

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "counter"}},
            "spec": {
                "restartPolicy": "OnFailure",
                "terminationGracePeriodSeconds": 1,
                "initContainers": [container("first", "print('made ready')")],
                "containers": [container("main", COUNTING)],
            },
        }
    )


def is_whole(path: Path) -> bool:
    return path.exists() and sum(1 for _ in written(path)) >= LINES


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_real_nodes_logs_events_and_objects_are_captured(
    api: Api, kubectl: Kubectl, namespace: str, image: str, tmp_path: Path
) -> None:
    """Every line once and in its order: of an init container, of a life that ended, of a Pod that is gone."""
    began = kubectl.read("namespace", namespace)["metadata"]["creationTimestamp"]
    with capturing(api, namespace, tmp_path):
        for name in ("leaving", "staying"):
            kubectl("-n", namespace, "apply", "-f", "-", text=pod(image, name))
        gone, second = tmp_path / "leaving.main.log", tmp_path / "staying.main.restart-1.log"
        kubectl.wait_until("the first life was captured", lambda: is_whole(gone), NODE_BOUND_S)
        kubectl("-n", namespace, "delete", "pod", "leaving", "--wait=true")
        kubectl.wait_until("a second life was captured", lambda: is_whole(second), NODE_BOUND_S)
        ending_s = time.monotonic()
    assert time.monotonic() - ending_s < 5.0
    wanted = [f"out {number}" for number in range(LINES)]
    for path in (gone, tmp_path / "staying.main.log", second):
        assert list(written(path))[:LINES] == wanted, path.name
    assert list(written(tmp_path / "staying.first.log")) == ["made ready"]
    told = {
        one["file"]: one["captured"] for one in json.loads((tmp_path / "capture.json").read_text())["logs"]
    }
    assert told["staying.first.log"] == "to its end"
    events = [one for one in records(tmp_path / "events.jsonl") if one["name"] == "staying"]
    assert {"Scheduled", "Created", "Started"} <= {one["reason"] for one in events}
    assert all(began[:19] <= one["first"][:19] <= one["last"][:19] for one in events)
    objects = (tmp_path / "objects-at-end.yaml").read_text()
    assert "exitCode: 3" in objects
    assert "value: (hidden)" in objects
    assert not [path.name for path in tmp_path.iterdir() if KEY in path.read_text()]


def test_whoever_is_killed_leaves_what_he_had_read(
    context: Context,
    kubectl: Kubectl,
    namespace: str,
    image: str,
    tmp_path: Path,
    started: Callable[..., Any],
) -> None:
    child = started(sys.executable, "-c", KILLED, context.name, namespace, str(tmp_path))
    kubectl.wait_until("a capture is going", (tmp_path / "capture.json").exists)
    kubectl("-n", namespace, "apply", "-f", "-", text=pod(image, "killed"))
    log = tmp_path / "killed.main.log"
    kubectl.wait_until("the first life was captured", lambda: is_whole(log), NODE_BOUND_S)
    child.kill()
    child.wait(10)
    assert list(written(log)) == [f"out {number}" for number in range(LINES)]
    assert log.name in [one["file"] for one in records(tmp_path / "containers.jsonl")]
    json.loads((tmp_path / "capture.json").read_text())


def test_the_claims_hold_in_a_cluster_and_what_was_captured_is_with_the_run(sessions: Sessions) -> None:
    """All but those of an operator, of Grafana and of a second stack. No key is in any file of the run."""
    ended = sessions(*CLAIMED, "--env", "cluster", bound_s=300)
    assert ended.code == 0, ended.output
    claims = ended.run.lines("claims.jsonl")
    skipped = {
        one["nodeid"].partition("::")[2]: one["reason"] for one in claims if one["outcome"] == "skipped"
    }
    lacking = {re.sub(r"missing capability: (\w+): .*", r"\1", why) for why in skipped.values()}
    assert lacking == {"operator", "grafana", "stage"}, skipped
    assert {one["outcome"] for one in claims} == {"passed", "skipped"}
    captured = ended.folder / "logs" / "cluster"
    logs = {name: logs_of(captured, name) for name in (*SERVING, "prometheus", "alertmanager")}
    assert {name for name, paths in logs.items() if not paths} == set()
    assert len(logs["gateway"]) == 2
    asked = [line for path in logs["gateway"] for line in written(path) if "/v1/chat/completions" in line]
    assert len(asked) > 80, "the requests of a load, a line each"
    there = {one.name for one in captured.iterdir()}
    assert {"objects-applied.yaml", "objects-at-end.yaml", "events.jsonl"} <= there
    files = [path for path in ended.folder.rglob("*") if path.is_file()]
    assert [str(path) for path in files if SECRET.search(path.read_bytes())] == []
