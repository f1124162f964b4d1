"""The rules and the dashboard in deploy/monitoring are what the catalog gives, and each alert works."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from instruments.cli import rules as command
from instruments.slo.burn_rate import for_period, for_run
from instruments.slo.objective import ServiceLevelObjective, load_objectives
from instruments.slo.rules import rules_of
from instruments.slo.server_indicators import SOURCES
from instruments.slo.server_metrics import FAMILIES, ServerMetrics, read_version
from instruments.telemetry.vllm import NAMES
from tests.instruments.rule_stories import Alert, Grown, Story, check, histogram

ROOT = Path(__file__).parents[2]
CATALOG = Path("suites/catalog/objectives/smoke.yaml")
SHIPPED = ROOT / "deploy" / "monitoring" / "rules" / "slo.yml"
DASHBOARD = ROOT / "deploy" / "monitoring" / "dashboards" / "overview.json"
PINNED = "0.32"
V32 = ServerMetrics(version=read_version(PINNED))
AGAIN = f"python -m instruments rules {CATALOG} --vllm {PINNED} -o deploy/monitoring/rules/slo.yml"


@pytest.fixture(autouse=True)
def _in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def make(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_the_shipped_rules_are_made_of_the_catalog(tmp_path: Path) -> None:
    """After a change of objectives: the command in `AGAIN`, which is also the file's first line."""
    made = tmp_path / "slo.yml"
    assert make(str(CATALOG), "--vllm", PINNED, "-o", str(made)) == 0
    assert made.read_bytes() == SHIPPED.read_bytes(), f"make it again: {AGAIN}"
    assert AGAIN.partition(" -o")[0] in made.read_text().splitlines()[0]


def test_the_shipped_dashboard_has_the_catalogs_lines(tmp_path: Path) -> None:
    made = tmp_path / "overview.json"
    assert make(str(CATALOG), "--dashboard", str(DASHBOARD), "-o", str(made)) == 0
    again = f"python -m instruments rules {CATALOG} --dashboard FILE -o FILE"
    assert made.read_bytes() == DASHBOARD.read_bytes(), f"lay them on again: {again}"


def test_the_shipped_dashboard_draws_the_limits_of_the_catalog() -> None:
    """Read off the catalog by hand: TTFT 0.2 s, TPOT 0.05 s, on no other latency's panel."""
    panels = {panel["title"]: panel for panel in json.loads(DASHBOARD.read_text())["panels"]}

    def limits(title: str) -> list[float]:
        steps = panels[title]["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        return [step["value"] for step in steps if step["value"] is not None]

    assert limits("Time to first token") == [0.2]
    assert limits("Time per output token") == [0.05]
    assert limits("Inter-token latency") == []
    assert limits("End-to-end latency") == []


STEPS = 30


def server(objectives: Sequence[ServiceLevelObjective], late: int) -> tuple[dict[str, Grown], dict[str, str]]:
    """A model named after how many of 1000 events are over each limit; with any, its gauges are too."""
    grows: dict[str, Grown] = {}
    gauges: dict[str, str] = {}
    model = f'model_name="{late}"'
    for one in objectives:
        source = SOURCES[one.indicator]
        name = NAMES[source][0]
        if source in FAMILIES:
            within = {f"{bound!r}": [(STEPS, 1000 - late)] for bound in V32.bounds_s(source)}
            grows |= histogram(name, {**within, "all": [(STEPS, 1000)]}, model)
        elif source == "preemptions":
            grows[f"{name}{{{model}}}"] = [(STEPS, one.limit + 1 if late else 0)]
        else:
            gauges[f"{name}{{{model}}}"] = f"{one.limit * (1.1 if late else 0.9):g}x{STEPS}"
    return grows, gauges


def expected(objectives: Sequence[ServiceLevelObjective], late: int, *, run: bool) -> set[Alert]:
    """Which alerts a share of bad events fires: the workbook's factors times the budget, worked out anew."""
    windows = ("9s", "50s", "3m20s", "10m") if run else ("1h", "6h", "1d", "3d")
    fired: set[Alert] = set()
    for one in objectives:
        if SOURCES[one.indicator] in FAMILIES:
            fired |= {
                ("SloBurnRate", one.id, window)
                for factor, window in zip((14.4, 6, 3, 1), windows, strict=True)
                if late / 1000 > factor * round(one.bad_share, 9)
            }
        elif late:
            trend = "10m" if run else "1h"
            fired.add(("SloThreshold", one.id, "now" if one.statistic == "max" else trend))
    return fired


@pytest.mark.parametrize("run", [False, True], ids=["month", "run"])
def test_each_alert_of_the_catalog_fires_and_each_is_silent(tmp_path: Path, *, run: bool) -> None:
    """A model with nothing late: nothing fires. Then 6 %, 16 %, 31 %, 73 %: past 1, 3, 6, 14.4 times 5 %."""
    file = rules_of(load_objectives(CATALOG).values(), for_period(), V32)
    known = {name for name, _ in file.left_out}
    objectives = [
        one
        for one in load_objectives(CATALOG).values()
        if one.id not in known and one.indicator in SOURCES  # errors have no model: test_rules_fire
    ]
    plan, step, when = (for_run(600.0), "1s", f"{STEPS}s") if run else (for_period(), "1m", f"{STEPS}m")
    story = Story(plan, step, {}, server=V32)
    firing: dict[str, float] = {}
    fired: set[Alert] = set()
    for late in (0, 60, 160, 310, 730):
        grows, gauges = server(objectives, late)
        story.grows, story.gauges = {**story.grows, **grows}, {**story.gauges, **gauges}
        fires = expected(objectives, late, run=run)
        assert bool(fires) is bool(late)
        firing |= {
            f'{{model_name="{late}", alertname="{alert}", slo="{slo}", window="{window}"}}': 1
            for alert, slo, window in fires
        }
        fired |= fires
    asked = 'count by (model_name, alertname, slo, window) (ALERTS{alertstate="firing"})'
    story.said = [(asked, when, firing)]
    check(tmp_path, story, *objectives)
    alerts = {
        (rule.name, rule.labels["slo"], rule.labels["window"])
        for group in rules_of(objectives, plan, V32).groups
        for rule in group.rules
        if rule.is_alert and rule.name != "SloNotJudged"  # traffic without a bucket: test_rules_fire
    }
    assert fired == alerts
