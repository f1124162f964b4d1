"""Every rendered object is one that Kubernetes, or the controller it is for, takes: no field is unknown."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from tests.kubernetes.fields import complaint, resources
from tests.kubernetes.rendering import PLACES, Document, rendered

VERSIONS = ("1.35.0", "1.36.0", "1.37.0")


def wrong(document: Document, version: str) -> str | None:
    """What this version of Kubernetes, or the table of custom resources, says against an object."""
    if (document["apiVersion"], document["kind"]) in resources():
        return complaint(document)
    return _wrong(json.dumps(document), version)


@functools.cache  # the places have most of their objects in common
def _wrong(text: str, version: str) -> str | None:
    document = json.loads(text)
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return None


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", PLACES)
def test_kubernetes_takes_every_object(place: str, version: str) -> None:
    found = {
        f"{one['kind']} {one['metadata']['name']}": said
        for one in rendered(place)
        if (said := wrong(one, version))
    }
    assert found == {}


def _at(*path: str | int) -> Callable[[Any], Any]:
    return lambda document: functools.reduce(lambda place, part: place[part], path, document)


MISTAKES = {
    "an unknown kind": ("Service", _at(), {"apiVersion": "v2"}),
    "an unknown field of a Service": ("Service", _at("spec"), {"selectors": {}}),
    "a field of a type that it has not": ("Deployment", _at("spec"), {"progressDeadlineSeconds": "long"}),
    "an unknown field of a probe": (
        "Deployment",
        _at("spec", "template", "spec", "containers", 0, "livenessProbe"),
        {"failureTreshold": 3},
    ),
    "a rule that waits for `2 minutes`": (
        "PrometheusRule",
        _at("spec", "groups", 0, "rules", 0),
        {"for": "2 minutes"},
    ),
    "a monitor with `interval` in its spec": ("ServiceMonitor", _at("spec"), {"interval": "5s"}),
    "a certificate without its Secret": ("Certificate", _at("spec"), {"secretName": None}),
    "a way of rotation that is none": ("Certificate", _at("spec", "privateKey"), {"rotationPolicy": "Often"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    kind, find, change = MISTAKES[mistake]
    document = copy.deepcopy(next(one for one in rendered("overlays/minikube") if one["kind"] == kind))
    assert wrong(document, VERSIONS[0]) is None
    find(document).update(change)
    assert wrong(document, VERSIONS[0]) is not None
