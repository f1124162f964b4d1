"""In a cluster: is every replica seen, do rules and boards arrive where they are read, is the stack at peace?

Workload: `observed-paced`, 80 requests, counted by each replica. One alert is provoked by taking every engine
away for a while.
Bounds: `cluster-alert-s`, `alert-delivered-s`, `alert-resolved-s`; else exact equality.
Needs: a cluster that was named with --context; a Prometheus in it; of an operator's objects, the operator.
Costs: 15 s, and a minute for the alert.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from instruments.records import Outcome

pytestmark = [
    pytest.mark.observability,
    pytest.mark.claim("eks-s3", "nobody"),
    pytest.mark.needs("cluster"),
]

BOARDS = Path(__file__).parents[2] / "deploy" / "monitoring" / "dashboards"
SCRAPED = ["engine", "gateway"]
PROBES = {"endpoint": ("/health", "/ready")}  # of the kubelet, and nobody's requests
COUNTED_BOUND_S = 15.0
# A healthy stack raises these and no other. Reason, kind and text of a warning; and "ready": only until
# its Pod was ready.
ALLOWED = [
    # A probe waits for what is starting.
    (r"Unhealthy", r"Pod", r"(Startup|Readiness) probe failed", "ready"),
    # A node, a volume or a GPU was still on its way.
    (r"FailedScheduling", r"Pod", r".", "ready"),
    # What is mounted was applied a moment later, or the kubelet had not heard of it.
    (r"FailedMount", r"Pod", r"failed to sync (configmap|secret) cache|not found", "ready"),
    # Two controllers wrote one object; the second one does it again.
    (r"FailedToUpdateEndpoint.*", r"Endpoints|Service", r"has been modified", None),
]
# Of an autoscaler where the cluster measures nothing.
UNMEASURED = (r"Failed(GetResourceMetric|ComputeMetricsReplicas|GetPodsMetric)", r"HorizontalPodAutoscaler")


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("part", SCRAPED)
def test_each_replica_is_scraped(part, cluster_view, targets):
    """Prometheus scrapes each Pod of a part, and no Pod that is not there; each answers"""
    deadline = time.monotonic() + COUNTED_BOUND_S
    while True:  # a Pod that has just become ready is found at the next look of Prometheus
        found, whose = of_part(targets(), part), cluster_view.addresses()
        scraped = sorted(whose.get(host_of(one["labels"]), "nobody") for one in found)
        if scraped == cluster_view.pods(part) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert scraped == cluster_view.pods(part)
    assert still_down(lambda: of_part(targets(), part)) == {}


@pytest.mark.needs("prometheus")
def test_every_target_is_up(targets):
    """Of all that Prometheus scrapes in the namespace, every job's, each target answers"""
    assert targets(), "it scrapes nothing here"
    assert still_down(targets) == {}


def still_down(look):
    """Targets that did not answer within a bound, with why: a scrape that came late is no target down."""
    deadline = time.monotonic() + COUNTED_BOUND_S
    while True:
        down = {one["labels"]["instance"]: one["lastError"] for one in look() if one["health"] != "up"}
        if not down or time.monotonic() > deadline:
            return down
        time.sleep(0.5)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("part", SCRAPED)
def test_a_target_has_the_labels_that_a_monitor_gives(part, cluster_view, targets):
    """Job and instance, by which rules and boards go; what else it says of its Pod is true"""
    found, whose = [one["labels"] for one in of_part(targets(), part)], cluster_view.addresses()
    assert found, "no target"
    for labels in found:
        true = {
            "namespace": cluster_view.cluster.namespace,
            "pod": whose.get(host_of(labels)),
            "container": part,
        }
        assert {name: labels[name] for name in true.keys() & labels.keys()}.items() <= true.items()
        # The operator's name for a port would hide the gateway's own label of that name.
        assert part != "gateway" or "endpoint" not in labels, labels


def of_part(targets, part):
    """The targets of a part's job, as it is called on a host or in a cluster."""
    return [one for one in targets if one["labels"]["job"].removeprefix("vllm-") == part]


def host_of(labels):
    """The address in a target's label."""
    return labels["instance"].rpartition(":")[0]


@pytest.mark.needs("prometheus", "operator")
def test_every_monitor_has_its_targets_up(cluster_view, targets):
    """Each endpoint of each ServiceMonitor has a scrape pool of its name, with targets, and all are up"""
    monitors = cluster_view.monitors()
    assert monitors, "the stack has no ServiceMonitor"
    pools: dict[str, list[str]] = {}
    for one in targets():
        pools.setdefault(one["scrapePool"], []).append(one["health"])
    for pool in (name for monitor in monitors for name in monitor.pools):
        assert pools.get(pool), f"{pool}: no target"
        assert set(pools[pool]) == {"up"}, f"{pool}: {pools[pool]}"


@pytest.mark.needs("prometheus", "operator")
def test_every_rule_object_is_loaded(cluster_view, prometheus):
    """Each group of each PrometheusRule is in Prometheus under its name, with its rules in their order"""
    wanted = cluster_view.rules()
    assert wanted, "the stack has no PrometheusRule"
    namespace, loaded = cluster_view.cluster.namespace, prometheus("/api/v1/rules")["groups"]
    for name, groups in wanted.items():
        own = [one for one in loaded if f"{namespace}-{name}-" in one["file"].rpartition("/")[2]]
        found = {one["name"]: [rule["name"] for rule in one["rules"]] for one in own}
        assert found == groups, f"PrometheusRule {name}"


def test_every_dashboard_is_provisioned(cluster_view):
    """Each dashboard of deploy/monitoring is in a ConfigMap that Grafana's sidecar takes up, word for word"""
    wanted = {path.name: json.loads(path.read_text("utf-8")) for path in BOARDS.glob("*.json")}
    found = cluster_view.dashboards()
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.mark.needs("grafana")
@pytest.mark.parametrize("board", sorted(path.stem for path in BOARDS.glob("*.json")))
def test_grafana_shows_a_dashboard_and_its_panels_have_data(board, grafana, drawn, all_panel_queries):
    """Grafana has the dashboard by its uid, with its panels, and each panel's query gives values there"""
    wanted = json.loads((BOARDS / f"{board}.json").read_text("utf-8"))
    found = grafana("GET", f"/api/dashboards/uid/{wanted['uid']}")["dashboard"]
    assert [one["title"] for one in found["panels"]] == [one["title"] for one in wanted["panels"]]
    asked = [one for one in all_panel_queries if one.board == board and one.empty is None]
    assert [str(one) for one in asked if not drawn(one.query)] == [], "no values"


@pytest.mark.needs("prometheus", "gateway_metrics", "engine_metrics", "exclusive")
def test_replicas_count_together_what_clients_counted(
    cluster_view, stack, load_on, stored, pod_totals, prometheus
):
    """Each replica has its series; their growth over a load adds up, to the last request, to what clients
    counted; at rest a Pod's own page says what Prometheus holds of it"""
    before = {part: counted(stored(part), part, cluster_view) for part in SCRAPED}
    measured = load_on(stack, "observed-paced", name="observability.replicas", requests_measured=80)
    sent = [one for one in measured.run.records if one.sent_ns is not None]
    wanted = {"engine": sum(one.outcome is Outcome.COMPLETED for one in sent), "gateway": len(sent)}
    deadline = time.monotonic() + COUNTED_BOUND_S
    while True:  # a part writes its books after its answer has ended
        after = {part: counted(stored(part), part, cluster_view) for part in SCRAPED}
        grown = {part: sum(after[part].values()) - sum(before[part].values()) for part in SCRAPED}
        if grown == wanted or time.monotonic() > deadline:
            break
    assert grown == wanted
    for part in SCRAPED:
        assert sorted(after[part]) == cluster_view.pods(part), "replicas with series"
        own = pod_totals(part, COUNTERS[part], without=PROBES)
        assert own == after[part], f"{part}: a Pod's own page, and what Prometheus holds of it"


COUNTERS = {"engine": "vllm:request_success_total", "gateway": "gateway_requests_total"}


def counted(snapshot, part, cluster_view):
    """Pod -> its counter of requests in Prometheus, without probes."""
    found: Counter[str] = Counter()
    pods, whose = cluster_view.pods(part), cluster_view.addresses()
    for (name, labels), value in snapshot.samples.items():
        told = dict(labels)
        probed = any(told.get(label) in values for label, values in PROBES.items())
        if name == COUNTERS[part] and not probed:
            # The label of a sole instance is left off.
            found[whose[host_of(told)] if "instance" in told else pods[0]] += value
    return dict(found)


def test_no_container_was_restarted(cluster_view):
    """No container of the stack ended and was started again"""
    containers = cluster_view.containers()
    assert containers, "the stack has no container"
    assert {f"{one.pod}/{one.name}": one.ended for one in containers if one.restarts} == {}


def test_a_healthy_stack_raises_no_warning(cluster_view):
    """No Warning event is in the namespace, but for those of a stack that comes up (ALLOWED, with reasons)"""
    ready_at, is_measured = cluster_view.ready_at(), cluster_view.has_metrics_api()
    there = set(cluster_view.pods())
    left = [
        f"{one['count']} x {one['reason']} on {one['kind']} {one['name']}: {one['message']}"
        for one in cluster_view.warnings()
        if (one["kind"] != "Pod" or one["name"] in there)  # of a Pod that was replaced on purpose is no news
        and not allowed(one, ready_at, is_measured)
    ]
    assert left == []


def allowed(event, ready_at, is_measured):
    """Whether a warning is one of those that a healthy stack raises."""
    told = (event["reason"], event["kind"], event["message"])
    if not is_measured and all(re.fullmatch(*pair) for pair in zip(UNMEASURED, told[:2], strict=True)):
        return True
    for reason, kind, text, until in ALLOWED:
        if re.fullmatch(reason, told[0]) and re.fullmatch(kind, told[1]) and re.search(text, told[2]):
            ready = ready_at.get(event["name"])
            return until is None or (ready is not None and event["last"][:19] <= ready[:19])
    return False


@pytest.mark.disruptive
@pytest.mark.needs("cluster_faults", "prometheus", "alertmanager", "gateway")
@pytest.mark.parametrize("alert", ["NoReplica"])
def test_an_alert_fires_where_no_engine_is_left_and_reaches_alertmanager(alert, engineless, bound):
    """Without an engine the gateway's alert fires, Alertmanager has it, and it is over when that is back"""
    found = engineless(alert)
    assert found.firing_s is not None, f"{found}: not firing within {bound('cluster-alert-s'):g} s"
    assert found.arrived_s is not None, f"{found}: Alertmanager does not have it"
    assert found.labels.get("severity") == "page"
    assert found.over_s is not None, f"{found}: Alertmanager still has it"
