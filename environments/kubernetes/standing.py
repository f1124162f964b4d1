"""Standing: a namespace of a run, from its making to its end, however the run ends."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from environments.kubernetes.api import CONFLICT, FORBIDDEN, Api, ApiError, Document
from environments.kubernetes.ownership import KEPT_NOTE, Owner, marks, owner_of
from environments.kubernetes.reaping import remove_namespace
from environments.provider import Say, StackError, StackNotReady
from instruments.errors import SloError

AWAY_BOUND_S = 30.0  # for an API server that does not answer, at the end
AGAIN_EVERY_S = 1.0
LONGEST_NAME = 63  # of a label in DNS
TOO_MANY, SERVER_ERROR = 429, 500


@contextmanager
def own_namespace(
    api: Api, name: str, run_id: str, owner: Owner, announce: Say, *, keep: bool = False
) -> Iterator[str]:
    """The namespace of a run's stack, as `made` makes one."""
    labels, notes = marks(run_id, "stack", owner, kept=keep)
    metadata = {"name": name, "labels": labels, "annotations": notes}
    with made(api, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, announce, keep=keep):
        yield name


@contextmanager
def made(api: Api, document: Document, announce: Say, *, keep: bool = False) -> Iterator[None]:
    """Make a namespace that names its owner, and remove it on leaving unless it is kept.

    StackNotReady where it is there already. Where it cannot be removed, an error of ours says so too; of
    Ctrl-C and the like it is announced.
    """
    name, owner = document["metadata"]["name"], owner_of(document)
    assert owner is not None  # noqa: S101 - or nobody could tell whose it is
    try:
        _make(api, document)
        yield
    except SloError as error:
        if left := _ended(api, name, owner, announce, keep=keep):
            raise _both(error, left) from None
        raise
    except BaseException:
        if left := _ended(api, name, owner, announce, keep=keep):
            announce(str(left))
        raise
    if left := _ended(api, name, owner, announce, keep=keep):
        raise left


def require_namespace(api: Api, name: str) -> None:
    """StackNotReady where there is no such namespace; whoever may not look is believed."""
    try:
        there = api.get("v1", "Namespace", name) is not None
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        return
    if not there:
        raise StackNotReady(
            f"--namespace {name}: there is none of this name in {api.context}",
            expected="the namespace of a stack that is there already",
            hint=f"kubectl --context {api.context} get namespaces; without --namespace one is stood up",
        )


def namespace_of(run_id: str) -> str:
    """The namespace of a run: its id in the letters that a name in DNS may have, and never another run's."""
    whole = "vllm-slo-" + re.sub(r"[^a-z0-9-]+", "-", run_id.lower()).strip("-")
    if len(whole) <= LONGEST_NAME:
        return whole
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    return f"{whole[: LONGEST_NAME - 9].rstrip('-')}-{digest}"


def _make(api: Api, document: Document) -> None:
    name = document["metadata"]["name"]
    try:
        api.create(document)
    except ApiError as error:
        if error.status != CONFLICT:
            raise
        raise StackNotReady(
            f"the namespace {name} is there already",
            expected="a namespace that this run makes, and removes at its end",
            hint=f"--namespace {name} attaches to what is in it; "
            f"python -m environments reap --context {api.context} removes what a killed run left",
        ) from None


def _ended(api: Api, name: str, owner: Owner, announce: Say, *, keep: bool) -> SloError | None:
    """Remove it where it is this run's, asking again while the server is away; else why it may be left."""
    until = time.monotonic() + AWAY_BOUND_S
    try:
        while True:
            try:
                _remove(api, name, owner, announce, keep=keep)
            except ApiError as error:
                if not _passes(error.status) or time.monotonic() > until:
                    return _may_be_left(api, name, f"{error.message}: {error.seen}")
            else:
                return None
            time.sleep(AGAIN_EVERY_S)
    except StackError as error:
        return error
    except KeyboardInterrupt:  # a second one: whoever sits there will not wait
        announce(str(_may_be_left(api, name, "interrupted while it was taken down")))
        raise


def _passes(status: int) -> bool:
    """Whether asking again may help: no answer, too many at once, or a server that is not well."""
    return status == 0 or status == TOO_MANY or status >= SERVER_ERROR


def _may_be_left(api: Api, name: str, seen: str) -> StackNotReady:
    return StackNotReady(
        f"the namespace {name} may be left in the cluster {api.context}",
        expected="an API server that takes it away",
        seen=seen,
        hint=f"python -m environments reap --context {api.context}, when it answers again",
    )


def _remove(api: Api, name: str, owner: Owner, announce: Say, *, keep: bool) -> None:
    found = api.get("v1", "Namespace", name)
    if found is None or owner_of(found) != owner:
        return  # it was never made, or is somebody else's
    if keep:
        _note_kept(api, name, found["metadata"]["uid"])
        announce(f"kept: the namespace {name}, as --keep-environment asks")
        announce(f"  look at it    kubectl --context {api.context} -n {name} get all")
        announce(f"  remove it     python -m environments reap --context {api.context} --kept")
        return
    remove_namespace(api, name, found["metadata"]["uid"])


def _note_kept(api: Api, name: str, uid: str) -> None:
    """From now on no run needs it, whatever its owner's process does."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        change = {"metadata": {"uid": uid, "annotations": {KEPT_NOTE: f"since {now}"}}}
        api.merge("v1", "Namespace", name, None, change)
    except ApiError as error:
        if error.status != FORBIDDEN:  # then it is known once the process is gone
            raise


def _both(error: SloError, left: SloError) -> SloError:
    """What went wrong, and what is left of it."""
    seen = "\n".join(one for one in (error.seen, f"{left.message}: {left.seen}") if one)
    hints = "; ".join(one for one in (left.hint, error.hint) if one)
    return StackError(error.message, expected=error.expected, seen=seen, hint=hints)
