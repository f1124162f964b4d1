"""Reaping: namespaces of runs that are no more are removed, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from environments.kubernetes.api import Api
from environments.kubernetes.ownership import KEPT_NOTE, RUN_LABEL, owner_of
from environments.provider import Say, StackNotReady

GONE_BOUND_S = 180.0
POLL_EVERY_S = 0.3


@dataclass(frozen=True, slots=True)
class Left:
    """A namespace that a run left."""

    name: str
    run_id: str
    why: str


def left_namespaces(api: Api, *, kept: bool = False) -> list[Left]:
    """Namespaces whose owner is gone; with `kept` also those that were kept on purpose."""
    now, found = datetime.now(UTC), []
    for one in api.all("v1", "Namespace", labels=RUN_LABEL):
        owner, notes = owner_of(one), one["metadata"].get("annotations") or {}
        if KEPT_NOTE in notes and not kept:
            continue
        why = "it was kept" if KEPT_NOTE in notes else owner.why_gone(now) if owner else None
        if why is not None:
            found.append(Left(one["metadata"]["name"], one["metadata"]["labels"][RUN_LABEL], why))
    return found


def reap(api: Api, say: Say, *, kept: bool = False) -> list[Left]:
    """Remove what runs left, and wait until it is gone."""
    found = left_namespaces(api, kept=kept)
    for one in found:
        say(f"removing the namespace {one.name} of {one.run_id}: {one.why}")
        api.delete("v1", "Namespace", one.name)
    for one in found:
        wait_gone(api, one.name)
    return found


def remove_namespace(api: Api, name: str) -> None:
    """Delete a namespace of ours with all in it, and wait until it is gone."""
    if api.delete("v1", "Namespace", name):
        wait_gone(api, name)


def wait_gone(api: Api, name: str, tick: Callable[[], None] = lambda: None) -> None:
    """Until a namespace is no more; StackNotReady after a bound says what holds it."""
    until = time.monotonic() + GONE_BOUND_S
    while (found := api.get("v1", "Namespace", name)) is not None:
        if time.monotonic() > until:
            conditions = found.get("status", {}).get("conditions", [])
            held = "; ".join(one.get("message", "") for one in conditions if one.get("status") == "True")
            raise StackNotReady(
                f"the namespace {name} does not go",
                expected=f"its end within {GONE_BOUND_S:g} s",
                seen=held or str(found.get("status")),
                hint=f"python -m environments reap --context {api.context}, later",
            )
        tick()
        time.sleep(POLL_EVERY_S)
