"""Planted faults for claims of a stack in a cluster: manifests without what they need, and Prometheus misled.

They are run where KUBE_TEST_CONTEXT names the context of a cluster. What that one cannot show (an operator,
Grafana, NetworkPolicies that are kept, a node of one's own) its mutants say; there they are run as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .mutant import Mutant
from .overlay import (
    CONTAINER,
    POD,
    Patch,
    Planted,
    added,
    deployment,
    gateway_patched,
    removed,
    scraping,
    without_alert,
)

PODS = "suites/reliability/test_cluster.py"
NODES = "suites/reliability/test_cluster_nodes.py"
PROBES = "suites/reliability/test_cluster_probes.py"
ROLLOUTS = "suites/reliability/test_cluster_rollouts.py"
SEEN = "suites/observability/test_cluster.py"
# Of a simulator, whose start takes seconds: the bounds of the catalog leave room for a model's.
SOON: Mapping[str, Any] = {
    "bounds": {
        "cluster-engine-back-s": 30.0,
        "cluster-gateway-back-s": 30.0,
        "cluster-restarted-s": 30.0,
        "cluster-rollout-s": 45.0,
    }
}
LATE_S = 46  # beyond each of these
GATEWAY = "vllm-gateway"
PYTHON = "/usr/local/bin/python"
LABELS = "/metadata/labels"
RULE = "/spec/groups/0/rules/0"
NOT_THERE = {"exec": {"command": ["/nowhere"]}, "periodSeconds": 2, "failureThreshold": 10_000}


def _sidecar(code: str) -> dict[str, Any]:
    """A second container in a gateway's Pod, which sees its /tmp."""
    quits = "import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(0))"
    return {
        "name": "sidecar",
        "image": "vllm-slo/gateway",
        "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, "-ISc", f"{quits}\n{code}"],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _mutant(name: str, why: str, prepare: Planted | None, file: str, *claims: str, **more: Any) -> Mutant:
    """A fault that claims of one file must find, and only these are asked."""
    scope = tuple(f"{file}::test_{one}" for one in claims)
    return Mutant(name, scope, claims, why, kind="cluster", ground=SOON, prepare=prepare, **more)


def _late(name: str, file: str, *claims: str, beyond_s: int = LATE_S, needs: str = "") -> Mutant:
    """A start that takes long: the kubelet asks nothing of a Pod for so many seconds."""
    operation = added(f"{CONTAINER}/startupProbe/initialDelaySeconds", beyond_s)
    planted = Planted([deployment("vllm-(gateway|engine)", operation)])
    return _mutant(name, f"a Pod is not ready before {beyond_s} s{needs}", planted, file, *claims)


HASTY = Planted(
    [deployment(GATEWAY, removed(f"{CONTAINER}/lifecycle"), added(f"{POD}/terminationGracePeriodSeconds", 1))]
)
HANGS = gateway_patched("hangs-without-engine", "reliability")
HASTY_WHY = "gateways get no moment before their stop, and a second to end"
HANGS_WHY = "a request that finds no engine is left hanging by the gateways"
# Taken for a lack of life, as by a watchdog: what is not ready is ended.
WATCHDOG = _sidecar("while not os.path.exists('/tmp/unready'): time.sleep(0.2)\nos._exit(1)")
ENDS_ONCE = _sidecar(
    "if not os.path.exists('/tmp/been'):\n open('/tmp/been', 'w'); os._exit(1)\ntime.sleep(1e6)"
)


def mislead(jobs: dict[str, dict[str, Any]]) -> None:
    """A target where nobody is, a label that is not true, and series that get lost."""
    jobs["gateway"]["static_configs"] = [{"targets": ["127.0.0.1:9"]}]
    jobs["engine"]["relabel_configs"] = [{"target_label": "container", "replacement": "gateway"}]
    jobs["engine"]["metric_relabel_configs"] = [
        {"source_labels": ["__name__"], "regex": "vllm:request_success_total", "action": "drop"}
    ]


MUTANTS = [
    _mutant("hasty-gateways", HASTY_WHY, HASTY, PODS, "a_deleted_gateway_loses_nothing"),
    _late(
        "late-pods",
        PODS,
        "a_deleted_gateway_is_replaced",
        "a_killed_engine_is_replaced",
        "an_engine_out_of_memory_is_restarted_and_told",
    ),
    _mutant(
        "gateways-hang",
        HANGS_WHY,
        HANGS,
        PODS,
        "a_killed_engine_leaves_nobody_hanging",
        "an_engine_out_of_memory_costs_what_a_killed_one_does",
    ),
    _mutant("gateways-hang-for-long", HANGS_WHY, HANGS, PODS, "a_limit_too_low_is_told_and_mended"),
    _mutant(
        "no-EngineDown-in-a-cluster",
        "Prometheus there has no rule for EngineDown",
        Planted(files=[without_alert("targets.yml", "EngineDown")]),
        PODS,
        "an_engine_that_cannot_start_is_alerted",
    ),
    _mutant(
        "no-budget",
        "no PodDisruptionBudget holds a gateway; needs a node that nobody else uses",
        Planted([Patch("PodDisruptionBudget", GATEWAY, [added("/spec/maxUnavailable", 2)])]),
        NODES,
        "a_drain_asks_the_budget",
    ),
    _mutant(
        "gateways-hang-at-a-drain",
        f"{HANGS_WHY}; needs a node that nobody else uses",
        HANGS,
        NODES,
        "a_drain_leaves_nobody_hanging",
    ),
    _late(
        "late-pods-at-a-drain",
        NODES,
        "a_drained_node_is_used_again",
        needs="; needs a node that nobody else uses",
    ),
    _mutant(
        "gateways-hang-when-cut-off",
        f"{HANGS_WHY}; needs a network that keeps NetworkPolicies",
        HANGS,
        NODES,
        "a_cut_network_leaves_nobody_hanging",
    ),
    _mutant(
        "service-of-the-unready",
        "the gateways' Service leads to Pods that are not ready, too",
        Planted([Patch("Service", GATEWAY, [added("/spec/publishNotReadyAddresses", True)])]),
        PROBES,
        "a_pod_that_is_not_ready_gets_nothing_to_do",
    ),
    _mutant(
        "unready-is-ended",
        "a watchdog in its Pod ends when a gateway is not ready",
        Planted([deployment(GATEWAY, added(f"{POD}/containers/-", WATCHDOG))]),
        PROBES,
        "a_pod_that_is_ready_again_is_used_again",
    ),
    _late("late-pods-by-probe", PROBES, "a_container_that_is_not_alive_is_restarted", beyond_s=32),
    _mutant("hasty-gateways-by-probe", HASTY_WHY, HASTY, PROBES, "a_restart_by_its_probe_cuts_no_stream"),
    _mutant(
        "gateways-before-their-like",
        "a rollout of gateways ends one before another has come",
        Planted(
            [deployment(GATEWAY, added("/spec/strategy/rollingUpdate", {"maxUnavailable": 1, "maxSurge": 0}))]
        ),
        ROLLOUTS,
        "a_rollout_of_gateways_fails_no_stream",
        "an_image_that_cannot_be_pulled_costs_nothing",
    ),
    _late(
        "late-pods-in-rollouts",
        ROLLOUTS,
        "a_rollout_of_gateways_ends",
        "a_rollout_of_the_engine_ends",
    ),
    _mutant(
        "gateways-hang-in-rollouts",
        HANGS_WHY,
        HANGS,
        ROLLOUTS,
        "a_rollout_of_the_engine_leaves_nobody_hanging",
    ),
    _mutant(
        "rollouts-paused",
        "the Deployment of the gateways is paused",
        None,
        ROLLOUTS,
        "a_rollout_that_failed_is_told",
        after="gateways-paused",
    ),
    _mutant(
        "scraped-badly",
        "Prometheus has a target where nobody is, a label that is not true, and loses a series",
        Planted(files=[scraping(mislead)]),
        SEEN,
        "each_replica_is_scraped",
        "every_target_is_up",
        "a_target_has_the_labels_that_a_monitor_gives",
        "replicas_count_together_what_clients_counted",
    ),
    _mutant(
        "uneasy",
        "a sidecar ends once, a liveness probe asks for what is not there, a board is no sidecar's",
        Planted(
            [
                deployment(GATEWAY, added(f"{POD}/containers/-", ENDS_ONCE)),
                deployment("vllm-redis", added(f"{CONTAINER}/livenessProbe", NOT_THERE)),
                Patch("ConfigMap", "vllm-slo-dashboard-engine", [added(f"{LABELS}/grafana_dashboard", "0")]),
            ]
        ),
        SEEN,
        "every_dashboard_is_provisioned",
        "no_container_was_restarted",
        "a_healthy_stack_raises_no_warning",
    ),
    _mutant(
        "no-NoReplica-in-a-cluster",
        "Prometheus there has no rule for NoReplica",
        Planted(files=[without_alert("gateway.yml", "NoReplica")]),
        SEEN,
        "an_alert_fires_where_no_engine_is_left_and_reaches_alertmanager",
    ),
    _mutant(
        "monitor-finds-nobody",
        "a ServiceMonitor selects no Service; needs an operator of Prometheus",
        Planted([Patch("ServiceMonitor", GATEWAY, [added("/spec/selector/matchLabels", {"app": "nobody"})])]),
        SEEN,
        "every_monitor_has_its_targets_up",
        also=("each_replica_is_scraped",),
    ),
    _mutant(
        "rule-object-refused",
        "a PrometheusRule has an expression that is none; needs an operator of Prometheus",
        Planted([Patch("PrometheusRule", "vllm-slo-targets", [added(f"{RULE}/expr", "sum(")])]),
        SEEN,
        "every_rule_object_is_loaded",
    ),
    _mutant(
        "board-withheld",
        "a board is in no ConfigMap that Grafana's sidecar takes up; needs Grafana",
        Planted(
            [Patch("ConfigMap", "vllm-slo-dashboard-engine", [added(f"{LABELS}/grafana_dashboard", "0")])]
        ),
        SEEN,
        "grafana_shows_a_dashboard_and_its_panels_have_data",
    ),
]
