"""Applying: an overlay becomes a stack in the run's namespace, with secrets of the run, waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from environments.binaries import ROOT
from environments.kubernetes.api import Api, Document
from environments.kubernetes.forwarding import Forwards
from environments.kubernetes.hosts import for_host, hosts_of, without_public_authority
from environments.kubernetes.raising import raised
from environments.kubernetes.reaching import Door, WayIn, door, is_address, node_address, way_in
from environments.kubernetes.rendering import Rendered, fitting, render
from environments.kubernetes.rollout import Rollout, wait_rolled_out
from environments.kubernetes.secrets import (
    certificate_secret,
    hidden,
    key_secrets,
    make_keys,
    signed_authority,
    signs_itself,
    token_secrets,
)
from environments.profile import ClusterProfile, Profile
from environments.provider import Say, Secret, StackNotReady

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run applies, what it says on the way, and where it keeps what is nobody else's business."""

    api: Api
    namespace: str
    private: Path
    forwards: Forwards
    say: Say


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run has put into its namespace."""

    objects: tuple[Document, ...]
    left_out: Mapping[str, str]
    keys: Mapping[str, Secret]
    tokens: Mapping[str, Secret]  # of the stack itself; nobody asks with them, and nobody is to read them
    authority: Path | None  # whose certificates clients have to trust; None: the system's
    ready_s: Mapping[str, float]
    way_in: WayIn


def rendered_for(
    api: Api, cluster: ClusterProfile, namespace: str, folder: Path, images: Mapping[str, str]
) -> Rendered:
    """What the profile's overlay is in this cluster, in this namespace. Nothing is applied yet."""
    overlay = cluster.overlay if cluster.overlay.is_absolute() else ROOT / cluster.overlay
    documents = render(overlay, folder, namespace, images)
    if cluster.host is not None:
        documents = for_host(documents, cluster.host)
    if cluster.load_rate is not None:
        documents = raised(documents, cluster.load_rate)
    documents, public = without_public_authority(documents)
    found = fitting(api, documents)
    return replace(found, left_out={**found.left_out, **public})


def apply(place: Place, profile: Profile, rendered: Rendered) -> Applied:
    """Secrets and certificate, then the overlay, then the wait. StackNotReady with the evidence."""
    cluster = profile.cluster
    assert cluster is not None  # noqa: S101 - the profile was checked
    api, namespace, objects = place.api, place.namespace, rendered.objects
    keys = make_keys()
    made, tokens = token_secrets(namespace, cluster.secrets)
    _each(api, [*key_secrets(namespace, keys, profile.gateway), *made])
    found = None
    if _is_named_by_its_balancer(cluster):
        _each(api, [one for one in objects if _is_door(one, cluster)])
        found = door(api, namespace, cluster, place.say)
        objects = _named_after(objects, found)
    own = None if signs_itself(objects) else place.private / "ca.pem"
    if own is not None:
        api.apply(certificate_secret(namespace, _names(api, namespace, cluster, found), own))
    _each(api, objects)
    place.say(f"{len(objects)} objects applied in {namespace}")
    ready_s = _rolled_out(place, objects, {**keys, **tokens}, cluster.ready_timeout_s)
    found = found or door(api, namespace, cluster, place.say)
    inward = way_in(api, namespace, cluster, found, place.forwards, place.say)
    authority = own or signed_authority(api, namespace, place.private / "ca.pem")
    trusted = authority if inward.base_url.startswith("https:") else None
    return Applied(objects, rendered.left_out, keys, tokens, trusted, ready_s, inward)


def _rolled_out(
    place: Place, objects: Sequence[Document], keys: Mapping[str, Secret], bound_s: float
) -> dict[str, float]:
    rollouts = [Rollout(one["kind"], one["metadata"]["name"]) for one in objects if one["kind"] in WORKLOADS]
    try:
        return wait_rolled_out(place.api, place.namespace, rollouts, place.say, bound_s)
    except StackNotReady as error:  # its evidence is what programs wrote, who knows what
        raise StackNotReady(
            hidden(error.message, keys),
            expected=error.expected,
            seen=hidden(error.seen or "", keys),
            hint=error.hint,
        ) from None


def _each(api: Api, objects: Sequence[Document]) -> None:
    for one in objects:
        api.apply(one)


def _is_named_by_its_balancer(cluster: ClusterProfile) -> bool:
    return cluster.host is None and cluster.way_in in ("load-balancer", "gateway")


def _is_door(document: Document, cluster: ClusterProfile) -> bool:
    if cluster.way_in == "gateway":
        return bool(document["kind"] == "Gateway")
    return bool(document["kind"] == "Service" and document["metadata"]["name"] == cluster.service)


def _named_after(objects: tuple[Document, ...], found: Door | None) -> tuple[Document, ...]:
    """Routes for the name that the balancer got. One without a name cannot be routed to by name."""
    if found is None or not hosts_of(objects):
        return objects
    if not is_address(found.address):
        return tuple(for_host(objects, found.address))
    raise StackNotReady(
        f"the way in got the address {found.address}, and its routes are by name",
        expected="a name in the profile (cluster.host) that leads to this address",
        seen=", ".join(sorted(hosts_of(objects))),
    )


def _names(api: Api, namespace: str, cluster: ClusterProfile, found: Door | None) -> list[str]:
    """What the certificate has to be good for: each name that a client here or in a Pod may use."""
    service = cluster.service
    inside = [service, f"{service}.{namespace}", f"{service}.{namespace}.svc"]
    if found is None and cluster.way_in == "node-port":
        found = Door("https", node_address(api), 0)
    outside = [one for one in (cluster.host, found.address if found else None) if one]
    return [*outside, *inside, "localhost", "127.0.0.1"]
