"""Parts: what is a death and what is none, with the last words of the container that ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.kubernetes.api import Api, ApiError
from environments.kubernetes.parts import ClusterPart, PodView
from environments.provider import StackDied
from tests.environments.kubernetes.keeping_api import Kept, kept_cluster

SPACE = "vllm-slo-run"
LABEL = "app.kubernetes.io/component"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Kept, Api]]:
    with kept_cluster(tmp_path) as found:
        yield found


def pod(kept: Kept, name: str, component: str = "gateway", *, restarts: int = 0, **more: Any) -> None:
    status = {"name": component, "restartCount": restarts, "state": {"running": {}}, **more}
    kept.put(
        f"/api/v1/namespaces/{SPACE}/pods/{name}",
        metadata={"labels": {LABEL: component}},
        spec={"containers": [{"name": component}]},
        status={"containerStatuses": [status]},
    )


def ended(reason: str, code: int) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code}}


@pytest.fixture
def gateway(cluster: tuple[Kept, Api], monkeypatch: pytest.MonkeyPatch) -> ClusterPart:
    """Two Pods that run; each check asks anew."""
    kept, api = cluster
    monkeypatch.setattr("environments.kubernetes.parts.FRESH_S", 0.0)
    pod(kept, "g-1")
    pod(kept, "g-2", restarts=3)
    pod(kept, "e-1", "engine")
    part = ClusterPart("gateway", PodView(api, SPACE), {LABEL: "gateway"})
    part.look()
    part.check()
    return part


def test_a_container_that_was_restarted_is_a_death_with_the_last_lines_of_the_one_before(
    cluster: tuple[Kept, Api], gateway: ClusterPart
) -> None:
    kept, _ = cluster
    pod(kept, "g-1", restarts=1, lastState=ended("OOMKilled", 137))
    kept.logs = {"g-1/gateway": "the new one", "g-1/gateway/previous": "allocating 1 TiB"}
    with pytest.raises(StackDied) as death:
        gateway.check()
    assert death.value.component == "gateway"
    assert death.value.what == "g-1/gateway was restarted: OOMKilled, exit code 137"
    assert death.value.log_tail == "allocating 1 TiB"


def test_a_container_that_ended_and_is_not_started_yet_is_a_death(
    cluster: tuple[Kept, Api], gateway: ClusterPart
) -> None:
    pod(cluster[0], "g-1", state=ended("Error", 3))
    with pytest.raises(StackDied, match="g-1/gateway ended: Error, exit code 3"):
        gateway.check()


def test_a_pod_that_went_or_is_going_is_a_death_and_another_part_s_is_not(
    cluster: tuple[Kept, Api], gateway: ClusterPart
) -> None:
    kept, _ = cluster
    del kept.objects[f"/api/v1/namespaces/{SPACE}/pods/e-1"]
    gateway.check()
    kept.objects[f"/api/v1/namespaces/{SPACE}/pods/g-2"]["metadata"]["deletionTimestamp"] = "now"
    with pytest.raises(StackDied, match="the Pod g-2 was deleted"):
        gateway.check()
    del kept.objects[f"/api/v1/namespaces/{SPACE}/pods/g-2"]
    pod(kept, "g-3")
    with pytest.raises(StackDied, match="the Pod g-2 was deleted"):
        gateway.check()
    gateway.look()
    gateway.check()


def test_where_something_scales_it_a_pod_may_go_and_the_last_may_not(
    cluster: tuple[Kept, Api], gateway: ClusterPart
) -> None:
    kept, _ = cluster
    scaled = ClusterPart("gateway", gateway.view, gateway.labels, is_scaled=True)
    scaled.look()
    del kept.objects[f"/api/v1/namespaces/{SPACE}/pods/g-2"]
    scaled.check()
    del kept.objects[f"/api/v1/namespaces/{SPACE}/pods/g-1"]
    with pytest.raises(StackDied, match="no Pod of it is left"):
        scaled.check()


def test_a_pod_that_came_is_known_from_then_on(cluster: tuple[Kept, Api], gateway: ClusterPart) -> None:
    kept, _ = cluster
    pod(kept, "g-3", restarts=2)
    gateway.check()
    pod(kept, "g-3", restarts=3, lastState=ended("Error", 1))
    with pytest.raises(StackDied, match="g-3/gateway was restarted: Error, exit code 1"):
        gateway.check()


def test_all_parts_of_a_stack_share_one_question(cluster: tuple[Kept, Api]) -> None:
    kept, api = cluster
    pod(kept, "g-1")
    pod(kept, "e-1", "engine")
    view = PodView(api, SPACE)
    parts = [ClusterPart(name, view, {LABEL: name}) for name in ("gateway", "engine")]
    for part in parts:
        part.look()
    kept.asked.clear()
    for part in parts * 10:
        part.check()
    assert len(kept.asked) <= 1
    parts[0].look()
    assert kept.asked[-1] == f"GET /api/v1/namespaces/{SPACE}/pods"


def test_a_server_that_says_nothing_is_no_death_and_after_a_minute_an_error(
    cluster: tuple[Kept, Api], gateway: ClusterPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster[0].is_away = True
    gateway.check()
    monkeypatch.setattr("environments.kubernetes.parts.AWAY_BOUND_S", 0.0)
    with pytest.raises(ApiError, match="no answer from the API server"):
        gateway.check()
