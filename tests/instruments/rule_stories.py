"""Stories: series made by hand, rules of objectives, and what must then fire in Prometheus' own evaluator.

What fires is asked of Prometheus' ALERTS series as a whole: an alert that is not expected is seen silent.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.binaries import find_monitoring
from instruments.slo.burn_rate import Plan, for_period, for_run
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.rule_file import rules_text
from instruments.slo.rules import rules_of
from instruments.slo.server_metrics import ServerMetrics

TTFT, ITL, E2E = (
    f"vllm:{name}_seconds" for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency")
)
OLD_ITL = "vllm:time_per_output_token_seconds"
MONTH, RUN = for_period(), for_run(600.0)
MONTHS = ("1h", "6h", "1d", "3d")  # long windows of the one and the other
RUNS = ("9s", "50s", "3m20s", "10m")
BOUND_S = 120.0
FIRING = 'count by (alertname, slo, window) (ALERTS{alertstate="firing"})'

Alert = tuple[str, str, str]  # name, objective, long window
Grown = Sequence[tuple[int, float]]  # (steps, growth in each)


def objective(name: str, indicator: str, statistic: str, at_most: float) -> ServiceLevelObjective:
    return ServiceLevelObjective(name, "d", "w", indicator, statistic, at_most=at_most)


EXACT = objective("exact", "ttft_s", "p95", 0.25)  # a bound of the histogram


@dataclass
class Story:
    """Counters that grow by so much a step, and what must then be firing when."""

    plan: Plan
    step: str
    grows: Mapping[str, Grown]
    fires: Mapping[str, set[Alert]] = field(default_factory=dict)
    said: Sequence[tuple[str, str, Mapping[str, float]]] = ()  # (PromQL, when, labels -> value)
    gauges: Mapping[str, str] = field(default_factory=dict)  # series -> promtool's notation
    alerts: Sequence[Mapping[str, Any]] = ()  # promtool's alert_rule_test
    server: ServerMetrics = field(default_factory=ServerMetrics)


def histogram(name: str, within: Mapping[str, Grown], labels: str) -> dict[str, Grown]:
    """Series of a histogram from the growth of its buckets; `all` is the count's."""
    buckets = {bound: grown for bound, grown in within.items() if bound != "all"}
    series = {f'{name}_bucket{{{labels},le="{bound}"}}': grown for bound, grown in buckets.items()}
    return series | {f"{name}_count{{{labels}}}": within["all"]}


def values(grown: Grown) -> str:
    """promtool's notation of a counter: `a+bxn` is n + 1 samples, so each leg begins one step in."""
    total, legs = 0.0, ["0"]
    for steps, growth in grown:
        legs.append(f"{total + growth:g}+{growth:g}x{steps - 1}")
        total += steps * growth
    return " ".join(legs)


def burns(slo: str, *windows: str) -> set[Alert]:
    return {("SloBurnRate", slo, window) for window in windows}


def promtool_test(story: Story) -> dict[str, Any]:
    asked = [
        (FIRING, when, {f'{{alertname="{one[0]}", slo="{one[1]}", window="{one[2]}"}}': 1 for one in alerts})
        for when, alerts in story.fires.items()
    ]
    checks = [
        {
            "expr": expr,
            "eval_time": when,
            "exp_samples": [{"labels": labels, "value": value} for labels, value in samples.items()],
        }
        for expr, when, samples in [*asked, *story.said]
    ]
    series = {name: values(grown) for name, grown in story.grows.items()} | dict(story.gauges)
    told = [{"series": name, "values": those} for name, those in series.items()]
    test = {"interval": story.step, "input_series": told, "promql_expr_test": checks}
    if story.alerts:
        test["alert_rule_test"] = list(story.alerts)
    return {"rule_files": ["rules.yml"], "evaluation_interval": story.step, "tests": [test]}


def check(folder: Path, story: Story, *objectives: ServiceLevelObjective) -> None:
    """Run a story; AssertionError with promtool's own words where it went otherwise."""
    promtool = find_monitoring("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine: `make setup` unpacks one")
    text = rules_text(rules_of(objectives, story.plan, story.server), story.plan, "a test")
    (folder / "rules.yml").write_text(text)
    (folder / "test.yml").write_text(yaml.safe_dump(promtool_test(story), sort_keys=False))
    done = subprocess.run(
        [promtool.path, "test", "rules", "test.yml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "SUCCESS" in done.stdout
