"""Paced rules: waits and windows are divided, thresholds and texts are not; promtool accepts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from environments.monitoring import RULES, start_monitoring
from environments.pacing import paced_expression, paced_rules
from environments.profile import EngineProfile, Profile
from tests.deploy.alerting import tool

# By hand: 5m/20 = 15 s; 2m/20 = 6 s; 1h/20 = 180 s; 15m/20 = 45 s; 90s/20 = 4.5 s.
EXPRESSIONS = {
    "rate(a[5m]) > 1": "rate(a[15s]) > 1",
    "min_over_time(a[2m]) > 0 and b[1h]": "min_over_time(a[6s]) > 0 and b[180s]",
    "a offset 5m > 300": "a offset 15s > 300",
    "a offset -5m": "a offset -15s",
    "max_over_time(a[90s])": "max_over_time(a[4500ms])",
    "a[1h30m]": "a[270s]",
    "max_over_time(rate(a[5m])[15m:1m])": "max_over_time(rate(a[15s])[45s:3s])",
    "max_over_time(a[15m:])": "max_over_time(a[45s:])",
    # Not below four scrapes; what was shorter from the start is left alone.
    "rate(a[1m])": "rate(a[4s])",
    "rate(a[2s])": "rate(a[2s])",
    # Numbers that are compared with, names and labels are no windows.
    "time() - a < 300": "time() - a < 300",
    "slo:ratio_rate5m:low > 14.4 * 0.05": "slo:ratio_rate5m:low > 14.4 * 0.05",
    'b{le=~"60|60[.]0"}[5m]': 'b{le=~"60|60[.]0"}[15s]',
    "a{said='[5m]'}": "a{said='[5m]'}",
    'a{said="a \\" [5m]"}': 'a{said="a \\" [5m]"}',
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_windows_are_divided_and_nothing_else(expression: str) -> None:
    assert paced_expression(expression, 20) == EXPRESSIONS[expression]


def test_waits_are_divided_and_not_below_a_second() -> None:
    """By hand: 30s/20 = 1.5 s, 5m/20 = 15 s; 10s/20 is below a second; none stays none."""
    rules = [{"alert": str(wait), "expr": "up", "for": wait} for wait in ("30s", "5m", "10s", "0s")]
    rules += [{"alert": "kept", "expr": "up", "keep_firing_for": "2m"}, {"record": "x", "expr": "up"}]
    group = {"name": "g", "interval": "30s", "rules": rules}
    (paced,) = yaml.safe_load(paced_rules(yaml.safe_dump({"groups": [group]}), 20))["groups"]
    assert [rule.get("for") for rule in paced["rules"]] == ["1500ms", "15s", "1s", "0s", None, None]
    assert paced["rules"][4]["keep_firing_for"] == "6s"
    assert paced["interval"] == "1500ms"


def test_whatever_else_a_rule_says_is_kept() -> None:
    """Labels, texts in other alphabets, thresholds: of our own rules all is as it was but expr and waits."""
    for path in RULES.glob("*.yml"):
        before, after = (
            [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
            for text in (path.read_text(), paced_rules(path.read_text(), 20))
        )
        kept = [{k: v for k, v in rule.items() if k not in ("expr", "for")} for rule in before]
        assert [{k: v for k, v in rule.items() if k not in ("expr", "for")} for rule in after] == kept


@pytest.mark.parametrize("pace", [1.5, 20, 100])
def test_promtool_accepts_our_rules_at_any_pace(tmp_path: Path, pace: float) -> None:
    for path in RULES.glob("*.yml"):
        (tmp_path / path.name).write_text(paced_rules(path.read_text(), pace))
        assert "SUCCESS" in tool("promtool", "check", "rules", tmp_path / path.name)


@pytest.mark.parametrize(("pace", "window"), [(1.0, "[5m]"), (20.0, "[15s]")])
def test_prometheus_gets_the_rules_at_the_profiles_pace(tmp_path: Path, pace: float, window: str) -> None:
    """And at the pace of 1 the files as they are, to the byte."""
    profile = Profile("t", "t", "local", EngineProfile("simulator"), pace=pace)
    running = start_monitoring(profile, tmp_path / "monitoring", tmp_path / "logs", {})
    for part in running.components:
        part.stop()
    if running.prometheus_url is None:
        pytest.skip(running.note or "no Prometheus on this machine")
    copied = (tmp_path / "monitoring" / "gateway.yml").read_text()
    assert window in copied
    assert (copied == (RULES / "gateway.yml").read_text()) == (pace == 1)
