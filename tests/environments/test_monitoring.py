"""Monitoring beside a stack: its configuration passes its programs' own checks; an alert really arrives."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import yaml

from environments.monitoring import (
    RULES,
    Monitoring,
    alertmanager_config,
    prometheus_config,
    start_monitoring,
    wait_for_monitoring,
)
from environments.profile import EngineProfile, ExporterProfile, Profile
from instruments.errors import ConfigurationError
from tests.deploy.alerting import MONITORING, alerts, tool
from tests.deploy.monitored_stack import hasty_rules

TARGETS = {"engine": ["127.0.0.1:8000", "127.0.0.1:8002"], "gateway": "127.0.0.1:8001"}
RECEIVER = "http://127.0.0.1:9094/alerts"
BOUND_S = 45.0


@pytest.mark.parametrize("alert_port", [None, 9093], ids=["alone", "with-alertmanager"])
def test_promtool_accepts_the_generated_configuration(tmp_path: Path, alert_port: int | None) -> None:
    for path in RULES.glob("*.yml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(prometheus_config(TARGETS, alert_port)))
    said = tool("promtool", "check", "config", tmp_path / "prometheus.yml", cwd=tmp_path)
    assert f"SUCCESS: {len([*RULES.glob('*.yml')])} rule files found" in said
    assert "is valid prometheus config file syntax" in said


def test_promtool_accepts_the_hosts_configuration(tmp_path: Path) -> None:
    shutil.copytree(MONITORING / "prometheus", tmp_path, dirs_exist_ok=True)
    shutil.copytree(RULES, tmp_path / "rules")
    said = tool("promtool", "check", "config", tmp_path / "prometheus.yml", cwd=tmp_path)
    assert f"SUCCESS: {len([*RULES.glob('*.yml')])} rule files found" in said
    jobs = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name for job in jobs for one in job["file_sd_configs"] for name in one["files"]}
    assert asked | {"targets/alertmanager.yml"} == {
        f"targets/{path.name}" for path in (tmp_path / "targets").glob("*.yml")
    }


def test_every_target_is_scraped_under_the_name_of_its_part() -> None:
    """And keeps what the host's configuration says of its job."""
    jobs = {job["job_name"]: job for job in prometheus_config(TARGETS, None)["scrape_configs"]}
    assert {name: job["static_configs"][0]["targets"] for name, job in jobs.items()} == {
        "engine": ["127.0.0.1:8000", "127.0.0.1:8002"],
        "gateway": ["127.0.0.1:8001"],
    }
    assert jobs["engine"]["sample_limit"] == 20000
    assert not any("file_sd_configs" in job for job in jobs.values())


def test_only_a_stub_that_was_asked_for_is_marked_as_one() -> None:
    for stub, labels in ((True, {"readings": "stub"}), (False, None)):
        (job,) = prometheus_config({"exporter": "127.0.0.1:9400"}, None, stub=stub)["scrape_configs"]
        assert job["static_configs"][0].get("labels") == labels


def test_a_target_of_a_job_that_no_rule_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a target of a job that no rule knows"):
        prometheus_config({"gatweay": "127.0.0.1:1"}, None)


def test_amtool_accepts_both_configurations(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_config(RECEIVER)))
    for path in (tmp_path / "alertmanager.yml", MONITORING / "alertmanager" / "alertmanager.yml"):
        assert "SUCCESS" in tool("amtool", "check-config", path)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=page", "page"),
        ("severity=ticket", "ticket"),
        ("alertname=Unlabelled", "ticket"),
    ],
)
def test_a_page_wakes_somebody_and_nothing_is_dropped(labels: str, receiver: str) -> None:
    path = MONITORING / "alertmanager" / "alertmanager.yml"
    said = tool("amtool", "config", "routes", "test", f"--config.file={path}", labels)
    assert said.splitlines()[-1] == receiver


def test_the_suites_routes_and_inhibitions_are_productions() -> None:
    ours = alertmanager_config(RECEIVER)
    theirs = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yml").read_text())
    assert ours["inhibit_rules"] == theirs["inhibit_rules"]
    assert [one["matchers"] for one in ours["route"]["routes"]] == [
        one["matchers"] for one in theirs["route"]["routes"]
    ]
    urls = {one["url"] for receiver in ours["receivers"] for one in receiver["webhook_configs"]}
    assert urls == {RECEIVER}


def test_one_engine_that_is_down_does_not_keep_quiet_that_no_replica_is_left() -> None:
    """And each name in an inhibition is an alert's: a misspelt one would inhibit nothing."""
    rules = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    known = {*alerts(), "SloBurnRate"}
    for rule in rules:
        source, target = (_alerts_named(rule[f"{side}_matchers"]) for side in ("source", "target"))
        assert source | target <= known
        assert not (source & {"EngineDown", "EngineNotFound"} and "NoReplica" in target)


def _alerts_named(matchers: Sequence[str]) -> set[str]:
    [names] = [words for one in matchers for words in re.findall(r'^alertname =~? "?([\w|]+)"?$', one)]
    return set(names.split("|"))


class Sick(BaseHTTPRequestHandler):
    """An engine whose metrics cannot be had until it is well."""

    well = False

    def do_GET(self) -> None:
        body = b"vllm:num_requests_running 0\n"
        self.send_response(200 if Sick.well else 503)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""


@pytest.fixture
def monitored(tmp_path: Path) -> Iterator[Monitoring]:
    """Real Prometheus, Alertmanager and receiver, and an engine that is not well."""
    Sick.well = False
    profile = Profile("t", "t", "local", EngineProfile("simulator"), exporter=ExporterProfile("none"))
    with ExitStack() as cleanup:
        cleanup.enter_context(hasty_rules(tmp_path / "rules"))
        server = cleanup.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Sick))
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        cleanup.callback(server.shutdown)
        targets = {"engine": f"127.0.0.1:{server.server_address[1]}"}
        running = start_monitoring(profile, tmp_path / "monitoring", tmp_path / "logs", targets)
        for part in running.components:
            cleanup.callback(part.stop)
        if running.receiver_url is None:
            pytest.skip(running.note or "no Alertmanager on this machine")
        with httpx.Client(trust_env=False) as client:
            wait_for_monitoring(running, {"prometheus"}, client)
        yield running


def test_an_alert_fires_is_delivered_and_is_resolved(monitored: Monitoring, tmp_path: Path) -> None:
    """EngineDown: a moment after the first scrape that failed; over when one does not."""
    assert monitored.receiver_url is not None
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        down = delivered(monitored.receiver_url, client, "EngineDown", "firing")
        assert down["receiver"] == "page"
        assert down["labels"]["job"] == "engine"
        assert down["annotations"]["summary"].startswith("Prometheus cannot scrape the engine 127.0.0.1:")
        Sick.well = True
        done = delivered(monitored.receiver_url, client, "EngineDown", "resolved")
        assert done["fingerprint"] == down["fingerprint"]
    lines = (tmp_path / "logs" / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines if '"EngineDown"' in line] == ["firing", "resolved"]


def delivered(url: str, client: httpx.Client, alert: str, status: str) -> dict[str, Any]:
    """The first such alert that the receiver has, asked for until it is there."""
    deadline = time.monotonic() + BOUND_S
    while True:
        came: list[dict[str, Any]] = client.get(url).raise_for_status().json()
        for one in came:
            if one["labels"]["alertname"] == alert and one["status"] == status:
                return one
        seen = [(one["labels"]["alertname"], one["status"]) for one in came]
        assert time.monotonic() < deadline, f"{alert} {status}: not within {BOUND_S} s; came: {seen}"
        time.sleep(0.2)
