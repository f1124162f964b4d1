"""Hosts: the name that a run's certificates and routes are for, and whose authority signs them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from environments.kubernetes.api import Document

# Where a kind names hosts; "[]" is each one of a list. All else of an object is left as it is.
PLACES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Ingress": (("spec", "rules", "[]", "host"), ("spec", "tls", "[]", "hosts", "[]")),
    "Certificate": (("spec", "dnsNames", "[]"),),
    "Gateway": (("spec", "listeners", "[]", "hostname"),),
    "HTTPRoute": (("spec", "hostnames", "[]"),),
}
PUBLIC = "a run brings its own certificate: a public authority signs a name only so many times a week"


def hosts_of(documents: Iterable[Document]) -> set[str]:
    """Every name that a client could use, as routes and certificates have it."""
    found: set[str] = set()

    def keep(name: str) -> str:
        found.add(name)
        return name

    for one in documents:
        _each(one, keep)
    return found


def for_host(documents: Iterable[Document], host: str) -> list[Document]:
    """The same objects with `host` in the place of every name. Those handed in stay as they are."""
    made = copy.deepcopy(list(documents))
    for one in made:
        _each(one, lambda _: host)
    return made


def without_public_authority(documents: Iterable[Document]) -> tuple[list[Document], dict[str, str]]:
    """The objects without a public authority's Issuer and what it would sign, and why each is left out.

    Let's Encrypt signs one set of names five times a week: a run a day would leave the place without.
    """
    given = list(documents)
    public = {one["metadata"]["name"] for one in given if _is_public(one)}
    left_out = {
        f"{one['kind']} {one['metadata']['name']}": PUBLIC
        for one in given
        if _is_public(one) or _signed_by(one) in public
    }
    return [one for one in given if f"{one['kind']} {one['metadata']['name']}" not in left_out], left_out


def _is_public(document: Document) -> bool:
    return document["kind"] == "Issuer" and "acme" in document.get("spec", {})


def _signed_by(document: Document) -> str | None:
    if document["kind"] != "Certificate":
        return None
    return str(document["spec"]["issuerRef"]["name"])


def _each(document: Document, change: Callable[[str], str]) -> None:
    """Put `change` of a name in its place, wherever an object has one."""
    for path in PLACES.get(document["kind"], ()):
        _walk(document, path, change)


def _walk(place: Any, path: tuple[str, ...], change: Callable[[str], str]) -> None:
    head, rest = path[0], path[1:]
    keys: Iterable[Any] = range(len(place)) if head == "[]" else [head] if head in place else []
    for key in keys:
        if rest:
            _walk(place[key], rest, change)
        elif isinstance(place[key], str):
            place[key] = change(place[key])
