"""Load from Pods of a real cluster: the verdict of one engine, from four; and a Pod that is lost voids it.

The simulator draws its lateness from the seed and each request's id, so both ways of sending meet a server of
the same law, request by request.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from environments.kubernetes.api import Api
from environments.kubernetes.context import connected
from environments.kubernetes.images import local_images
from environments.kubernetes.load_objects import LoadPlan, cpu_request_m
from environments.kubernetes.load_pods import Crew, load_image, load_pods
from environments.kubernetes.ownership import Owner, marks
from environments.kubernetes.reaping import remove_namespace
from environments.kubernetes.rollout import Rollout, wait_rolled_out
from instruments.errors import WorkerDied
from instruments.fleet import LoadSpec, run_load
from instruments.journal import load_run
from instruments.records import LoadRun, Outcome
from instruments.remote import Post
from instruments.slo import ServiceLevelObjective, State, evaluate
from instruments.statistics import summarize
from instruments.statistics.difference import Estimate, difference
from instruments.statistics.quantiles import quantile, quantile_interval
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload
from tests.cluster.sessions import Context, Sessions

pytestmark = pytest.mark.kubernetes

KEY = "sk-load-pods-secret"
PODS, USERS, REQUESTS = 4, 64, 448
BOUND_S = 600.0
# A first token after 300 to 700 ms, evenly. The limits are far from that: a client on a busy machine is late.
MET_S, VIOLATED_S = 1.5, 0.1
SIMULATORS = {
    "chancy": ("--ttft-ms", "300", "--itl-ms", "20", "--jitter-ms", "400"),
    "quick": ("--ttft-ms", "5", "--itl-ms", "1"),
}


def say(_line: str) -> None:
    """Nobody reads along."""


@pytest.fixture(scope="module")
def run_id() -> str:
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def api(context: Context) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in context.environment.items():
            patched.setenv(name, value)
        with connected(context.name) as found:
            yield found


@pytest.fixture(scope="module")
def servers(api: Api, run_id: str) -> Iterator[dict[str, str]]:
    """Simulators in a namespace of their own; their URLs, which lead there from Pods and from the node."""
    namespace = f"vllm-slo-target-{run_id}"
    labels, notes = marks(run_id, "stack", Owner.here(BOUND_S), kept=False)
    metadata = {"name": namespace, "labels": labels, "annotations": notes}
    image = local_images(["vllm-slo/simulator"], say)["vllm-slo/simulator"]
    try:
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        for name, times in SIMULATORS.items():
            for document in simulator(namespace, name, image, times):
                api.apply(document)
        wait_rolled_out(api, namespace, [Rollout("Deployment", name) for name in SIMULATORS], say, 120)
        found = {one["metadata"]["name"]: one["spec"] for one in api.all("v1", "Service", namespace)}
        yield {name: f"http://{found[name]['clusterIP']}:8000" for name in SIMULATORS}
    finally:
        remove_namespace(api, namespace)


@pytest.fixture(scope="module")
def server(servers: dict[str, str]) -> str:
    return servers["chancy"]


def simulator(namespace: str, name: str, image: str, times: tuple[str, ...]) -> list[dict[str, Any]]:
    labels = {"app.kubernetes.io/name": name}
    metadata = {"name": name, "namespace": namespace}
    container = {
        "name": "simulator",
        "image": image,
        "args": ["--host", "0.0.0.0", "--port", "8000", "--model", "tiny", *times],  # noqa: S104 - a Pod's own
        "env": [{"name": "VLLM_API_KEY", "value": KEY}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m"}},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return [
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 8000, "targetPort": 8000, "protocol": "TCP"}]},
        },
    ]  # fmt: skip


@contextmanager
def crew_of(api: Api, run_id: str, count: int) -> Iterator[Crew]:
    plan = LoadPlan(run_id, count, load_image(None, say), cpu_request_m(api, count), BOUND_S)
    with load_pods(api, plan, say) as crew:
        yield crew
    assert api.get("v1", "Namespace", plan.namespace) is None


@pytest.fixture(scope="module")
def crew(api: Api, run_id: str) -> Iterator[Crew]:
    with crew_of(api, run_id, PODS) as found:
        yield found


def spec(url: str, folder: Path, crew: Crew | None, requests: int = REQUESTS) -> LoadSpec:
    workload = SyntheticWorkload(
        "chat", "", requests_measured=requests, requests_warmup=USERS, users=USERS,
        prompt_tokens=32, output_tokens=16,
    )  # fmt: skip
    posts = tuple(Post(pod, crew.command(pod)) for pod in crew.pods) if crew else ()
    target = Target(url, {"Authorization": f"Bearer {KEY}"})
    return LoadSpec("chat", workload, target, "tiny", 5, folder / "chat.jsonl", crew=posts)


def objective(limit_s: float) -> ServiceLevelObjective:
    return ServiceLevelObjective("ttft", "d", "chat", "ttft_s", "p95", at_most=limit_s)


def estimate(run: LoadRun, p: float) -> Estimate:
    values = summarize(run).distributions["ttft_s"]
    value, ends = quantile(values, p), quantile_interval(values, p, 0.99)
    assert value is not None
    assert ends is not None
    return Estimate(value, *ends)


def test_four_pods_give_the_verdict_of_a_single_engine(server: str, crew: Crew, tmp_path: Path) -> None:
    """64 users either way: the same requests, quantiles apart by no more than chance, equal verdicts.

    One engine alone before and after: what the machine does meanwhile for others does not fall on the Pods.
    """
    alone = run_load(spec(server, tmp_path / "alone", None))
    merged = run_load(spec(server, tmp_path / "pods", crew))
    again = run_load(spec(server, tmp_path / "again", None))
    assert [one.index for one in merged.records] == list(range(REQUESTS + USERS))
    assert {one.request_id for one in merged.records} == {one.request_id for one in alone.records}
    assert {one.outcome for one in merged.records} == {Outcome.COMPLETED}
    assert (merged.complete, merged.problems, len(merged.description["posts"])) == (True, (), PODS)
    for p in (0.5, 0.95):
        known = [estimate(run, p) for run in (alone, again)]
        sides = {difference(one, estimate(merged, p)).side for one in known}
        assert sides not in ({1}, {-1}), (
            f"p{100 * p:g} of TTFT: {known} alone, {estimate(merged, p)} from Pods"
        )
    for limit_s, state in ((MET_S, State.MET), (VIOLATED_S, State.VIOLATED)):
        verdicts = [evaluate(summarize(run), objective(limit_s)) for run in (alone, merged, again)]
        assert [one.state for one in verdicts] == [state] * 3, [one.reason for one in verdicts]
    check, summary = merged.client, summarize(merged)
    assert check is not None
    assert check.processes == PODS
    assert check.start_spread_s is not None
    assert check.clock_error_s is not None
    assert summary.apart == ()
    assert check.clock_error_s < 0.05


def test_the_pods_have_no_rights_no_token_and_no_key(api: Api, crew: Crew) -> None:
    (first, *_) = api.all("v1", "Pod", crew.plan.namespace)
    assert first["spec"]["automountServiceAccountToken"] is False
    (container,) = first["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert first["spec"]["securityContext"]["runAsNonRoot"]
    assert not [one for one in first["spec"]["volumes"] if "secret" in one or "projected" in one]
    everything = [
        api.all(version, kind, crew.plan.namespace)
        for version, kind in (("v1", "Pod"), ("batch/v1", "Job"), ("v1", "Event"), ("v1", "ConfigMap"))
    ]
    assert KEY not in json.dumps(everything)
    assert (
        api.all("v1", "Secret", crew.plan.namespace, fields="type!=kubernetes.io/service-account-token") == []
    )


def test_a_pod_that_is_deleted_voids_the_run_and_is_named(
    api: Api, server: str, run_id: str, tmp_path: Path
) -> None:
    with crew_of(api, f"{run_id}-lost", 2) as two:
        load = spec(server, tmp_path, two, requests=20_000)
        lost = two.pods[1]
        deleter = when_it_has_records(
            tmp_path / "chat.2of2.jsonl",
            lambda: api.delete("v1", "Pod", lost, two.plan.namespace, grace_s=0),
        )
        began_s = time.monotonic()
        with pytest.raises(WorkerDied) as caught:
            run_load(load)
        deleter.join()
        assert f"the load engine at {lost} is lost" in caught.value.message
        assert time.monotonic() - began_s < 60
        assert f"Pod {lost}: it is not there any more" in two.evidence()
    run = load_run(load.journal)
    assert not run.complete
    assert f"the part from {lost} did not arrive whole" in run.problems
    whole = (tmp_path / "chat.1of2.jsonl").read_bytes().splitlines()
    assert json.loads(whole[-1])["kind"] == "arrived"
    verdict = evaluate(summarize(run), objective(MET_S))
    assert verdict.state is not State.MET


def when_it_has_records(journal: Path, act: Callable[[], object]) -> threading.Thread:
    def wait() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if journal.exists() and journal.read_bytes().count(b'"kind":"request"') > 20:
                act()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_session_attached_to_an_outside_url_sends_from_pods(
    servers: dict[str, str], sessions: Sessions, left: Callable[..., list[str]]
) -> None:
    way = ("--env", "attach", "--base-url", servers["quick"], "--api-key-env", "SERVER_KEY")
    words = ("suites/smoke/test_latency.py", "-k", "no-errors-four-users", *way)
    ended = sessions(*words, "--load-pods", "2", "--seed", "3", bound_s=150, environment={"SERVER_KEY": KEY})
    assert ended.code == 0, ended.output
    facts = json.loads((ended.folder / "fingerprint.json").read_text())
    assert (facts["load.pods"], facts["load.nodes"]) == ("2", "1"), ended.output
    loads = sorted((ended.folder / "loads").glob("*.jsonl"))
    assert loads, ended.output
    for path in loads:
        assert json.loads(path.read_bytes().splitlines()[-1])["kind"] == "arrived"
    assert "load is sent from 2 Pods on 1 node" in ended.output
    assert not any(
        KEY in path.read_text(errors="replace") for path in ended.folder.rglob("*") if path.is_file()
    )
    assert left(ended.run_id) == []
