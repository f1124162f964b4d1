"""One stack in a cluster, from the preflight to its end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from environments.binaries import ROOT
from environments.fingerprint import machine_fingerprint
from environments.kubernetes.api import Api
from environments.kubernetes.context import ClusterOptions, chosen_context, connected
from environments.kubernetes.images import images_of
from environments.kubernetes.ownership import Owner, marks
from environments.kubernetes.parts import ClusterPart
from environments.kubernetes.reaching import WayIn, node_address, way_in
from environments.kubernetes.reaping import reap, remove_namespace
from environments.kubernetes.rendering import Rendered, fitting, render
from environments.kubernetes.rollout import Rollout, wait_rolled_out
from environments.kubernetes.secrets import certificate_secret, key_secrets, make_keys
from environments.profile import ClusterProfile, Profile
from environments.provider import SIMULATED_NOTE, Say, Secret, Stack

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
COMPONENT = "app.kubernetes.io/component"
SERVING = ("engine", "gateway", "ingress")  # components without which nothing can be claimed


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run has put into its namespace."""

    api: Api
    namespace: str
    rendered: Rendered
    keys: Mapping[str, Secret]
    authority: Path
    ready_s: Mapping[str, float]
    way_in: WayIn


@contextmanager
def kubernetes_stack(profile: Profile, options: ClusterOptions, folder: Path, say: Say) -> Iterator[Stack]:
    """Apply the profile's overlay in a namespace of this run, wait for it, and remove it whatever happens."""
    assert profile.cluster is not None  # noqa: S101 - the profile was checked
    context = chosen_context(profile, options)
    private = folder / "stack"
    with ExitStack() as cleanup:
        api = cleanup.enter_context(connected(context))
        say(f"cluster {context}: Kubernetes {api.version()}")
        reap(api, say)
        namespace = namespace_of(folder.name)
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
        cleanup.callback(shutil.rmtree, private, ignore_errors=True)
        images = images_of(profile.cluster.images, say)
        if not options.keep:
            cleanup.callback(remove_namespace, api, namespace)
        _make_namespace(api, namespace, folder.name, profile, options)
        applied = _apply(api, namespace, profile, images, private, say)
        yield _stack(profile, applied)


def namespace_of(run_id: str) -> str:
    """The namespace of a run: its id in the letters that a name in DNS may have."""
    return f"vllm-slo-{run_id}".lower().replace("_", "-")[:63].rstrip("-")


def _make_namespace(api: Api, namespace: str, run_id: str, profile: Profile, options: ClusterOptions) -> None:
    assert profile.cluster is not None  # noqa: S101 - the profile was checked
    bound_s = options.time_budget_s or profile.cluster.time_budget_s
    labels, notes = marks(run_id, "stack", Owner.here(bound_s), kept=options.keep)
    document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": labels, "annotations": notes},
    }
    api.apply(document)


def _apply(
    api: Api, namespace: str, profile: Profile, images: dict[str, str], private: Path, say: Say
) -> Applied:
    """Secrets, then the overlay, then the wait."""
    cluster = profile.cluster
    assert cluster is not None  # noqa: S101 - the profile was checked
    overlay = cluster.overlay if cluster.overlay.is_absolute() else ROOT / cluster.overlay
    rendered = fitting(api, render(overlay, private / "kustomize", namespace, images))
    keys, authority = make_keys(), private / "ca.pem"
    names = _names(api, namespace, cluster)
    for secret in (
        *key_secrets(namespace, keys, profile.gateway),
        certificate_secret(namespace, names, authority),
    ):
        api.apply(secret)
    for one in rendered.objects:
        api.apply(one)
    say(f"{len(rendered.objects)} objects applied in {namespace}")
    rollouts = [
        Rollout(one["kind"], one["metadata"]["name"]) for one in rendered.objects if one["kind"] in WORKLOADS
    ]
    ready_s = wait_rolled_out(api, namespace, rollouts, say, cluster.ready_timeout_s)
    return Applied(api, namespace, rendered, keys, authority, ready_s, way_in(api, namespace, cluster))


def _names(api: Api, namespace: str, cluster: ClusterProfile) -> list[str]:
    """What the certificate has to be good for: each name that a client here or in a Pod may use."""
    service = cluster.service
    inside = [service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
    return [*([cluster.host] if cluster.host else []), *inside, "localhost", "127.0.0.1", node_address(api)]


def _stack(profile: Profile, applied: Applied) -> Stack:
    cluster = profile.cluster
    assert cluster is not None  # noqa: S101 - the profile was checked
    parts = _parts(applied)
    for part in parts:
        part.look()
    return Stack(
        environment=profile.name,
        base_url=applied.way_in.base_url,
        model=profile.model or "tiny",
        keys=applied.keys,
        ca_bundle=applied.authority if applied.way_in.base_url.startswith("https:") else None,
        missing=_missing(applied),
        components=[part for part in parts if part.name in SERVING],
        watchers=[part for part in parts if part.name not in SERVING],
        fingerprint={
            **machine_fingerprint(),
            "profile.name": profile.name,
            "cluster.version": applied.api.version(),
            "engine.model": profile.model or "tiny",
        },
        engine="simulator" if cluster.simulated else "vllm",
        simulated=cluster.simulated,
        max_model_len=cluster.max_model_len,
        startup_s=applied.ready_s,
        notes=[SIMULATED_NOTE] if cluster.simulated else [],
    )


def _parts(applied: Applied) -> list[ClusterPart]:
    """A part for each component that has Pods."""
    found: dict[str, ClusterPart] = {}
    for one in applied.rendered.objects:
        name = one["metadata"].get("labels", {}).get(COMPONENT)
        if one["kind"] in WORKLOADS and name:
            found[name] = ClusterPart(name, applied.api, applied.namespace, f"{COMPONENT}={name}")
    return list(found.values())


def _missing(applied: Applied) -> dict[str, str]:
    """Capability -> why this stack lacks it."""
    kinds = {name.split()[0]: why for name, why in applied.rendered.left_out.items()}
    missing = {"prometheus": "none is reached from here", "alertmanager": "none is reached from here"}
    if "ServiceMonitor" in kinds:
        missing["operator"] = kinds["ServiceMonitor"]
    return missing
