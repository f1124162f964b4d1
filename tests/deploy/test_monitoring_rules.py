"""The rules as a whole: Prometheus takes them; each alert has stories, its urgency, a page to turn to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from environments.binaries import ROOT
from tests.deploy import (
    test_monitoring_alerts_engine,
    test_monitoring_alerts_gateway,
    test_monitoring_alerts_gpu,
    test_monitoring_alerts_targets,
)
from tests.deploy.alerting import GENERATED, OURS, RULES, alerts, rules_in, tool

STORIES = [
    *test_monitoring_alerts_engine.STORIES,
    *test_monitoring_alerts_gateway.STORIES,
    *test_monitoring_alerts_gpu.STORIES,
    *test_monitoring_alerts_targets.STORIES,
]


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml")), ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path) -> None:
    said = tool("promtool", "check", "rules", path)
    assert f"SUCCESS: {len(rules_in(path))} rules found" in said


def test_each_alert_is_seen_firing_and_each_is_seen_silent() -> None:
    """No alert was added without its stories."""
    assert {one.alert for story in STORIES for one in story.fires} == alerts().keys()
    assert {alert for story in STORIES for alert, _ in story.silent} >= alerts().keys() - {"GpuXid"}


def test_xids_are_seen_silent_beside_those_that_fire() -> None:
    """GpuXid's story has six codes that are no alert, in the same instant as those that are."""
    told = [story for story in STORIES if any(one.alert == "GpuXid" for one in story.fires)]
    assert any(len(story.series) > len(story.fires) for story in told)


def test_each_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in rules_in(*RULES.glob("*.yml")):
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert rule["annotations"]["summary"], rule["alert"]


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alerts_runbook_is_a_section_of_a_page_that_is_there(name: str) -> None:
    page, _, anchor = alerts()[name]["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_no_two_rules_files_record_the_same() -> None:
    recorded = [rule["record"] for rule in rules_in(*OURS) if "record" in rule]
    generated = {rule["record"] for rule in rules_in(GENERATED) if "record" in rule}
    assert recorded
    assert len(set(recorded)) == len(recorded)
    assert generated.isdisjoint(recorded)


def test_rules_that_look_at_many_windows_are_evaluated_seldom() -> None:
    """Prometheus evaluates each second in a test's stack, on two cores, beside an engine."""
    intervals = re.findall(r"^    interval: (\S+)$", GENERATED.read_text(), re.MULTILINE)
    assert set(intervals) == {"15s", "30s"}
