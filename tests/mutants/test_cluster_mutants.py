"""Mutants in a cluster: each overlay is one that kustomize takes, and differs where it should alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from environments.binaries import ROOT
from environments.kubernetes.rendering import render
from environments.profile import ClusterProfile
from environments.provider import MissingBinary

from .cluster import MUTANTS, SOON
from .mutant import Mutant
from .overlay import LOCAL, Planted, added, deployment
from .proofs import keep, kept
from .run import Proof, Runner, away
from .session import CONTEXT, Claim, Ran, Sessions, profile_of
from .table import lines_of, uncaught
from .test_mutants import CLAIMS, claim, proved

SPACE = "somewhere"
Object = dict[str, Any]


def objects_of(overlay: Path, folder: Path) -> dict[tuple[str, str], Object]:
    """By kind and name; the hash at the end of a generated name is left off. A skip without kustomize."""
    try:
        found = render(overlay, folder, SPACE, {})
    except MissingBinary as error:
        pytest.skip(str(error))
    names = [str(one["metadata"]["name"]) for one in found]
    return {(one["kind"], name): one for name, one in zip(names, found, strict=True)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Object]:
    return objects_of(LOCAL, tmp_path_factory.mktemp("sound"))


def changed(mutant: Mutant, sound: dict[tuple[str, str], Object], folder: Path) -> set[str]:
    """Kind and name of what a mutant makes otherwise."""
    assert mutant.prepare is not None
    overlay = Path(mutant.prepare(folder)["cluster"]["overlay"])
    broken = objects_of(overlay, folder / "rendered")
    return {" ".join(one) for one in broken if broken[one] != sound.get(one)}


PLANTED = {
    "hasty-gateways": {"Deployment vllm-gateway"},
    "late-pods": {"Deployment vllm-gateway", "Deployment vllm-engine"},
    "late-pods-by-probe": {"Deployment vllm-gateway", "Deployment vllm-engine"},
    "no-budget": {"PodDisruptionBudget vllm-gateway"},
    "service-of-the-unready": {"Service vllm-gateway"},
    "unready-is-ended": {"Deployment vllm-gateway"},
    "gateways-before-their-like": {"Deployment vllm-gateway"},
    "uneasy": {
        "Deployment vllm-gateway",
        "Deployment vllm-redis",
        "ConfigMap vllm-slo-dashboard-engine",
    },
    "monitor-finds-nobody": {"ServiceMonitor vllm-gateway"},
    "rule-object-refused": {"PrometheusRule vllm-slo-targets"},
    "board-withheld": {"ConfigMap vllm-slo-dashboard-engine"},
}
# What is generated has a hash of its content in its name, and who mounts it the name.
GENERATED = {
    "gateways-hang": ("ConfigMap mutants-", "Deployment vllm-gateway"),
    "no-EngineDown-in-a-cluster": ("ConfigMap vllm-prometheus-rules-", "Deployment vllm-prometheus"),
    "no-NoReplica-in-a-cluster": ("ConfigMap vllm-prometheus-rules-", "Deployment vllm-prometheus"),
    "scraped-badly": ("ConfigMap vllm-prometheus-settings-", "Deployment vllm-prometheus"),
}
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_changes_what_it_names_and_nothing_else(
    name: str, sound: dict[tuple[str, str], Object], tmp_path: Path
) -> None:
    assert changed(BY_NAME[name], sound, tmp_path) == PLANTED[name]


@pytest.mark.parametrize("name", GENERATED)
def test_a_file_that_is_changed_is_a_map_of_another_name(
    name: str, sound: dict[tuple[str, str], Object], tmp_path: Path
) -> None:
    made, user = GENERATED[name]
    found = sorted(changed(BY_NAME[name], sound, tmp_path))
    assert [one.startswith(made) for one in found] == [True, False]
    assert found[1] == user


def test_every_overlay_is_looked_at() -> None:
    looked_at = [BY_NAME[name].prepare for name in (*PLANTED, *GENERATED)]
    assert [one.name for one in MUTANTS if one.prepare and one.prepare not in looked_at] == []


def test_a_patch_of_what_is_not_there_is_no_overlay(tmp_path: Path) -> None:
    """Else a fault would be planted nowhere, and a claim that finds nothing would seem to be blind."""
    nowhere = Planted([deployment("vllm-gateway", added("/spec/nowhere/deeper", 1))])
    overlay = Path(nowhere(tmp_path)["cluster"]["overlay"])
    with pytest.raises(Exception, match="cannot be rendered"):
        objects_of(overlay, tmp_path / "rendered")


def test_the_profile_is_that_of_a_cluster(tmp_path: Path) -> None:
    mutant = BY_NAME["hasty-gateways"]
    assert mutant.prepare is not None
    found = profile_of("m", mutant.kind, mutant.ground, mutant.prepare(tmp_path))
    assert (found["provider"], "engine" in found) == ("kubernetes", False)
    assert Path(found["cluster"]["overlay"]) == tmp_path / "overlay"
    assert found["cluster"].keys() <= ClusterProfile.__dataclass_fields__.keys()
    assert {one["id"] for one in bounds()} >= found["bounds"].keys()


def bounds() -> list[dict[str, Any]]:
    import yaml

    text = (ROOT / "suites" / "catalog" / "bounds.yaml").read_text("utf-8")
    return list(yaml.safe_load(text)["bounds"])


def test_without_a_cluster_it_is_skipped_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(CONTEXT, raising=False)
    mutant = BY_NAME["hasty-gateways"]
    proof = Runner(Sessions()).prove(mutant)
    assert (proof.holds, proof.fault) == (False, None)
    assert (
        list(lines_of(proof))[1]
        == "    not asked here: it needs a cluster: KUBE_TEST_CONTEXT names no context"
    )
    asked = [one for one in CLAIMS if one.nodeid in mutant.scope]
    assert len(asked) == 1
    assert uncaught(asked, [proof]) == []
    before = proved([claim("test_a")], [claim("test_a", "failed", "x")], "test_a")
    file = tmp_path / "proofs.json"
    keep(before, file)
    assert keep(Proof(before.mutant, 0.0, skipped="no cluster"), file) == kept(file) != {}


class Asked:
    """Sessions that keep what they are asked: the first one passes, any other fails."""

    def __init__(self) -> None:
        self.profiles: list[dict[str, Any]] = []
        self.options: list[tuple[str, ...]] = []

    def run(self, folder: Path, profile: Any, scope: Any, options: Any = ()) -> Ran:
        self.profiles.append(dict(profile))
        self.options.append(tuple(options))
        found = "passed" if len(self.profiles) == 1 else "failed"
        return Ran((Claim(scope[0], found, "", undecided=False),), 1.0, None, folder)


def test_a_cluster_is_named_to_the_sound_stack_and_to_the_broken_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTEXT, "there")
    asked = Asked()
    assert Runner(cast(Sessions, asked)).prove(BY_NAME["no-budget"]).holds
    assert asked.options == [("--context", "there")] * 2
    overlays = [one["cluster"]["overlay"] for one in asked.profiles]
    assert overlays[0] == "deploy/kubernetes/overlays/local" != overlays[1]
    assert [one["bounds"] for one in asked.profiles] == [SOON["bounds"]] * 2
    assert ["engine" in one for one in asked.profiles] == [False, False]


def test_what_the_unbroken_stack_skips_can_turn_nowhere_red() -> None:
    mutant = Mutant("m", ("suites/a.py",), ("test_a", "test_b"), "w")

    def ran(*claims: Claim) -> Ran:
        return Ran(claims, 1.0, None, Path())

    lacking = claim("test_a", "skipped", "missing capability: operator")
    assert away(mutant, ran(lacking, claim("test_c"))) == "missing capability: operator"
    assert away(mutant, ran(lacking, claim("test_b"))) is None
    assert away(mutant, ran(claim("test_c"))) is None
