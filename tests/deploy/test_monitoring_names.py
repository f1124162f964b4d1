"""No rule and no panel asks for what nobody exposes, or asks for it wrongly: against recorded scrapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from tests.deploy.alerting import RULES, rules_in
from tests.deploy.expressions import (
    Family,
    bounds_asked,
    counted,
    declared,
    names,
    quantile_limits,
    quantiles_without_le,
    unsummed_ratios,
)
from tests.deploy.panels import targets

SCRAPES = Path(__file__).with_name("scrapes")
OLDER = declared(SCRAPES / "vllm-older.prom")
EXPOSED = declared(*SCRAPES.glob("*.prom"))
PROMETHEUS = {name: Family("gauge") for name in ("up", "ALERTS", "scrape_duration_seconds")}
RULE_LIST = rules_in(*sorted(RULES.glob("*.yml")))
EXPRESSIONS: dict[str, Any] = {
    **{
        f"{rule.get('alert') or rule['record']} {number}": promql.parse(rule["expr"])
        for number, rule in enumerate(RULE_LIST)
    },
    **{str(one): promql.parse(one.filled) for one in targets()},
}


def recorded() -> dict[str, Family]:
    """What rules record: a counter where all that it is made of are, and nothing takes a rate of them."""
    found: dict[str, Family] = {}
    for rule in RULE_LIST:
        if "record" in rule:
            expr = promql.parse(rule["expr"])
            made_of = [EXPOSED[name] for name in names(expr) if name in EXPOSED]
            counter = made_of and all(one.kind == "counter" for one in made_of) and not counted(expr)
            found[rule["record"]] = Family("counter" if counter else "gauge")
    return found


KNOWN = EXPOSED | recorded() | PROMETHEUS


def wrong_in(found: Callable[[Any], object]) -> dict[str, object]:
    """Where, and what, of all expressions."""
    return {where: wrong for where, expr in EXPRESSIONS.items() if (wrong := found(expr))}


def test_every_metric_that_is_named_exists() -> None:
    assert len(EXPRESSIONS) > 150
    assert wrong_in(lambda expr: names(expr) - KNOWN.keys()) == {}


def test_a_name_of_an_older_vllm_stands_beside_one_of_the_pinned() -> None:
    assert wrong_in(lambda expr: names(expr) & OLDER.keys() and not names(expr) - OLDER.keys()) == {}


def test_only_counters_have_a_rate() -> None:
    assert wrong_in(lambda expr: [one for one in counted(expr) if KNOWN[one].kind != "counter"]) == {}


def test_quantiles_are_of_buckets_that_keep_their_bounds() -> None:
    assert wrong_in(quantiles_without_le) == {}


def test_a_share_within_a_limit_is_asked_at_a_bound() -> None:
    assert (
        wrong_in(lambda expr: [one for one in bounds_asked(expr) if one[1] not in KNOWN[one[0]].bounds_s])
        == {}
    )


def test_a_quantile_is_compared_with_something_below_the_last_bound() -> None:
    def beyond(expr: Any) -> list[float]:
        return [
            limit
            for metrics, limit in quantile_limits(expr)
            if any(limit >= KNOWN[name].bounds_s[-1] for name in metrics)
        ]

    assert wrong_in(beyond) == {}


def test_both_sides_of_a_ratio_are_sums() -> None:
    assert wrong_in(unsummed_ratios) == {}


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ("histogram_quantile(0.9, sum by (model_name) (rate(a_bucket[5m])))", quantiles_without_le),
        ("histogram_quantile(0.9, sum(rate(a_bucket[5m])))", quantiles_without_le),
        ("histogram_quantile(0.9, rate(a_seconds[5m]))", quantiles_without_le),
        ('rate(a{status=~"5.."}[5m]) / rate(a[5m])', unsummed_ratios),
        ("sum(rate(a[5m])) / (rate(b[5m]) > 0)", unsummed_ratios),
    ],
)
def test_the_mistakes_of_others_would_be_seen(wrong: str, found: Any) -> None:
    assert found(promql.parse(wrong))


def test_a_limit_at_the_last_bound_would_be_seen() -> None:
    """An alert on a p99 above 60 s, which is the last bound that there is, can never fire."""
    expr = promql.parse("histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m]))) > 60")
    assert [*quantile_limits(expr)] == [({"a_bucket"}, 60.0)]
