"""What this machine is asked before a cluster is: its GPU and driver, the manifests, the host's name."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from environments.kubernetes import machine_checks
from environments.kubernetes.check import Check, table
from environments.profile import ClusterProfile, Profile, profile_path, read_profile
from tests.kubernetes.rendering import command


def minikube() -> tuple[Profile, ClusterProfile]:
    """The place that is this machine itself."""
    found = read_profile(profile_path("minikube"))
    assert found.cluster is not None
    return found, found.cluster


def test_a_host_that_leads_nowhere() -> None:
    _, cluster = minikube()
    (row,) = machine_checks.host(replace(cluster, host="nowhere.invalid"), ["192.168.49.2"])
    assert row.ok is False
    assert row.hint == 'echo "192.168.49.2 nowhere.invalid" | sudo tee -a /etc/hosts'
    (row,) = machine_checks.host(replace(cluster, host="localhost"), ["192.168.49.2"])
    assert row.ok is None  # it leads somewhere else than to a node


@pytest.mark.parametrize(
    ("version", "fits"), [("580.65.06", True), ("535.183", False), (None, None), ("?", None)]
)
def test_drivers(version: str | None, fits: bool | None) -> None:
    assert machine_checks.driver_fits(version) is fits


def test_the_gpu_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    smi.write_text(
        '#!/bin/sh\ncase "$*" in *driver*) echo 535.1;; *) echo "NVIDIA GeForce RTX 3060";; esac\n'
    )
    smi.chmod(0o755)
    profile, cluster = minikube()
    rows = {one.what: one for one in machine_checks.gpu_here(profile, cluster)}
    assert rows["GPU NVIDIA GeForce RTX 3060 here"].ok is True
    assert (rows["NVIDIA driver"].ok, rows["NVIDIA driver"].seen) == (False, "535.1")


def test_a_table_has_what_to_do_under_what_is_missing() -> None:
    rows = [
        Check("a", True, "here", "not shown"),
        Check("long", False, "one\ntwo", "do\nthis"),
        Check("b", None, "?"),
    ]
    assert table(rows).splitlines() == [
        "ok      a     here",
        "MISSING long  one",
        "              two",
        "              try: do",
        "                   this",
        "–       b     ?",
    ]


@pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")
def test_manifests_that_cannot_be_made_are_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cluster = minikube()
    documents, row = machine_checks.manifests(replace(cluster, overlay=Path("deploy/kubernetes")))
    assert (documents, row.ok) == ([], False)

    def slow(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("kustomize", 60)

    monkeypatch.setattr(machine_checks, "render", slow)
    assert "60 seconds" in machine_checks.manifests(cluster)[1].seen
