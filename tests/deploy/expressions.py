"""PromQL read: which metrics an expression names, what it does to counters, histograms, ratios."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql

COUNTER_FUNCTIONS = {"rate", "irate", "increase", "resets"}
ARITHMETIC = {"+", "-", "*", "/"}


@dataclass(frozen=True)
class Family:
    """What a scrape declares of a metric."""

    kind: str
    bounds_s: tuple[float, ...] = ()


def declared(*paths: Path) -> dict[str, Family]:
    """Every name that can be asked for, a histogram's three each by its own; buckets with their bounds."""
    found: dict[str, Family] = {}
    for path in paths:
        text = path.read_text()
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
            if kind != "histogram":
                found[name] = Family(kind)
                continue
            told = re.findall(rf'^{re.escape(name)}_bucket{{.*?le="([^"]+)"', text, re.MULTILINE)
            bounds = tuple(sorted({float(one) for one in told} - {float("inf")}))
            found |= {f"{name}{end}": Family("counter", bounds) for end in ("_bucket", "_sum", "_count")}
    return found


def nodes(expr: Any) -> Iterator[Any]:
    """An expression and all below it."""
    yield expr
    below: list[Any] = []
    if isinstance(expr, promql.BinaryExpr):
        below = [expr.lhs, expr.rhs]
    elif isinstance(expr, promql.Call):
        below = list(expr.args)
    elif isinstance(expr, promql.MatrixSelector):
        below = [expr.vector_selector]
    elif isinstance(expr, promql.AggregateExpr | promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        below = [expr.expr]
    for one in below:
        yield from nodes(one)


def selectors(expr: Any) -> Iterator[Any]:
    """Every vector selector of an expression."""
    return (one for one in nodes(expr) if isinstance(one, promql.VectorSelector))


def names(expr: Any) -> set[str]:
    """Every metric that an expression names."""
    return {one.name for one in selectors(expr) if one.name}


def counted(expr: Any) -> set[str]:
    """The metrics that a function for counters is applied to."""
    calls = (one for one in nodes(expr) if isinstance(one, promql.Call))
    return set().union(*(names(call) for call in calls if call.func.name in COUNTER_FUNCTIONS))


def bounds_asked(expr: Any) -> Iterator[tuple[str, float]]:
    """(bucket metric, bound) of each matcher on `le`."""
    for one in selectors(expr):
        for matcher in one.matchers.matchers:
            if matcher.name == "le" and matcher.value != "+Inf":
                yield one.name, float(matcher.value.partition("|")[0])


def quantiles_without_le(expr: Any) -> list[str]:
    """histogram_quantile whose argument is not buckets, or has lost their `le` in an aggregation."""
    wrong = []
    for call in nodes(expr):
        if isinstance(call, promql.Call) and call.func.name == "histogram_quantile":
            inside = call.args[1]
            kept = all(
                one.modifier is not None
                and one.modifier.type == promql.AggModifierType.By
                and "le" in one.modifier.labels
                for one in nodes(inside)
                if isinstance(one, promql.AggregateExpr)
            )
            if not kept or not all(name.endswith("_bucket") for name in names(inside)):
                wrong.append(str(inside))
    return wrong


def quantile_limits(expr: Any) -> Iterator[tuple[set[str], float]]:
    """(bucket metrics, number) of each comparison of a quantile with a number."""
    for one in nodes(expr):
        if isinstance(one, promql.BinaryExpr) and isinstance(one.rhs, promql.NumberLiteral):
            calls = [n for n in nodes(one.lhs) if isinstance(n, promql.Call)]
            if str(one.op) in {">", ">=", "<", "<="} and any(
                call.func.name == "histogram_quantile" for call in calls
            ):
                yield names(one.lhs), one.rhs.val


def unsummed_ratios(expr: Any) -> list[str]:
    """Divisions of a rate by a rate where a side is not an aggregate: labels differ, and nothing matches."""
    wrong = []
    for one in nodes(expr):
        if (
            isinstance(one, promql.BinaryExpr)
            and str(one.op) == "/"
            and counted(one.lhs)
            and counted(one.rhs)
        ):
            wrong += [str(side) for side in (one.lhs, one.rhs) if not _is_aggregate(side)]
    return wrong


def _is_aggregate(expr: Any) -> bool:
    if isinstance(expr, promql.ParenExpr):
        return _is_aggregate(expr.expr)
    if isinstance(expr, promql.BinaryExpr):
        arms = (expr.lhs, expr.rhs)
        return all(_is_aggregate(one) for one in arms if names(one))
    return isinstance(expr, promql.AggregateExpr) or not names(expr)
