"""Describing: what stands in a namespace, as the Stack that claims are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments.fingerprint import machine_fingerprint, profile_fingerprint
from environments.kubernetes.addresses import Addresses, scraped_jobs
from environments.kubernetes.api import Api, Document
from environments.kubernetes.asking import Served, engine_version
from environments.kubernetes.handle import ClusterHandle
from environments.kubernetes.identity import COMPONENT, stack_facts
from environments.kubernetes.parts import ClusterPart, PodView
from environments.kubernetes.raising import LACKS
from environments.kubernetes.reaching import WayIn
from environments.profile import Profile
from environments.provider import SIMULATED_NOTE, Secret, Stack

SERVING = ("engine", "gateway", "ingress", "redis")  # components without which nothing can be claimed
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
NODES_GPUS = "the GPUs are on the cluster's nodes, and are not read from here"


@dataclass(frozen=True, slots=True)
class Standing:
    """A stack that stands, whoever applied it."""

    api: Api
    namespace: str
    profile: Profile
    objects: tuple[Document, ...]  # as applied; none of somebody else's
    left_out: Mapping[str, str]
    way_in: WayIn
    addresses: Addresses
    served: Served
    keys: Mapping[str, Secret]
    ca_bundle: Path | None
    ready_s: Mapping[str, float]
    captured: Path
    facts: Mapping[str, str]
    notes: tuple[str, ...]
    owned: bool


def stack_of(standing: Standing) -> Stack:
    """The Stack, with parts that were looked at once."""
    view = PodView(standing.api, standing.namespace)
    pods = view.pods({}, fresh=True)
    parts = _parts(standing, view, pods)
    for part in parts:
        part.look()
    found, way, served = standing.addresses, standing.way_in, standing.served
    counts = _counts(pods)
    through = way.base_url if "ingress" in counts or _is_through_controller(standing) else None
    engine_url, prometheus_url = found.urls.get("engine"), found.urls.get("prometheus")
    return Stack(
        environment=standing.profile.name,
        base_url=way.base_url,
        pods_url=way.pods_url,
        model=served.model,
        keys=standing.keys,
        ca_bundle=standing.ca_bundle,
        engine_url=engine_url,
        engine_urls=(engine_url,) if engine_url else (),
        gateway_url=found.urls.get("gateway") or (None if through else way.base_url),
        gateway_metrics_url=found.urls.get("gateway_metrics"),
        ingress_url=through,
        prometheus_url=prometheus_url,
        alertmanager_url=found.urls.get("alertmanager"),
        grafana_url=found.urls.get("grafana"),
        alert_receiver_url=found.urls.get("alert_receiver"),
        scraped=scraped_jobs(prometheus_url, standing.namespace) if prometheus_url else (),
        limiter_code=standing.profile.declares.limiter_code if standing.profile.declares else 429,
        missing={
            **_missing(standing, counts),
            **({} if through else {"ingress": "nothing stands before it"}),
        },
        components=[part for part in parts if part.name in SERVING],
        watchers=[part for part in parts if part.name not in SERVING],
        fingerprint=_fingerprint(standing, pods, engine_url),
        engine="simulator" if served.simulated else "vllm",
        simulated=served.simulated,
        max_model_len=served.max_model_len or _declared_length(standing.profile),
        limited_key=_limited(standing, counts),
        startup_s=standing.ready_s,
        notes=_notes(standing),
        cluster=ClusterHandle(
            standing.api, standing.namespace, standing.api.context, standing.objects, standing.owned
        ),
    )


def _declared_length(profile: Profile) -> int | None:
    return profile.cluster.max_model_len if profile.cluster else None


def _parts(standing: Standing, view: PodView, pods: Sequence[Document]) -> list[ClusterPart]:
    """A part for each component that has Pods."""
    scaled = _scaled(standing)
    return [
        ClusterPart(name, view, {COMPONENT: name}, standing.captured, is_scaled=name in scaled)
        for name in _counts(pods)
    ]


def _counts(pods: Sequence[Document]) -> dict[str, int]:
    """Component -> Pods of it that stay."""
    found: dict[str, int] = {}
    for pod in pods:
        name = (pod["metadata"].get("labels") or {}).get(COMPONENT)
        if name and "deletionTimestamp" not in pod["metadata"]:
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _scaled(standing: Standing) -> set[str]:
    """Components whose Pods come and go with the load, by whoever scales them."""
    named = {
        one["metadata"]["name"]: (one["metadata"].get("labels") or {}).get(COMPONENT)
        for one in standing.objects
    }
    targets = [one["spec"]["scaleTargetRef"]["name"] for one in standing.objects if one["kind"] in SCALERS]
    if not standing.owned:  # nobody told what scales there
        return {"engine", "gateway"}
    return {name for target in targets if (name := named.get(target))}


def _is_through_controller(standing: Standing) -> bool:
    cluster = standing.profile.cluster
    return cluster is not None and cluster.way_in in ("ingress", "gateway")


def _limited(standing: Standing, counts: Mapping[str, int]) -> tuple[str, int, float] | None:
    """The key with a limit of its own, where gateways count together or there is one."""
    said = standing.profile.gateway
    if not standing.owned or (counts.get("gateway", 0) > 1 and "redis" not in counts):
        return None
    return "limited", said.limited_requests, float(said.limited_window_s)


def _missing(standing: Standing, counts: Mapping[str, int]) -> dict[str, str]:
    """Capability -> why this stack lacks it."""
    unreached, found = standing.addresses.unreached, {}
    names = {"engine": "engine_metrics", "gateway_metrics": "gateway_metrics", "gateway": "gateway"}
    names |= {name: name for name in ("prometheus", "alertmanager", "grafana")}
    for part, capability in names.items():
        if part in unreached:
            found[capability] = unreached[part]
    if counts.get("engine", 0) > 1:
        told = f"{counts['engine']} engines: the counters of one are not all of them"
        found.setdefault("engine_metrics", told)
    kinds = {name.split()[0]: why for name, why in standing.left_out.items()}
    if "ServiceMonitor" in kinds:
        found["operator"] = kinds["ServiceMonitor"]
    if standing.way_in.no_load:
        found["load"] = standing.way_in.no_load
    if {"engine", "gateway"} & set(standing.addresses.forwarded):
        found["straight"] = "engine or gateway are reached through kubectl port-forward: no load goes there"
    if not standing.owned:
        found["logs"] = "the stack's logs are somebody else's"
        found["cluster_faults"] = "the stack is somebody else's: nothing of it is broken on purpose"
        found["exclusive"] = "other clients may use an attached stack: its counters are not ours alone"
    if _raised(standing):
        found["limiter"] = LACKS
    elif _limited(standing, counts) is None:
        found["limiter"] = "each gateway counts by itself" if standing.owned else "its limits are not known"
    if not standing.way_in.base_url.startswith("https:"):
        found["tls"] = "the way in is plain HTTP"
    if not standing.keys:
        found["keys"] = "no --api-key-env was given: nothing to compare a wrong key with"
    return {
        "gpu": NODES_GPUS,
        "exporter": NODES_GPUS,
        **found,
    }


def _raised(standing: Standing) -> bool:
    """Whether the way in was told to let a run's load through, which comes from one address."""
    cluster = standing.profile.cluster
    return standing.owned and cluster is not None and cluster.load_rate is not None


def _fingerprint(standing: Standing, pods: Sequence[Document], engine_url: str | None) -> dict[str, str]:
    served = standing.served
    return {
        **machine_fingerprint(),
        **profile_fingerprint(standing.profile),
        **standing.facts,
        **stack_facts(standing.api, standing.namespace, standing.objects, pods),
        "cluster.way_in": standing.profile.cluster.way_in if standing.profile.cluster else "unknown",
        "cluster.components": ", ".join(f"{name} {count}" for name, count in _counts(pods).items()),
        "engine.kind": "simulator" if served.simulated else "vllm",
        "engine.model": served.model,
        "engine.version": engine_version(engine_url, simulated=served.simulated),
    }


def _notes(standing: Standing) -> list[str]:
    notes = [SIMULATED_NOTE] if standing.served.simulated else []
    notes.append(
        f"namespace {standing.namespace} of the context {standing.api.context}; "
        "what its containers and events said: logs/cluster"
    )
    notes += [f"{standing.way_in.no_load}: no load from this machine"] if standing.way_in.no_load else []
    if standing.addresses.forwarded:
        names = ", ".join(standing.addresses.forwarded)
        notes.append(f"reached through kubectl port-forward, for metrics and probes alone: {names}")
    notes += [LACKS] if _raised(standing) else []
    return [*notes, *standing.notes]
