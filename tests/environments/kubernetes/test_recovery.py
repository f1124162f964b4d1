"""Recovery: what recorded objects tell, worked out by hand; whole seconds are told as intervals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from environments.kubernetes.api import Api
from environments.kubernetes.recording import Recorder, told
from environments.kubernetes.recovery import (
    Fact,
    Span,
    Timeline,
    between,
    clock_offset,
    facts_of_deployment,
    facts_of_event,
    facts_of_pod,
    instant,
    nodes_ahead,
    well_at,
)


class OnePod:
    """What is asked of an API by who records: one Pod, ready since 04:00:08."""

    def all(self, api_version: str, kind: str, namespace: str) -> list[dict[str, Any]]:
        return [a_pod(since="04:00:08")] if kind == "Pod" else []


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-22T{text}+00:00")


def a_pod(
    name: str = "vllm-gateway-a", *, ready: str = "True", since: str = "04:00:07", **more: Any
) -> dict[str, Any]:
    """A Pod as a server of version 1.20 gave it, cut down to what is read."""
    conditions = [
        {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-11-22T04:00:02Z"},
        {"type": "Ready", "status": ready, "lastTransitionTime": f"2026-11-22T{since}Z"},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-22T04:00:01Z"},
    ]
    running = {"running": {"startedAt": "2026-11-22T04:00:05Z"}}
    status = {
        "name": "gateway",
        "restartCount": 0,
        "state": running,
        "lastState": {},
        **more.pop("container", {}),
    }
    labels = {"app.kubernetes.io/component": "gateway"}
    metadata = {"name": name, "creationTimestamp": "2026-11-22T04:00:01Z", "labels": labels, **more}
    return {"metadata": metadata, "status": {"conditions": conditions, "containerStatuses": [status]}}


def words(facts: set[Fact]) -> dict[str, datetime]:
    return {one.what: one.at for one in facts}


def test_a_pod_tells_its_way_to_readiness() -> None:
    assert words(facts_of_pod(a_pod())) == {
        "created": at("04:00:01"),
        "scheduled": at("04:00:01"),
        "container gateway started": at("04:00:05"),
        "ready": at("04:00:07"),
    }
    assert {(one.subject, one.component) for one in facts_of_pod(a_pod())} == {
        ("Pod vllm-gateway-a", "gateway")
    }


def test_a_deletion_is_dated_back_by_its_grace() -> None:
    # The server wrote 04:02:40 for a deletion with 90 s of grace: it was asked for at 04:01:10.
    going = a_pod(deletionTimestamp="2026-11-22T04:02:40Z", deletionGracePeriodSeconds=90)
    assert words(facts_of_pod(going))["deletion asked for"] == at("04:01:10")


def test_a_container_that_ended_tells_why() -> None:
    ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-11-22T04:05:11Z"}
    again = {"running": {"startedAt": "2026-11-22T04:05:12Z"}}
    found = words(facts_of_pod(a_pod(container={"state": again, "lastState": {"terminated": ended}})))
    assert found["container gateway ended: OOMKilled, exit code 137"] == at("04:05:11")
    assert found["container gateway started"] == at("04:05:12")


def test_a_pod_that_waits_for_its_place_tells_its_making_alone() -> None:
    waiting = {
        "metadata": {"name": "p", "creationTimestamp": "2026-11-22T04:00:01Z"},
        "status": {"phase": "Pending"},
    }
    assert words(facts_of_pod(waiting)) == {"created": at("04:00:01")}


def test_a_deployment_tells_that_its_rollout_failed() -> None:
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "lastTransitionTime": "2026-11-22T04:10:00Z",
    }
    found = facts_of_deployment({"metadata": {"name": "vllm-gateway"}, "status": {"conditions": [condition]}})
    (fact,) = found
    assert (fact.at, fact.subject) == (at("04:10:00"), "Deployment vllm-gateway")
    assert fact.what == "Progressing False: ProgressDeadlineExceeded"


@pytest.mark.parametrize(
    ("kind", "reason", "kept"),
    [("Warning", "Unhealthy", True), ("Normal", "Killing", True), ("Normal", "Pulled", False)],
)
def test_of_events_warnings_and_killings_are_kept(kind: str, reason: str, kept: bool) -> None:
    event = {
        "type": kind,
        "reason": reason,
        "message": "said \n so",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "lastTimestamp": "2026-11-22T04:00:09Z",
    }
    assert facts_of_event(event) == ({Fact(at("04:00:09"), "Pod p", f"{reason}: said so")} if kept else set())


def test_whole_seconds_are_an_interval() -> None:
    # From 01.999 to 05.000 it is 3.001 s, from 01.000 to 05.999 it is 4.999 s: both are told as 01 to 05.
    assert between(at("04:00:01"), at("04:00:05")) == Span(3.0, 5.0)
    # 04:00:01.0 to 04:00:01.9 is 0.9 s, and what comes after is never before.
    assert between(at("04:00:01"), at("04:00:01")) == Span(0.0, 1.0)
    assert str(Span(3.0, 5.0)) == "3 to 5 s"


def test_what_a_node_tells_by_its_own_clock_is_wider_by_how_far_that_may_be_off() -> None:
    # The API server is 0.1 to 0.3 s ahead of us, the nodes 2.0 to 2.2 and 2.5 to 2.6 s: of it 1.7 to 2.5 s.
    ahead = nodes_ahead(Span(0.1, 0.3), [Span(2.0, 2.2), Span(2.5, 2.6)])
    assert ahead is not None
    assert [ahead.low_s, ahead.high_s] == pytest.approx([1.7, 2.5])
    # Told 6 s by a node's clock: 4.5 s at least off that, and one of the server's own may be the whole 7 s.
    assert str(between(at("04:00:10"), at("04:00:16"), ahead)) == "2.5 to 7 s"
    # Nodes that are 3 s behind told 2 s, when 5 s were over.
    assert between(at("04:00:10"), at("04:00:12"), Span(-3.0, -3.0)) == Span(1.0, 6.0)
    assert nodes_ahead(None, [Span(0.0, 0.1)]) is None
    assert nodes_ahead(Span(0.0, 0.1), [Span(0.0, 0.1), None]) is None


def test_a_node_that_is_behind_tells_of_what_came_after_the_fault() -> None:
    """Ready 1 s after the fault, by a clock that is 3 s behind: 2 s before it, as it tells."""
    recorder = Recorder(cast(Api, OnePod()), "space")
    found = recorder.timeline(at("04:00:10"), Span(-3.2, -2.9))
    assert str(found.well_after()) == "0 to 2.2 s"
    assert [one.what for one in found.facts] == ["ready"]
    assert found.document()["nodes_ahead_s"] == [-3.2, -2.9]
    assert recorder.timeline(at("04:00:10")).well_after() is None


def test_all_is_well_when_the_last_pod_had_become_ready() -> None:
    began = at("04:00:10")
    pods = [a_pod(since="04:00:07"), a_pod("b", since="04:00:16"), a_pod("c", since="04:00:14")]
    assert well_at(pods, began) == at("04:00:16")
    assert well_at(pods[:1], began) is None, "it was ready before, and nothing had to come back"
    with pytest.raises(ValueError, match="d is not ready"):
        well_at([*pods, a_pod("d", ready="False")], began)


def test_a_timeline_says_how_long_after_the_fault() -> None:
    began = at("04:00:10")
    facts = (
        Fact(at("04:00:10"), "Pod a", "deletion asked for", "gateway"),
        Fact(at("04:00:16"), "Pod b", "ready"),
    )
    found = Timeline(began, facts, at("04:00:16"), (("gateway", 1),), looks=20)
    assert found.well_after() == Span(5.0, 7.0)
    assert found.first("deletion") == facts[0]
    assert found.first("deletion", "engine") is None
    assert found.document()["facts"][1]["after_s"] == [5.0, 7.0]
    assert found.table().splitlines()[2] == "      5 to 7 s  Pod b: ready"


def test_until_it_is_ready_for_the_first_time_a_pod_is_not_unready() -> None:
    fresh = Fact(at("04:00:02"), "Pod new", "not ready")
    first = Fact(at("04:00:04"), "Pod new", "ready")
    again = Fact(at("04:00:09"), "Pod new", "not ready")
    never = Fact(at("04:00:03"), "Pod other", "not ready")
    assert set(told({fresh, first, again, never})) == {first, again}


def test_samples_of_a_clock_narrow_its_offset() -> None:
    # The other is 10.3 s ahead. Asked at 0.1 and answered at 0.2, it was 10.4 to 10.5 there: told 10.
    # Asked at 0.75 and answered at 0.8, it was 11.05 to 11.1: told 11. So 11 - 0.8 to 10 + 1 - 0.1.
    found = clock_offset([(0.1, 10.0, 0.2), (0.75, 11.0, 0.8)])
    assert found is not None
    assert found.low_s == pytest.approx(10.2)
    assert found.high_s == pytest.approx(10.9)
    assert found.low_s <= 10.3 <= found.high_s
    assert clock_offset([(0.0, 10.0, 0.1), (1.0, 20.0, 1.1)]) is None, "a clock that was set meanwhile"


def test_an_instant_is_read_in_any_zone() -> None:
    assert instant("2026-11-22T05:00:00+01:00") == datetime(2026, 11, 22, 4, tzinfo=UTC)
