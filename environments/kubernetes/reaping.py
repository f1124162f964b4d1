"""Reaping: namespaces of runs that are no more are removed, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from environments.kubernetes.api import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, Api, ApiError, Document
from environments.kubernetes.nodes import left_cordons, uncordon_left
from environments.kubernetes.ownership import GOES_ON, KEPT_NOTE, PART_LABEL, RUN_LABEL, owner_of
from environments.provider import Say, StackNotReady

GONE_BOUND_S = 180.0
POLL_EVERY_S = 0.3
GRACE_S = 1  # nobody waits for the answers of a stack that goes


@dataclass(frozen=True, slots=True)
class Left:
    """A namespace that a run left."""

    name: str
    run_id: str
    part: str  # stack or load
    why: str
    uid: str


def left_namespaces(api: Api, *, kept: bool = False) -> list[Left]:
    """Namespaces whose owner is gone; with `kept` also those that runs, now over, kept on purpose.

    One without a whole note of its owner is not ours, whatever its labels say.
    """
    now, found = datetime.now(UTC), []
    for one in api.all("v1", "Namespace", labels=RUN_LABEL):
        owner, metadata = owner_of(one), one["metadata"]
        note = (metadata.get("annotations") or {}).get(KEPT_NOTE)
        if owner is None or (note is not None and not kept):
            continue
        why = "it was kept" if note not in (None, GOES_ON) else owner.why_gone(now)
        if why is not None:
            labels = metadata["labels"]
            part = labels.get(PART_LABEL, "stack")
            found.append(Left(metadata["name"], labels[RUN_LABEL], part, why, metadata["uid"]))
    return found


def left_nodes(api: Api) -> dict[str, str]:
    """Node -> why: those that a run cordoned which is no more. None for who may not list nodes."""
    try:
        return left_cordons(api)
    except ApiError as error:
        if error.status in (UNAUTHORIZED, FORBIDDEN, NOT_FOUND):
            return {}
        raise


def reap(api: Api, say: Say, *, kept: bool = False) -> list[Left]:
    """Remove what runs left, and wait until it is gone; uncordon the nodes that they left cordoned."""
    if left_nodes(api):
        uncordon_left(api, say)
    found = left_namespaces(api, kept=kept)
    for one in found:
        say(f"removing the namespace {one.name} of {one.run_id}: {one.why}")
        _delete(api, one.name, one.uid)
    for one in found:
        wait_gone(api, one.name, uid=one.uid)
    return found


def reap_before(api: Api, say: Say) -> None:
    """The same at the start of a run, which something that does not go must not keep from starting."""
    try:
        reap(api, say)
    except StackNotReady as error:
        say(f"left where it is: {error.message}: {error.seen}")
    except ApiError as error:
        if error.status not in (UNAUTHORIZED, FORBIDDEN):
            raise
        say("what earlier runs left is not looked for: this context may not list namespaces")


def remove_namespace(api: Api, name: str, uid: str | None = None) -> None:
    """Delete a namespace of ours with all in it, and wait until it is gone."""
    _delete(api, name, uid)
    wait_gone(api, name, uid=uid)


def wait_gone(
    api: Api, name: str, tick: Callable[[], None] = lambda: None, *, uid: str | None = None
) -> None:
    """Until a namespace is no more; StackNotReady after a bound says what holds it."""
    until = time.monotonic() + GONE_BOUND_S
    while (found := api.get("v1", "Namespace", name)) is not None and uid in (None, found["metadata"]["uid"]):
        if time.monotonic() > until:
            raise StackNotReady(
                f"the namespace {name} does not go",
                expected=f"its end within {GONE_BOUND_S:g} s",
                seen=_held(found),
                hint=f"python -m environments reap --context {api.context}, later",
            )
        tick()
        time.sleep(POLL_EVERY_S)


def _delete(api: Api, name: str, uid: str | None) -> None:
    """The namespace first, so that nothing in it is made anew; then its Pods, without their long good-bye."""
    if not api.delete("v1", "Namespace", name, uid=uid):
        return
    try:
        api.delete("v1", "Pod", "", name, grace_s=GRACE_S)
    except ApiError as error:
        if error.status != FORBIDDEN:  # one may delete namespaces and not Pods: then it only takes longer
            raise


def _held(namespace: Document) -> str:
    conditions = namespace.get("status", {}).get("conditions", [])
    held = "; ".join(one.get("message", "") for one in conditions if one.get("status") == "True")
    return held or str(namespace.get("status"))
