"""Acceptance: whether the API server would take a stack's objects, asked of it without creating one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.capabilities import EXTENSIONS
from environments.kubernetes.check import Check

SHOWN = 8
NOT_ANSWERED = 0


def refusals(api: Api, documents: Sequence[Document]) -> dict[str, str]:
    """Object -> what the server says against it, by server-side apply as a dry run.

    Left out are objects of the whole cluster, which a run does not apply, and of extensions not there.
    """
    found = {}
    for one in documents:
        served = api.resource(one["apiVersion"], one["kind"])
        if served is None and one["apiVersion"] in EXTENSIONS.values():
            continue
        if served is not None and not served.namespaced:
            continue
        name = f"{one['kind']} {one['metadata']['name']}"
        if served is None:
            found[name] = f"this server does not know {one['apiVersion']} {one['kind']}"
        elif (said := _refused(api, one)) is not None:
            found[name] = said
    return found


def accepted(api: Api, documents: Sequence[Document]) -> Iterator[Check]:
    """A row of all objects; it says which is refused, and for which field."""
    found = refusals(api, documents)
    lines = [f"{name}: {said}" for name, said in found.items()]
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    yield Check(
        "objects accepted",
        not found,
        "\n".join([f"{len(found)} of {len(documents)} refused", *lines[:SHOWN], *more])
        if found
        else f"{len(documents)}, by a dry run of server-side apply",
        "a server of the versions in deploy/kubernetes/README.md",
    )


def _refused(api: Api, document: Document) -> str | None:
    try:
        api.apply(document, dry_run=True)
    except ApiError as error:
        if error.status == NOT_ANSWERED:
            raise
        return (error.seen or error.message).partition("\n")[0][:400]
    return None
