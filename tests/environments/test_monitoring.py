"""Monitoring: what is generated passes its own programs' checks, and each alert fires when it should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.binaries import ROOT, find_monitoring
from environments.monitoring import RULES, alertmanager_config, prometheus_config

RULES_TEST = Path(__file__).with_name("rules_test.yml")
# Made of objectives: tests/instruments/test_rules_catalog.py sees each of its alerts fire, and each silent.
GENERATED = RULES / "slo.yml"
TARGETS = {"engine": "127.0.0.1:8000", "gateway": "127.0.0.1:8001"}
BOUND_S = 60.0


def run(name: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run a monitoring tool: what it said, AssertionError with it when the tool complains."""
    found = find_monitoring(name)
    if found is None:
        pytest.skip(f"no {name} on this machine: `make setup` unpacks one")
    done = subprocess.run(
        [found.path, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def rules(*without: Path) -> list[dict[str, Any]]:
    paths = [path for path in sorted(RULES.glob("*.yml")) if path not in without]
    documents = [yaml.safe_load(path.read_text()) for path in paths]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("alert_port", [None, 9093], ids=["alone", "with-alertmanager"])
def test_promtool_accepts_the_generated_configuration(tmp_path: Path, alert_port: int | None) -> None:
    for path in RULES.glob("*.yml"):
        shutil.copy(path, tmp_path)
    config = prometheus_config(TARGETS, alert_port)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    said = run("promtool", "check", "config", tmp_path / "prometheus.yml", cwd=tmp_path)
    assert "SUCCESS: 2 rule files found" in said
    assert "is valid prometheus config file syntax" in said


def test_every_target_is_scraped_under_the_name_of_its_part() -> None:
    jobs = prometheus_config(TARGETS, None)["scrape_configs"]
    assert {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs} == {
        "engine": ["127.0.0.1:8000"],
        "gateway": ["127.0.0.1:8001"],
    }


def test_amtool_accepts_the_generated_configuration(tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_config()))
    said = run("amtool", "check-config", tmp_path / "alertmanager.yml", cwd=tmp_path)
    assert "SUCCESS" in said


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path) -> None:
    count = len([rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]])
    assert f"SUCCESS: {count} rules found" in run("promtool", "check", "rules", path)


def test_alerts_fire_and_rules_record_what_was_worked_out_by_hand() -> None:
    assert "SUCCESS" in run("promtool", "test", "rules", RULES_TEST, cwd=RULES_TEST.parent)


def test_each_alert_is_seen_firing_and_each_is_seen_silent() -> None:
    """The file of hand-worked series is complete: no alert was added without them."""
    tests = yaml.safe_load(RULES_TEST.read_text())["tests"]
    asked = [one for test in tests for one in test.get("alert_rule_test", ())]
    alerts = {rule["alert"] for rule in rules(GENERATED) if "alert" in rule}
    assert alerts
    assert {one["alertname"] for one in asked if one["exp_alerts"]} == alerts
    assert {one["alertname"] for one in asked if not one["exp_alerts"]} == alerts


def test_every_rules_file_is_among_those_that_are_tried_by_hand() -> None:
    named = {
        (RULES_TEST.parent / path).resolve() for path in yaml.safe_load(RULES_TEST.read_text())["rule_files"]
    }
    assert named == {path.resolve() for path in RULES.glob("*.yml")} - {GENERATED}


def test_rules_that_look_at_many_windows_are_evaluated_seldom() -> None:
    """Prometheus evaluates each second here unless told otherwise, on two cores, beside an engine."""
    groups = yaml.safe_load(GENERATED.read_text())["groups"]
    assert groups
    assert {group["interval"] for group in groups} == {"15s", "30s"}


def test_no_two_rules_files_record_the_same() -> None:
    recorded = {rule["record"] for rule in rules(GENERATED) if "record" in rule}
    generated = {
        rule["record"] for rule in rules(*set(RULES.glob("*.yml")) - {GENERATED}) if "record" in rule
    }
    assert recorded
    assert generated
    assert recorded.isdisjoint(generated)


def test_each_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert rule["annotations"]["summary"], rule["alert"]
