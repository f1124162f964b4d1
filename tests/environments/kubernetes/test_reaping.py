"""Whose a namespace is, and what a reaper takes: a table, and a server that says what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from environments.binaries import ROOT
from environments.kubernetes.api import Api
from environments.kubernetes.ownership import KEPT_NOTE, OWNER_NOTE, RUN_LABEL, Owner, marks, owner_in
from environments.kubernetes.reaping import left_namespaces, reap, reap_before, remove_namespace
from environments.provider import StackNotReady
from tests.environments.kubernetes.keeping_api import CONTEXT, Kept, kept_cluster

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Kept, Api]]:
    with kept_cluster(tmp_path) as found:
        yield found


def mine() -> Owner:
    return Owner.here(3600.0)


def gone() -> Owner:
    """A process of this machine that is no more: its number is ours, and its beginning is not."""
    return replace(mine(), began="another beginning")


def elsewhere(until: datetime) -> Owner:
    return replace(mine(), machine="0123456789abcdef", until=until.isoformat())


def put(kept: Kept, name: str, owner: Owner | None, *, is_kept: bool = False, note: str = "") -> None:
    labels, notes = marks(f"run-of-{name}", "stack", owner or mine(), kept=is_kept)
    if owner is None:
        notes.pop(OWNER_NOTE)
    if note:
        notes[OWNER_NOTE] = note
    kept.put(f"/api/v1/namespaces/{name}", metadata={"labels": labels, "annotations": notes})


def test_an_owner_of_this_machine_needs_its_namespace_while_its_process_lives() -> None:
    assert mine().why_gone(datetime.now(UTC)) is None
    assert gone().why_gone(datetime.now(UTC)) == f"its process {os.getpid()} is gone"


def test_an_owner_elsewhere_is_believed_until_its_time_is_over() -> None:
    assert elsewhere(NOW + HOUR).why_gone(NOW) is None
    assert elsewhere(NOW - HOUR).why_gone(NOW) == "its time was over at 2026-11-22T11:00:00+00:00"
    assert elsewhere(NOW - HOUR / 12).why_gone(NOW) is None, "clocks may be apart by 5 minutes"


def test_a_run_here_that_takes_longer_than_it_meant_to_is_not_taken_from_under_it() -> None:
    assert replace(mine(), until=(NOW - HOUR).isoformat()).why_gone(NOW) is None


def test_a_process_of_another_user_that_proc_hides_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr("environments.kubernetes.ownership.started_at", lambda pid: None)
    assert gone().why_gone(NOW) is not None, "one of ours that ended, and that nobody has asked after"
    monkeypatch.setattr("os.kill", forbidden)
    assert gone().why_gone(NOW) is None


def test_in_another_container_of_this_host_the_same_number_is_another_process() -> None:
    if (unshare := shutil.which("unshare")) is None:
        pytest.skip("no unshare(1) on this machine")
    owner = mine()
    program = (
        "import sys, datetime as d; from environments.kubernetes.ownership import owner_in;"
        "print(owner_in(sys.argv[1]).why_gone(d.datetime.now(d.UTC)))"
    )
    inside = subprocess.run(
        [unshare, "--map-root-user", "--pid", "--fork", "--mount-proc",
         sys.executable, "-c", program, owner.note()],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "unshare" in inside.stderr:
        pytest.skip(f"no namespace of process ids can be made here: {inside.stderr.strip()}")
    assert inside.stdout.strip() == "None", inside.stderr


def test_an_owner_is_read_back_as_it_was_noted_and_nothing_else_is_one() -> None:
    owner = mine()
    assert owner_in(owner.note()) == owner
    told = json.loads(owner.note())
    for wrong in ("", "null", "[]", "{}", "yes", json.dumps({**told, "more": 1})):
        assert owner_in(wrong) is None
    for field, value in {"until": "soon", "pid": "12", "machine": 3}.items():
        assert owner_in(json.dumps({**told, field: value})) is None
    assert owner_in(json.dumps({**told, "until": "2026-11-22T12:00:00"})) is None, "no zone: whose noon?"


def test_what_is_left_is_what_an_owner_needs_no_more(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    now = datetime.now(UTC)
    put(kept, "alive", mine())
    put(kept, "killed", gone())
    put(kept, "elsewhere", elsewhere(now + HOUR))
    put(kept, "elsewhere-long-ago", elsewhere(now - HOUR))
    put(kept, "kept", gone(), is_kept=True)
    put(kept, "kept-and-alive", mine(), is_kept=True)
    put(kept, "kept-and-over", mine(), is_kept=True)
    kept.objects["/api/v1/namespaces/kept-and-over"]["metadata"]["annotations"][KEPT_NOTE] = "since noon"
    put(kept, "looks-like-it", None)
    put(kept, "looks-kept", None, is_kept=True)
    put(kept, "broken-note", None, note="{")
    kept.put("/api/v1/namespaces/default")
    assert {one.name for one in left_namespaces(api)} == {"killed", "elsewhere-long-ago"}
    found = {one.name: one.why for one in left_namespaces(api, kept=True)}
    assert set(found) == {"killed", "elsewhere-long-ago", "kept", "kept-and-over"}
    assert found["kept-and-over"] == "it was kept"


def test_reaping_removes_exactly_those_and_waits(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    put(kept, "alive", mine())
    put(kept, "killed", gone())
    said: list[str] = []
    assert [one.name for one in reap(api, said.append)] == ["killed"]
    assert kept.calls("DELETE") == ["/api/v1/namespaces/killed", "/api/v1/namespaces/killed/pods"]
    assert kept.names("namespaces") == ["alive"]
    assert said == [f"removing the namespace killed of run-of-killed: its process {os.getpid()} is gone"]
    body = dict(kept.bodies)["DELETE /api/v1/namespaces/killed/pods"]
    assert body["gracePeriodSeconds"] == 1


def test_a_namespace_of_the_same_name_that_came_since_is_not_touched(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    kept.put("/api/v1/namespaces/once", metadata={"uid": "new"})
    remove_namespace(api, "once", uid="old")
    assert kept.names("namespaces") == ["once"]
    assert "deletionTimestamp" not in kept.objects["/api/v1/namespaces/once"]["metadata"]


def test_what_does_not_go_is_an_error_that_says_what_holds_it_and_keeps_no_run_from_starting(
    cluster: tuple[Kept, Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, api = cluster
    monkeypatch.setattr("environments.kubernetes.reaping.GONE_BOUND_S", 0.5)
    kept.going = None
    held = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "a finalizer: somebody/else"}
    put(kept, "stuck", gone())
    kept.objects["/api/v1/namespaces/stuck"]["status"] = {"conditions": [held]}
    with pytest.raises(StackNotReady, match="the namespace stuck does not go") as error:
        reap(api, lambda _: None)
    assert error.value.seen == "a finalizer: somebody/else"
    assert f"reap --context {CONTEXT}" in (error.value.hint or "")
    said: list[str] = []
    reap_before(api, said.append)
    assert said[-1] == "left where it is: the namespace stuck does not go: a finalizer: somebody/else"


def test_who_may_not_list_namespaces_can_start_a_run(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    kept.refused["GET /api/v1/namespaces"] = (403, "namespaces is forbidden")
    said: list[str] = []
    reap_before(api, said.append)
    assert said == ["what earlier runs left is not looked for: this context may not list namespaces"]


def command(kept: Kept, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "environments", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "KUBECONFIG": str(kept.kubeconfig)},
    )  # fmt: skip


def test_the_command_says_what_would_go_and_then_removes_it(cluster: tuple[Kept, Api]) -> None:
    kept, _ = cluster
    put(kept, "killed", gone())
    put(kept, "kept", gone(), is_kept=True)
    dry = command(kept, "reap", "--context", CONTEXT, "--dry-run")
    assert dry.returncode == 0
    assert "would remove the namespace killed (stack) of run-of-killed" in dry.stdout
    assert "1 would go" in dry.stdout
    assert kept.calls("DELETE") == []
    told = command(kept, "reap", "--context", CONTEXT, "--json", "--kept")
    assert {one["name"] for one in json.loads(told.stdout)} == {"killed", "kept"}
    assert kept.names("namespaces") == []
    assert "nothing is left" in command(kept, "reap", "--context", CONTEXT).stdout


def test_the_command_refuses_what_looks_like_production_and_what_it_does_not_know(
    cluster: tuple[Kept, Api],
) -> None:
    kept, _ = cluster
    text = kept.kubeconfig.read_text()
    kept.kubeconfig.write_text(text.replace(CONTEXT, "prod-eu"))
    put(kept, "killed", gone())
    refused = command(kept, "reap", "--context", "prod-eu")
    assert refused.returncode == 2
    assert "the context prod-eu looks like production" in refused.stderr
    unknown = command(kept, "reap", "--context", "staging")
    assert unknown.returncode == 2
    assert "one of the kubeconfig's: prod-eu" in unknown.stderr
    assert kept.asked == []
    allowed = command(kept, "reap", "--context", "prod-eu", "--allow-context", "prod-eu", "--dry-run")
    assert allowed.returncode == 0, allowed.stderr
    assert RUN_LABEL not in allowed.stderr
    assert KEPT_NOTE not in allowed.stdout
