"""Stories of alerts: series, and what must fire and what must be silent, told to `promtool test rules`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.binaries import ROOT, find_monitoring

MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "rules"
GENERATED = RULES / "slo.yml"  # made of objectives; tests/instruments/test_rules_catalog.py tells its stories
OURS = sorted(set(RULES.glob("*.yml")) - {GENERATED})
BOUND_S = 60.0


@dataclass(frozen=True)
class Fires:
    """An alert, an instant at which it fires, its labels beside the rule's own, and what it says."""

    alert: str
    at: str
    labels: Mapping[str, str]
    summary: str


@dataclass(frozen=True)
class Story:
    """Samples each `step` (`a+bx3` is a, a+b, …: four of them), what fires, and what is silent when."""

    name: str
    series: Mapping[str, str]
    fires: Sequence[Fires] = ()
    silent: Sequence[tuple[str, str]] = ()  # (alert, instant)
    records: Sequence[tuple[str, str, Mapping[str, float]]] = ()  # (query, instant, series -> value)
    step: str = "1s"


def rules_in(*paths: Path) -> list[dict[str, Any]]:
    """All rules of the files, as their YAML has them."""
    documents = [yaml.safe_load(path.read_text()) for path in paths]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Our alerts by name, those made of objectives left out."""
    return {rule["alert"]: rule for rule in rules_in(*OURS) if "alert" in rule}


def tool(name: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run a monitoring tool: what it said; AssertionError with it when the tool complains."""
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


def check(folder: Path, file: str, stories: Sequence[Story]) -> None:
    """Tell stories of one rules file to promtool; AssertionError with its words where one goes otherwise."""
    known = alerts()
    document = {
        "rule_files": [str(RULES / file)],
        "evaluation_interval": "1s",
        "tests": [_told(story, known) for story in stories],
    }
    path = folder / "stories.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    assert "SUCCESS" in tool("promtool", "test", "rules", path, cwd=folder)


def _told(story: Story, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    asked: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in story.silent}
    for one in story.fires:
        rule = known[one.alert]
        said = {"summary": one.summary, "runbook": rule["annotations"]["runbook"]}
        expected = {"exp_labels": {**rule["labels"], **one.labels}, "exp_annotations": said}
        asked.setdefault((one.alert, one.at), []).append(expected)
    return {
        "name": story.name,
        "interval": story.step,
        "input_series": [{"series": name, "values": values} for name, values in story.series.items()],
        "alert_rule_test": [
            {"alertname": alert, "eval_time": at, "exp_alerts": expected}
            for (alert, at), expected in asked.items()
        ],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": at,
                "exp_samples": [{"labels": series, "value": value} for series, value in values.items()],
            }
            for query, at, values in story.records
        ],
    }
