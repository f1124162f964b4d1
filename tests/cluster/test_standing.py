"""A run leaves nothing: at its end, interrupted, killed and reaped, out of time, or never having stood."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.sessions import Context, Sessions
from tests.cluster.tiny import tiny_place
from tests.fixtures.session_run import SessionRun
from tests.kubernetes.cluster import ROOT, Kubectl

pytestmark = pytest.mark.kubernetes
CLAIMS = "suites/smoke/test_bad_requests.py"
LOAD = "suites/smoke/test_latency.py"
BOUND_S = 120.0
NO_IMAGE = "127.0.0.1:1/vllm-slo/no-such-image:1"  # a registry that refuses every connection


def namespaces_of(kubectl: Kubectl, run_id: str) -> list[str]:
    """Namespaces of a run that are there, going ones too."""
    found = kubectl.read("namespaces", "-l", f"vllm-slo.io/run={run_id}")
    return [one["metadata"]["name"] for one in found["items"]]


def until_pods(kubectl: Kubectl, run: SessionRun) -> str:
    """Wait until a run has a Pod: it is in the middle of standing up. The run's id."""

    def there() -> bool:
        assert run.process.poll() is None, run.output
        spaces = [space for folder in run.folders() for space in namespaces_of(kubectl, folder.name)]
        return any(kubectl.read("pods", "-n", space)["items"] for space in spaces)

    kubectl.wait_until("a Pod of the run", there, BOUND_S)
    return run.folder.name


def reap(context: Context, *words: str) -> str:
    """What the reaper says; AssertionError where it does not end in success."""
    done = subprocess.run(
        [sys.executable, "-m", "environments", "reap", *context.words, *words],
        cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False,
        env={**os.environ, **context.environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_to_its_end_leaves_the_api_server_as_it_was(
    sessions: Sessions, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    """Its volume, which is the whole cluster's, included; and its fingerprint says what ran."""
    ended = sessions(CLAIMS, "--env", tiny_place(tmp_path / "place"), bound_s=BOUND_S)
    assert ended.code in (0, 1), ended.output  # claims about a gateway may fail where there is none
    assert ended.run.lines("claims.jsonl"), ended.output
    assert left(ended.run_id) == []
    facts = ended.run.document("fingerprint.json")
    assert facts["engine.version"] == "simulator"
    assert facts["cluster.components"] == "engine 1"
    assert "sha256" in facts["cluster.image.engine"]
    assert facts["cluster.version"].startswith("v1.")


def test_a_run_that_is_killed_while_it_stands_up_is_reaped_and_not_before(
    sessions: Sessions, context: Context, kubectl: Kubectl, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    place = tiny_place(tmp_path / "place", image=NO_IMAGE)
    with sessions.started(CLAIMS, "--env", place) as run:
        run_id = until_pods(kubectl, run)
        living = [
            one for one in json.loads(reap(context, "--dry-run", "--json")) if one.get("run_id") == run_id
        ]
        assert living == [], "a run that goes on is nobody's to reap"
        run.process.kill()
        run.wait()
    assert namespaces_of(kubectl, run_id), "nobody was there to take it down"
    assert f"of {run_id}: its process {run.process.pid} is gone" in reap(context, "--dry-run")
    assert f"of {run_id}: its process {run.process.pid} is gone" in reap(context)
    assert left(run_id) == []


def test_a_run_that_is_killed_under_load_is_reaped_by_the_next_one(
    sessions: Sessions, kubectl: Kubectl, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    place = tiny_place(tmp_path / "place")
    with sessions.started(LOAD, "--env", place) as run:
        kubectl.wait_until("requests answered", lambda: is_under_load(run), BOUND_S)
        run_id = run.folder.name
        run.process.kill()
        run.wait()
        eventually_alone(run)
    assert namespaces_of(kubectl, run_id)
    ended = sessions(CLAIMS, "--env", place, bound_s=BOUND_S)
    assert ended.run.lines("claims.jsonl"), ended.output
    assert left(run_id, ended.run_id) == []


def is_under_load(run: SessionRun) -> bool:
    assert run.process.poll() is None, run.output
    return any('"index":5,' in path.read_text() for path in run.results.glob("*/loads/lone-user.jsonl"))


def eventually_alone(run: SessionRun) -> None:
    """What a killed session started on this machine ends by itself: workers of a load, forwards."""
    until = time.monotonic() + 20.0
    while others := run.others():
        assert time.monotonic() < until, others
        time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_in_the_middle_of_the_wait_takes_it_down(
    number: signal.Signals,
    sessions: Sessions,
    kubectl: Kubectl,
    tmp_path: Path,
    left: Callable[..., list[str]],
) -> None:
    place = tiny_place(tmp_path / "place", image=NO_IMAGE)
    with sessions.started(CLAIMS, "--env", place) as run:
        run_id = until_pods(kubectl, run)
        run.process.send_signal(number)
        assert run.wait() == 2
        assert run.others() == {}
    assert namespaces_of(kubectl, run_id) == []
    assert left(run_id) == []


def test_an_image_that_is_nowhere_is_said_with_its_evidence_and_leaves_nothing(
    sessions: Sessions, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    place = tiny_place(tmp_path / "place", image=NO_IMAGE)
    ended = sessions(CLAIMS, "--env", place, bound_s=BOUND_S)
    assert ended.code == 1
    said = ended.output
    assert "tiny-engine did not roll out: container engine of tiny-engine-" in said
    assert "ErrImagePull" in said or "ImagePullBackOff" in said
    assert NO_IMAGE in said
    assert "1 error" in said, "one error, and not one for each claim"
    assert left(ended.run_id) == []


def test_the_time_budget_ends_a_run_that_stands_up(
    sessions: Sessions, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    place = tiny_place(tmp_path / "up", image=NO_IMAGE)
    ended = sessions(CLAIMS, "--env", place, "--time-budget", "15s", bound_s=BOUND_S)
    assert ended.code == 2
    assert "the time budget of 15s is over" in ended.run.document("verdict.json")["reason"]
    assert left(ended.run_id) == []


def test_what_is_kept_stays_until_it_is_reaped_by_name(
    sessions: Sessions, context: Context, kubectl: Kubectl, tmp_path: Path, left: Callable[..., list[str]]
) -> None:
    place = tiny_place(tmp_path / "place")
    ended = sessions(CLAIMS, "--env", place, "--keep-environment", bound_s=BOUND_S)
    [space] = namespaces_of(kubectl, ended.run_id)
    try:
        assert f"-n {space} get all" in ended.output
        reap(context)
        assert namespaces_of(kubectl, ended.run_id) == [space]
        attached = sessions(CLAIMS, "--env", place, "--namespace", space, bound_s=BOUND_S)
        assert attached.run.lines("claims.jsonl"), attached.output
        assert namespaces_of(kubectl, ended.run_id) == [space], "somebody else's is left there"
    finally:
        kubectl("delete", "namespace", space, "--wait=true")  # others' kept ones are not ours to reap
    assert left(ended.run_id) == []
