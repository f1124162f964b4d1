"""Faults of rules, of Alertmanager and of what it tells, for the claims on alerts end to end."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .mutant import Mutant, Prepare

RULES = Path(__file__).resolve().parents[2] / "deploy" / "monitoring" / "rules"
STATIC = "suites/observability/test_alerts.py"
ENGINE = "suites/observability/test_alerts_engine.py"
GATEWAY = "suites/observability/test_alerts_gateway.py"
PARTS = "suites/observability/test_alerts_parts.py"
FOREVER = """
groups:
  - name: planted
    rules:
      - alert: TargetDown
        expr: vector(1)
        labels: {severity: ticket}
        annotations: {summary: it is always so}
"""


def edited(file: str, pattern: str, by: str) -> Prepare:
    """The rules with one file of them edited, once."""

    def prepare(folder: Path) -> Mapping[str, Any]:
        rules = _copied(folder)
        text, count = re.subn(
            pattern, by, (rules / file).read_text(encoding="utf-8"), count=1, flags=re.DOTALL
        )
        assert count == 1, f"{file} has no {pattern}"
        (rules / file).write_text(text, encoding="utf-8")
        return {"rules": str(rules)}

    return prepare


def without(file: str) -> Prepare:
    """The rules without one file of them."""

    def prepare(folder: Path) -> Mapping[str, Any]:
        rules = _copied(folder)
        (rules / file).unlink()
        return {"rules": str(rules)}

    return prepare


def forever(folder: Path) -> Mapping[str, Any]:
    """One alert more, of a name that there is, that is always there."""
    rules = _copied(folder)
    (rules / "forever.yml").write_text(FOREVER, encoding="utf-8")
    return {"rules": str(rules)}


def _copied(folder: Path) -> Path:
    return Path(shutil.copytree(RULES, folder / "rules"))


def _of(alert: str, then: str) -> str:
    """A pattern: from an alert's name to what follows it first."""
    return rf"(- alert: {alert}\n.*?){then}"


ARRIVES, ENDS, SAYS = "fires_and_arrives", "is_resolved", "says_what_to_do"
MUTANTS = [
    Mutant(
        "alerts-rules-missing",
        scope=(f"{STATIC}::test_every_alert_is_provoked_by_a_claim",),
        red=("test_every_alert_is_provoked_by_a_claim",),
        why="the rules on the gateway are not there",
        prepare=without("gateway.yml"),
    ),
    Mutant(
        "alerts-runbook-broken",
        scope=(f"{STATIC}::test_every_alert_has_a_severity_and_a_runbook",),
        red=("test_every_alert_has_a_severity_and_a_runbook",),
        why="a runbook's section is not in its guide",
        prepare=edited("gateway.yml", _of("NoReplica", "#engine-down"), r"\1#no-such-section"),
    ),
    Mutant(
        "alerts-old-name",
        scope=tuple(
            f"{ENGINE}::test_an_alert_of_the_engine_{one}[KvCacheFilling]" for one in (ARRIVES, ENDS)
        ),
        red=(f"engine_{ARRIVES}[KvCacheFilling]", f"engine_{ENDS}[KvCacheFilling]"),
        why="KV use is asked for by its old name alone, which vLLM no longer has",
        prepare=edited("engine.yml", r"vllm:kv_cache_usage_perc or vllm:gpu_cache", "vllm:gpu_cache"),
    ),
    Mutant(
        "alerts-always-engine",
        scope=(f"{ENGINE}::test_nothing_fires_under_a_healthy_load",),
        red=("test_nothing_fires_under_a_healthy_load",),
        why="an alert that is always there",
        prepare=forever,
    ),
    Mutant(
        "alerts-severity-lost-engine",
        scope=(f"{ENGINE}::test_what_arrives_of_the_engine_says_what_to_do[NoReplica]",),
        red=("of_the_engine_says_what_to_do[NoReplica]",),
        why="a page that does not say that it is one",
        prepare=edited("gateway.yml", _of("NoReplica", r"labels: \{severity: page\}"), r"\1labels: {}"),
    ),
    Mutant(
        "alerts-out-of-reach",
        scope=tuple(
            f"{GATEWAY}::test_an_alert_of_the_gateway_{one}[AuthFailures]" for one in (ARRIVES, ENDS)
        ),
        red=(f"gateway_{ARRIVES}[AuthFailures]", f"gateway_{ENDS}[AuthFailures]"),
        why="a threshold that nobody reaches",
        prepare=edited(
            "gateway.yml", r"auth_failures_total\[5m\]\)\) > 1", "auth_failures_total[5m])) > 10000"
        ),
    ),
    Mutant(
        "alerts-always-gateway",
        scope=(f"{GATEWAY}::test_nothing_fires_while_nobody_asks",),
        red=("test_nothing_fires_while_nobody_asks",),
        why="an alert that is always there",
        prepare=forever,
    ),
    Mutant(
        "alerts-summary-unrendered",
        scope=(f"{GATEWAY}::test_what_arrives_of_the_gateway_says_what_to_do[AuthFailures]",),
        red=("of_the_gateway_says_what_to_do[AuthFailures]",),
        why="a summary that asks for a label that its alert does not have",
        prepare=edited(
            "gateway.yml", r"\{\{ \$value \| humanize \}\} requests a second", "{{ .Labels.none }}"
        ),
    ),
    Mutant(
        "alerts-never-resolved",
        scope=(f"{PARTS}::test_an_alert_of_the_parts_is_resolved[GpuHot]",),
        red=("of_the_parts_is_resolved[GpuHot]",),
        why="an alert that goes on when its cause is gone",
        prepare=edited("gpu.yml", _of("GpuHot", "for: 2m"), r"\1for: 2m\n        keep_firing_for: 1d"),
    ),
    Mutant(
        "alerts-too-late",
        scope=(f"{PARTS}::test_an_alert_of_the_parts_fires_and_arrives[GpuHot]",),
        red=("of_the_parts_fires_and_arrives[GpuHot]",),
        why="an alert that waits for an hour",
        prepare=edited("gpu.yml", _of("GpuHot", "for: 2m"), r"\1for: 1h"),
    ),
    Mutant(
        "alerts-always-parts",
        scope=(f"{PARTS}::test_nothing_fires_while_all_parts_are_well",),
        red=("test_nothing_fires_while_all_parts_are_well",),
        why="an alert that is always there",
        prepare=forever,
    ),
    Mutant(
        "alerts-severity-unknown",
        scope=(f"{PARTS}::test_what_arrives_of_the_parts_says_what_to_do[GpuXid]",),
        red=("of_the_parts_says_what_to_do[GpuXid]",),
        why="a severity that no route knows",
        prepare=edited("gpu.yml", _of("GpuXid", "severity: page"), r"\1severity: critical"),
    ),
]
