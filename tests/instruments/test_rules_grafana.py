"""Threshold lines: on the panels that show an objective's metric in its unit, once, and on no other."""

from __future__ import annotations

import copy
from typing import Any

from instruments.slo.grafana import with_thresholds
from instruments.slo.objective import ServiceLevelObjective

TTFT = "histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[1m])))"


def objective(indicator: str = "ttft_s", statistic: str = "p95", **more: Any) -> ServiceLevelObjective:
    told = {"id": "o", "description": "d", "workload": "w", "at_most": 0.2, **more}
    return ServiceLevelObjective(indicator=indicator, statistic=statistic, **told)


def panel(expr: str, unit: str | None = "s", **more: Any) -> dict[str, Any]:
    defaults = {"min": 0} if unit is None else {"min": 0, "unit": unit}
    return {"title": "t", "fieldConfig": {"defaults": defaults}, "targets": [{"expr": expr}], **more}


def laid(one: dict[str, Any], *objectives: ServiceLevelObjective) -> dict[str, Any]:
    found: dict[str, Any] = with_thresholds({"panels": [one]}, objectives)["panels"][0]
    return found


def lines(one: dict[str, Any]) -> list[tuple[float, str]]:
    steps = one["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    return [(step["value"], step["color"]) for step in steps if step["value"] is not None]


def test_a_panel_gets_a_line_at_the_limit_and_says_whose() -> None:
    found = laid(panel(TTFT, description="Own words."), objective())
    assert found["fieldConfig"]["defaults"] == {
        "min": 0,
        "unit": "s",
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": "transparent", "value": None}, {"color": "red", "value": 0.2}],
        },
        "custom": {"thresholdsStyle": {"mode": "line"}},
    }
    assert found["description"] == "Own words.\n\nLines: TTFT p95 ≤ 0.2 s (w)."


def test_lines_rise_equal_ones_are_one_and_required_ones_are_red() -> None:
    given = [
        objective(at_most=0.5, required=False),
        objective(workload="v"),
        objective(required=False),
        objective(),
    ]
    found = laid(panel(TTFT), *given)
    assert lines(found) == [(0.2, "red"), (0.5, "orange")]
    assert found["description"] == (
        "Lines: TTFT p95 ≤ 0.5 s, advisory (w); TTFT p95 ≤ 0.2 s (v, w); TTFT p95 ≤ 0.2 s, advisory (w)."
    )


def test_the_axis_unit_counts() -> None:
    assert lines(laid(panel(TTFT, "ms"), objective())) == [(200.0, "red")]
    assert lines(laid(panel(TTFT, "percentunit"), objective())) == []
    usage = objective("kv_cache_usage", "max", at_most=0.9)
    assert lines(laid(panel("max(vllm:kv_cache_usage_perc)", "percentunit"), usage)) == [(0.9, "red")]
    assert lines(laid(panel("max(vllm:gpu_cache_usage_perc)", "percent"), usage)) == [(90.0, "red")]


def test_only_panels_of_the_metric_get_lines() -> None:
    queue = objective("queue_depth", "max", at_most=50)
    assert lines(laid(panel("sum(vllm:num_requests_waiting)", "short"), queue)) == [(50.0, "red")]
    assert lines(laid(panel("sum(vllm:num_requests_waiting_by_reason)", "short"), queue)) == []
    assert lines(laid(panel("sum(vllm:num_requests_running)", None), queue)) == []
    assert lines(laid(panel(TTFT), objective("e2e_s"))) == []


def test_a_limit_on_a_quantile_is_no_line_on_a_mean() -> None:
    name = "vllm:time_to_first_token_seconds"
    mean = f"sum(rate({name}_sum[1m])) / sum(rate({name}_count[1m]))"
    assert lines(laid(panel(mean), objective())) == []
    assert lines(laid(panel(mean), objective(statistic="mean"))) == [(0.2, "red")]
    assert lines(laid(panel(TTFT), objective(statistic="mean"))) == []


def test_a_count_and_a_share_of_failures_are_not_drawn_on_rates() -> None:
    preempted = objective("preemptions", "count", at_most=0)
    assert lines(laid(panel("sum(rate(vllm:num_preemptions_total[1m]))", "short"), preempted)) == []
    errors = objective("error_share", "share", at_most=0.01)
    failed = 'sum(rate(gateway_requests_total{status_code=~"5.."}[1m]))'
    share = f"{failed} / sum(rate(gateway_requests_total[1m]))"
    assert lines(laid(panel(share, "reqps"), errors)) == []
    assert lines(laid(panel(share, "percentunit"), errors)) == [(0.01, "red")]


def test_twice_is_once_and_what_was_given_is_left_alone() -> None:
    given = {"panels": [panel(TTFT, description="Own.\n\nWords."), panel("up", "short")], "uid": "x"}
    before = copy.deepcopy(given)
    once = with_thresholds(given, [objective()])
    assert given == before
    assert with_thresholds(once, [objective()]) == once
    assert once["panels"][1] == before["panels"][1]
    moved = with_thresholds(once, [objective(at_most=0.3)])["panels"][0]
    assert lines(moved) == [(0.3, "red")]
    assert moved["description"] == "Own.\n\nWords.\n\nLines: TTFT p95 ≤ 0.3 s (w)."


def test_lines_go_when_their_objective_does_and_drawn_ones_stay() -> None:
    drawn = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}
    by_hand = panel("up", "short")
    by_hand["fieldConfig"]["defaults"]["thresholds"] = drawn
    given = {"panels": [panel(TTFT, description="Own."), by_hand]}
    assert with_thresholds(with_thresholds(given, [objective()]), []) == given


def test_panels_in_folded_rows_are_found() -> None:
    row = {"type": "row", "panels": [panel(TTFT)]}
    assert lines(with_thresholds({"panels": [row]}, [objective()])["panels"][0]["panels"][0]) == [
        (0.2, "red")
    ]
