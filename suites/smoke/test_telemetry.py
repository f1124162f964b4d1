"""Do the numbers hold? Metrics exist, clients and server counted alike to the token, no alert fires."""

from __future__ import annotations

import time

import httpx
import pytest

from instruments.slo.conservation import LAWS

pytestmark = [pytest.mark.smoke, pytest.mark.claim("eks-s3", "gateway-rtx3090")]

WORKLOADS = ["lone-user", "four-users"]
SCRAPED_WITHIN_S = 10.0


@pytest.mark.needs("engine_metrics", "gateway_metrics")
def test_every_metric_that_rules_and_dashboards_name_exists(named_metrics, exposed_metrics):
    """No rule and no panel asks for a metric that nobody exposes"""
    assert named_metrics, "rules and dashboards name no metric at all"
    absent = {name: places for name, places in named_metrics.items() if name not in exposed_metrics}
    assert not absent


@pytest.mark.needs("engine_metrics", "exclusive")
@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize("law", LAWS)
def test_clients_and_server_counted_alike(measure, law_of, law, workload):
    """What clients saw and what the server counted obey the laws of conservation, in exact numbers"""
    law_of(measure(workload), law).require_met()


@pytest.mark.needs("prometheus", "engine_metrics", "exclusive")
def test_prometheus_and_direct_scrape_agree(telemetry, scrape):
    """Prometheus holds the same counters that the engine shows when asked directly"""
    stored, shown = telemetry.snapshot(), scrape.snapshot()
    for name in ("vllm:generation_tokens_total", "vllm:prompt_tokens_total", "vllm:request_success_total"):
        assert shown.total(name) is not None, name
        assert stored.total(name) == shown.total(name), name


@pytest.mark.needs("prometheus", "gateway")
def test_prometheus_reports_its_targets_up(prometheus):
    """Engine and gateway are scraped, and whatever else is meant to be"""
    until_s = time.monotonic() + SCRAPED_WITHIN_S
    found = prometheus("/api/v1/targets")["activeTargets"]
    # One that was found a moment ago has not been scraped yet: unknown is no error.
    while any(one["health"] == "unknown" for one in found) and time.monotonic() < until_s:
        time.sleep(0.2)
        found = prometheus("/api/v1/targets")["activeTargets"]
    assert {one["scrapeUrl"]: one["lastError"] for one in found if one["health"] != "up"} == {}
    assert {one["labels"]["job"] for one in found} >= {"engine", "gateway"}


@pytest.mark.needs("prometheus", "gateway")
def test_the_rules_are_loaded(prometheus):
    """Prometheus evaluates the rules of this repository, without an error"""
    rules = [rule for group in prometheus("/api/v1/rules")["groups"] for rule in group["rules"]]
    assert {rule["type"] for rule in rules} == {"recording", "alerting"}
    # A group that is evaluated each 30 s has not been yet, early in a session: unknown is no error.
    assert {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"} == {}
    assert any(rule["health"] == "ok" for rule in rules)


@pytest.mark.needs("prometheus", "exclusive")
@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_alert_is_pending_or_firing_under_healthy_load(measure, prometheus, workload):
    """From the first request of a load to its last, no alert fires, and none is on the way to"""
    run = measure(workload).run
    window = f"[{run.window.duration_s:.0f}s] @ {run.anchor.unix_s(run.window.end_ns):.3f}"
    asked = f"count by (alertname, alertstate) (count_over_time(ALERTS{window}))"
    assert [one["metric"] for one in prometheus("/api/v1/query", query=asked)["result"]] == []
    scraped = prometheus("/api/v1/query", query=f"count_over_time(up{window})")["result"]
    assert scraped, "Prometheus holds nothing of the time of the load: its silence proves nothing"


@pytest.mark.needs("alertmanager", "prometheus")
def test_alerts_would_arrive(stack, prometheus):
    """Prometheus knows where alerts go, and Alertmanager is there to take them"""
    known = [one["url"] for one in prometheus("/api/v1/alertmanagers")["activeAlertmanagers"]]
    # In a cluster Prometheus knows it by an address in there, and we by one that leads in.
    assert known if stack.cluster else [url for url in known if url.startswith(stack.alertmanager_url)]
    assert httpx.get(f"{stack.alertmanager_url}/-/ready", trust_env=False, timeout=10.0).status_code == 200


@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_the_model(telemetry, stack):
    """Prometheus holds the served model's own metrics, scraped just now"""
    held = telemetry.snapshot().total("vllm:num_requests_running", model_name=stack.model)
    assert held is not None
    assert held >= 0
