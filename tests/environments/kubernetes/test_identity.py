"""Identity: the same overlay has one hash wherever it is applied; what runs is told by its digest."""

from __future__ import annotations

import copy
from typing import Any

from environments.kubernetes.identity import images_of_pods, objects_hash

SPACE = "vllm-slo-one"


def objects(space: str, *, replicas: int = 2) -> list[dict[str, Any]]:
    return [
        {
            "kind": "Deployment",
            "metadata": {"name": "vllm-gateway", "namespace": space},
            "spec": {"replicas": replicas, "env": [f"http://vllm-engine.{space}.svc:8000"]},
        },
        {"kind": "RoleBinding", "metadata": {"name": "r"}, "subjects": [{"name": "s", "namespace": space}]},
    ]


def test_the_hash_is_the_overlays_and_not_the_namespaces() -> None:
    first = objects_hash(objects(SPACE), SPACE)
    assert first == objects_hash(objects("vllm"), "vllm") == objects_hash(objects(SPACE)[::-1], SPACE)
    assert first != objects_hash(objects(SPACE, replicas=3), SPACE)
    assert first != objects_hash(objects("vllm-slo-one-more"), SPACE), "another's namespace is not this one"


def test_what_differs_in_every_run_is_not_in_it() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "k", "namespace": SPACE}, "data": {"k": "YQ=="}}
    assert objects_hash([*objects(SPACE), secret], SPACE) == objects_hash(objects(SPACE), SPACE)
    before = copy.deepcopy(objects(SPACE))
    given = objects(SPACE)
    objects_hash(given, SPACE)
    assert given == before, "what was handed in stays as it is"


def test_an_image_is_told_by_the_digest_that_the_node_resolved() -> None:
    def pod(component: str, image_id: str) -> dict[str, Any]:
        return {
            "metadata": {"name": "p", "labels": {"app.kubernetes.io/component": component}},
            "status": {"containerStatuses": [{"image": "x:latest", "imageID": image_id}]},
        }

    told = images_of_pods(
        [
            pod("gateway", "docker-pullable://registry.example/gateway@sha256:aa"),
            pod("gateway", "docker-pullable://registry.example/gateway@sha256:bb"),
            pod("engine", "docker://sha256:cc"),
            pod("redis", ""),
        ]
    )
    assert told == {
        "cluster.image.engine": "sha256:cc",
        "cluster.image.gateway": "registry.example/gateway@sha256:aa, registry.example/gateway@sha256:bb",
        "cluster.image.redis": "x:latest",
    }
