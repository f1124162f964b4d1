"""Preflight: all that a place lacks for a stack, in one list, before anything is created."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from environments.binaries import ROOT
from environments.kubernetes import aws, cluster_checks, machine_checks
from environments.kubernetes.acceptance import accepted
from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.capabilities import discover
from environments.kubernetes.check import Check, require, table
from environments.kubernetes.context import (
    REACH_BOUND_S,
    ClusterOptions,
    chosen_context,
    connected,
    contexts,
)
from environments.kubernetes.wants import Wants, wants_of
from environments.profile import ClusterProfile, Profile
from environments.provider import StackError, StackNotReady
from instruments.errors import ConfigurationError

__all__ = ["Check", "preflight", "require", "require_reachable", "survey", "table"]


@dataclass(frozen=True, slots=True)
class Place:
    """A profile with what its manifests are made of."""

    profile: Profile
    cluster: ClusterProfile
    documents: Sequence[Document]
    wants: Wants
    on_machine: Sequence[Check]


def survey(profile: Profile, options: ClusterOptions) -> list[Check]:
    """Everything, from the programs here to the cluster's own answers: what is not there is a row."""
    place = _place(profile)
    try:
        with connected(chosen_context(profile, options)) as api:
            return _whole(place, api)
    except ConfigurationError as error:
        return _without(place, _said(error, profile))


def require_reachable(profile: Profile, options: ClusterOptions) -> None:
    """StackNotReady with every row where this machine lacks something, or no cluster answers.

    A stack that is there already (`--namespace`) needs a cluster that answers, nothing else.
    """
    if options.namespace is not None:
        _require_answer(profile, options)
        return
    place = _place(profile)
    try:
        with connected(chosen_context(profile, options)) as api:
            reached = _reached(api)
            if reached.ok and any(one.ok is False for one in place.on_machine):
                require(profile, _whole(place, api))
    except ConfigurationError as error:
        reached = _said(error, profile)
    require(profile, _without(place, reached) if not reached.ok else [])


def _require_answer(profile: Profile, options: ClusterOptions) -> None:
    with connected(chosen_context(profile, options)) as api:
        reached = _reached(api)
    if not reached.ok:
        raise StackNotReady(
            f"namespace {options.namespace}: the cluster of the {reached.what} does not answer",
            expected="an API server that says its version",
            seen=reached.seen,
            hint=reached.hint,
        )


def preflight(profile: Profile, api: Api | None, options: ClusterOptions) -> list[Check]:
    """What is there and what is not; without an API what can be said without one."""
    return survey(profile, options) if api is None else _whole(_place(profile), api)


def _place(profile: Profile) -> Place:
    cluster = profile.cluster
    if cluster is None:
        raise ConfigurationError(
            f"the environment {profile.name} is in no cluster", expected="one with a block `cluster`"
        )
    documents, rendered = machine_checks.manifests(cluster)
    wants = wants_of(documents)
    checks = [
        *machine_checks.programs(cluster),
        *machine_checks.docker(cluster),
        *machine_checks.gpu_here(profile, cluster),
        rendered,
        *machine_checks.placeholders(wants),
        *machine_checks.tokens(cluster),
    ]
    return Place(profile, cluster, documents, wants, checks)


def _whole(place: Place, api: Api) -> list[Check]:
    reached = _reached(api)
    if not reached.ok:
        return _without(place, reached)
    return [*place.on_machine, reached, *_in_cluster(place, api)]


def _in_cluster(place: Place, api: Api) -> Iterator[Check]:
    found = discover(api)
    of = cluster_checks.Subject(api, place.cluster, place.wants, found)
    for check in (
        cluster_checks.version,
        cluster_checks.rights,
        cluster_checks.namespace,
        cluster_checks.gpus,
        cluster_checks.classes,
        cluster_checks.extensions,
        cluster_checks.images,
    ):
        yield from _asked(check(of), check.__name__)
    yield from _asked(accepted(api, place.documents), "objects accepted")
    yield from machine_checks.host(place.cluster, cluster_checks.node_addresses(api))
    arn = contexts().get(api.context, ("", ""))[0]
    yield from aws.pod_identity(arn, place.cluster.namespace, place.documents)
    yield from aws.quota(found.cloud)


def _asked(checks: Iterator[Check], what: str) -> Iterator[Check]:
    """What the server does not let us ask is a row as well, and the rest is asked all the same."""
    try:
        yield from checks
    except ApiError as error:
        yield Check(what, None, f"cannot be asked: {error.seen or error.message}", error.hint or "")


def _without(place: Place, context: Check) -> list[Check]:
    """All that can be said without a cluster."""
    return [*place.on_machine, *machine_checks.host(place.cluster, []), context, _not_asked(place)]


def _not_asked(place: Place) -> Check:
    """What the cluster would be asked for."""
    cluster, wants = place.cluster, place.wants
    gpus = max(wants.gpus, cluster.needs.gpus)
    needed = [
        *([f"{gpus} × nvidia.com/gpu that no Pod has, by the device plugin"] if gpus else []),
        *(f"storage class {one}" for one in sorted(wants.storage_classes)),
        *(f"ingress class {one}" for one in sorted(wants.ingress_classes) if cluster.way_in == "ingress"),
        *(f"Gateway class {one}" for one in sorted(wants.gateway_classes) if cluster.way_in == "gateway"),
        *cluster.needs.apis,
        *(["Kubernetes 1.30 or newer"] if wants.sleeps_before_stop else []),
        *([f"a role for the engine's account in {cluster.namespace} (Pod Identity)"] if wants.s3 else []),
        "rights to make a namespace and all in it",
    ]
    return Check("the cluster has", None, "not asked:\n" + "\n".join(needed))


def _reached(api: Api) -> Check:
    what = f"context {api.context}"
    try:
        version = api.call("GET", "/version", bound_s=REACH_BOUND_S)["gitVersion"]
    except ApiError as error:
        return Check(what, False, error.seen or error.message, error.hint or "is it up?")
    return Check(what, True, f"answers: Kubernetes {version}")


def _said(error: ConfigurationError | StackError, profile: Profile) -> Check:
    seen = "; ".join(part for part in (error.message, error.seen or error.expected) if part)
    guide = f"deploy/guides/{profile.name}.md"
    more = [f"{guide} says how to come by one"] if (ROOT / guide).is_file() else []
    return Check("context", False, seen, "\n".join([*([error.hint] if error.hint else []), *more]))
