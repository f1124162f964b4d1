"""One stack in a cluster, from the preflight to its end; or one that is there already, and is left there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from environments.attach import REACH_BOUND_S, AttachOptions, check_options
from environments.kubernetes.addresses import addresses
from environments.kubernetes.api import Api
from environments.kubernetes.applying import Applied, Place, apply, rendered_for
from environments.kubernetes.asking import served
from environments.kubernetes.capabilities import Capabilities, discover
from environments.kubernetes.capturing import capturing
from environments.kubernetes.check import require
from environments.kubernetes.context import ClusterOptions, chosen_context, connected
from environments.kubernetes.cost_guard import announce_cost
from environments.kubernetes.describing import Standing, stack_of
from environments.kubernetes.forwarding import Forwards
from environments.kubernetes.images import images_of
from environments.kubernetes.ownership import Owner
from environments.kubernetes.preflight import preflight
from environments.kubernetes.reaching import WayIn, door, way_in
from environments.kubernetes.reaping import reap_before
from environments.kubernetes.secrets import readable_authority
from environments.kubernetes.standing import namespace_of, own_namespace, require_namespace
from environments.profile import ClusterProfile, Profile
from environments.provider import Say, Stack

CAPTURED = Path("logs") / "cluster"  # in a run's folder


@dataclass(frozen=True, slots=True)
class Run:
    """What a run in a cluster goes by: the place, what was asked for, and where and how it tells."""

    profile: Profile
    cluster: ClusterProfile
    options: ClusterOptions
    folder: Path
    say: Say  # progress, for who reads along
    announce: Say  # for every reader

    @property
    def private(self) -> Path:
        """For keys, certificates and what kustomize reads: gone at the end."""
        return self.folder / "stack"


@contextmanager
def kubernetes_stack(
    profile: Profile,
    options: ClusterOptions,
    folder: Path,
    say: Say,
    announce: Say | None = None,
    asked: AttachOptions | None = None,
) -> Iterator[Stack]:
    """Apply the profile's overlay in a namespace of this run, wait for it, and remove it whatever happens.

    With `options.namespace` nothing is applied or removed: the stack that is there is found and described.
    """
    assert profile.cluster is not None  # noqa: S101 - the profile was checked
    run = Run(profile, profile.cluster, options, folder, say, announce or say)
    context = chosen_context(profile, options)
    with ExitStack() as cleanup:
        api = cleanup.enter_context(connected(context))
        found = discover(api)
        say(f"cluster {context}: Kubernetes {found.version}")
        for line in found.lines():
            say(line)
        run.private.mkdir(parents=True, exist_ok=True)
        run.private.chmod(0o700)
        cleanup.callback(shutil.rmtree, run.private, ignore_errors=True)
        forwards = Forwards(context, folder / "logs", say)
        standing = (
            _found(run, api, found, cleanup, forwards, asked or AttachOptions(None))
            if options.namespace
            else _applied(run, api, found, cleanup, forwards)
        )
        yield stack_of(standing)


def _applied(run: Run, api: Api, found: Capabilities, cleanup: ExitStack, forwards: Forwards) -> Standing:
    """A stack of our own: what would be created is told first, then created in a namespace of the run."""
    profile, cluster = run.profile, run.cluster
    reap_before(api, run.say)
    require(profile, preflight(profile, api, run.options))
    images = images_of(cluster.images, run.say)
    namespace = cluster.namespace or namespace_of(run.folder.name)
    rendered = rendered_for(api, cluster, namespace, run.private / "kustomize", images)
    bound_s = run.options.time_budget_s or cluster.time_budget_s
    announce_cost(api, profile, rendered.objects, run.announce, bound_s)
    owner = Owner.here(bound_s)
    cleanup.enter_context(
        own_namespace(api, namespace, run.folder.name, owner, run.announce, keep=run.options.keep)
    )
    capture = cleanup.enter_context(capturing(api, namespace, run.folder / CAPTURED))
    cleanup.callback(forwards.stop)
    applied = apply(Place(api, namespace, run.private, forwards, run.say), profile, rendered)
    capture.keep_applied(applied.objects)
    return _of_ours(run, api, found, namespace, applied, forwards)


def _of_ours(
    run: Run, api: Api, found: Capabilities, namespace: str, applied: Applied, forwards: Forwards
) -> Standing:
    way = applied.way_in
    model = run.profile.model or "tiny"
    return Standing(
        api=api,
        namespace=namespace,
        profile=run.profile,
        objects=applied.objects,
        left_out=applied.left_out,
        way_in=way,
        addresses=addresses(api, namespace, forwards),
        served=served(way.base_url, applied.keys["suite"], applied.authority, model),
        keys={**applied.keys, **applied.tokens},  # those too are to be read nowhere
        ca_bundle=applied.authority,
        ready_s=applied.ready_s,
        captured=run.folder / CAPTURED,
        facts=found.facts(),
        notes=tuple(found.notes()),
        owned=True,
    )


def _found(
    run: Run, api: Api, found: Capabilities, cleanup: ExitStack, forwards: Forwards, asked: AttachOptions
) -> Standing:
    """Somebody else's stack in a namespace: looked at, and asked what it serves."""
    namespace = str(run.options.namespace)
    require_namespace(api, namespace)
    cleanup.enter_context(capturing(api, namespace, run.folder / CAPTURED))
    cleanup.callback(forwards.stop)
    way = _way_to(run, api, namespace, forwards, asked.base_url)
    _, key = check_options(replace(asked, base_url=way.base_url), run.profile.name)
    authority = asked.ca_bundle
    if authority is None and way.base_url.startswith("https:"):
        authority = readable_authority(api, namespace, run.private / "ca.pem")
    reached = addresses(api, namespace, forwards)
    if asked.prometheus_url:
        reached.urls["prometheus"] = asked.prometheus_url
    return Standing(
        api=api,
        namespace=namespace,
        profile=run.profile,
        objects=(),
        left_out={},
        way_in=way,
        addresses=reached,
        served=served(way.base_url, key, authority, asked.model or run.profile.model, REACH_BOUND_S),
        keys={"suite": key} if key else {},
        ca_bundle=authority,
        ready_s={},
        captured=run.folder / CAPTURED,
        facts=found.facts(),
        notes=tuple(found.notes()),
        owned=False,
    )


def _way_to(run: Run, api: Api, namespace: str, forwards: Forwards, base_url: str | None) -> WayIn:
    if base_url is not None:
        return WayIn(base_url.rstrip("/"), base_url.rstrip("/"))
    return way_in(api, namespace, run.cluster, door(api, namespace, run.cluster, run.say), forwards, run.say)
