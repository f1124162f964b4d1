"""A real API server takes every object of every overlay: server-side apply, as a dry run that keeps nothing.

The server is of 1.20: what it does not know yet is put in its older form by the table in downgrades.py.
The objects as they are, are held against the schemas of today in tests/kubernetes/test_schemas.py.
"""

from __future__ import annotations

import copy
import functools
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from environments.kubernetes.api import Api, ApiError
from environments.kubernetes.context import connected
from tests.cluster.downgrades import DOWNGRADES, OURS, definitions, downgraded
from tests.cluster.sessions import Context
from tests.kubernetes.rendering import KUBERNETES, OVERLAYS, PLACES, Document, of_kind, rendered

pytestmark = pytest.mark.kubernetes
SERVED_BOUND_S = 60.0
EXTENSIONS = "apiextensions.k8s.io/v1"
OWN = ("overlays/local", "overlays/local-vllm")  # made for this version: no downgrade may be needed


@pytest.fixture(scope="module")
def api(context: Context) -> Iterator[Api]:
    with pytest.MonkeyPatch.context() as patch:
        file = context.environment.get("KUBECONFIG", "")
        patch.setenv("KUBECONFIG", file)
        # The client looks where KUBECONFIG pointed when it was imported.
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", file)
        with connected(context.name) as found:
            yield found


@pytest.fixture(scope="module")
def namespace(api: Api) -> Iterator[str]:
    """One of the test's own, and the definitions of the custom kinds; both are gone afterwards."""
    name = f"vllm-slo-dry-run-{secrets.token_hex(4)}"
    made = definitions()
    try:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for one in made:
            api.create(one)
        _wait(lambda: all(_is_served(api, one) for one in made), "the custom kinds are served")
        api.forget()
        yield name
    finally:
        api.delete("v1", "Namespace", name)
        for one in made:
            api.delete(EXTENSIONS, "CustomResourceDefinition", one["metadata"]["name"])
        _wait(lambda: api.get("v1", "Namespace", name) is None, "the namespace is gone")


def _wait(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SERVED_BOUND_S
    while not holds():
        assert time.monotonic() < until, f"expected within {SERVED_BOUND_S:g} s: {what}"
        time.sleep(0.2)


def _is_served(api: Api, document: Document) -> bool:
    found = api.get(EXTENSIONS, "CustomResourceDefinition", document["metadata"]["name"])
    conditions = (found or {}).get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def refused(api: Api, documents: list[Document]) -> dict[str, str]:
    """Object -> what the server says against it; a field of a custom kind may be dropped without a word."""
    found = {}
    for one in documents:
        name = f"{one['kind']} {one['metadata']['name']}"
        try:
            kept = api.apply(one, dry_run=True)
        except ApiError as error:
            found[name] = f"{error.status}: {error.seen or error.message}"
            continue
        if OURS in one["apiVersion"] and kept["spec"] != one["spec"]:
            found[name] = f"dropped: {sorted(set(one['spec']) - set(kept['spec'])) or one['spec']}"
    return found


def test_the_page_has_each_downgrade_with_its_version() -> None:
    page = (KUBERNETES / "README.md").read_text()
    rows = re.findall(r"^\| `?([\w./ ]+?)`? \| (1\.\d+) \| ", page, re.M)
    assert dict(rows) == {name: row.since for name, row in DOWNGRADES.items()}


@pytest.mark.parametrize("place", PLACES)
def test_every_object_is_accepted(place: str, api: Api, namespace: str) -> None:
    assert refused(api, [downgraded(one, namespace) for one in rendered(place)]) == {}
    assert api.all("apps/v1", "Deployment", namespace) == []  # nothing was kept of it


@pytest.mark.parametrize("place", OWN)
def test_what_is_made_for_this_version_needs_no_downgrade(place: str, api: Api, namespace: str) -> None:
    for one in rendered(place):
        changed = copy.deepcopy(one)
        for row in DOWNGRADES.values():
            row.apply(changed)
        assert changed == one
    assert refused(api, [downgraded(one, namespace) for one in rendered(place)]) == {}


@pytest.mark.parametrize("row", DOWNGRADES)
def test_each_downgrade_is_needed(row: str, api: Api, namespace: str) -> None:
    """Left out, the server refuses the object: it looks at what it is given, and no row is in vain."""
    for place in OVERLAYS:
        forms = [
            (downgraded(one, namespace), downgraded(one, namespace, but=row))
            for one in rendered(f"overlays/{place}")
        ]
        affected = [left for whole, left in forms if whole != left]
        assert affected or row == "ephemeral volumes"
        names = {f"{one['kind']} {one['metadata']['name']}" for one in affected}
        assert set(refused(api, affected)) == names


def _at(*path: str | int) -> Callable[[Any], Any]:
    return lambda document: functools.reduce(lambda place, part: place[part], path, document)


POD = ("spec", "template", "spec")
# Kind, where, what is put there, and a word of what the server says.
MISTAKES: dict[str, tuple[str, Callable[[Any], Any], dict[str, Any], str]] = {
    "a field that is unknown": ("Deployment", _at("spec"), {"replica": 2}, "replica"),
    "a field of another type": ("Deployment", _at("spec"), {"replicas": "two"}, "replicas"),
    "a selector that does not fit": (
        "Deployment", _at("spec", "selector", "matchLabels"), {"other": "label"}, "selector",
    ),
    "a volume that is not there": (
        "Deployment", _at(*POD, "containers", 0, "volumeMounts", 0), {"name": "nothing"}, "volumeMounts",
    ),
    "a policy that is none": ("Deployment", _at(*POD), {"restartPolicy": "OnFailure"}, "restartPolicy"),
    "a port that is none": ("Service", _at("spec", "ports", 0), {"port": 70000}, "port"),
    "an address that is none": (
        "NetworkPolicy", _at("spec"), {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/40"}}]}]}, "cidr",
    ),
    "more at least than at most": ("HorizontalPodAutoscaler", _at("spec"), {"minReplicas": 9}, "maxReplicas"),
    "both bounds of a budget": ("PodDisruptionBudget", _at("spec"), {"minAvailable": 1}, "minAvailable"),
    "a kind of path that is none": (
        "Ingress", _at("spec", "rules", 0, "http", "paths", 0), {"pathType": "Glob"}, "pathType",
    ),
    "a label that is none": ("ServiceAccount", _at("metadata", "labels"), {"a": "not one!"}, "labels"),
    "a custom field of another type": ("Certificate", _at("spec"), {"dnsNames": "one"}, "dnsNames"),
    "a custom field that is unknown": ("ServiceMonitor", _at("spec"), {"endpointz": ["x"]}, "endpointz"),
    "a custom field that is required": ("Certificate", _at("spec"), {"issuerRef": {"kind": "I"}}, "name"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused(mistake: str, api: Api, namespace: str) -> None:
    kind, find, change, word = MISTAKES[mistake]
    document = downgraded(of_kind("overlays/minikube", kind)[0], namespace)
    assert refused(api, [document]) == {}
    find(document).update(change)
    (said,) = refused(api, [document]).values()
    assert word in said, said
