"""Latency of a load as a page shows it: quantiles with their intervals, and the curves to draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from instruments.records import Outcome, RequestRecord
from instruments.slo import ServiceLevelObjective
from instruments.statistics import RunSummary
from instruments.statistics.correlation import effective_share_of_bad
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.quantiles import quantile, quantile_interval
from reports.wording import Scale, time_scale

SHARES = (0.5, 0.9, 0.95, 0.99)
CONFIDENCE = 0.95
_INFINITY = float("inf")
_PANELS = (("ttft_s", "ttft_from_due_s"), ("e2e_s", "e2e_from_due_s"), ("tpot_s", None))


@dataclass(frozen=True, slots=True)
class QuantileRow:
    """Quantiles of one indicator; `cells` are (value, interval) for each of SHARES."""

    label: str
    known: int  # how many have a value
    total: int  # how many count; those without a value count as slower than everything
    cells: tuple[tuple[str, str], ...]
    pooled: bool = False  # gaps of all answers: not independent, so without intervals


@dataclass(frozen=True, slots=True)
class Curve:
    """An empirical distribution: ascending values in seconds, of `total` that count."""

    label: str
    values: tuple[float, ...]
    total: int


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit in seconds, and the share of requests that must keep it (None: each on its own)."""

    value_s: float
    share: float | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: the curves of an indicator against its limits."""

    name: str
    curves: tuple[Curve, ...]
    limits: tuple[LimitLine, ...]
    scale: Scale


def quantile_rows(summary: RunSummary) -> list[QuantileRow]:
    """TTFT, TPOT and E2E with intervals; gaps between tokens or chunks without (they are not independent)."""
    rows = [_indicator_row(summary, name) for name, known in INDICATORS.items() if known.per_request]
    if summary.itl_s:
        rows.append(_gap_row("ITL, pooled", summary.itl_s))
    if summary.chunk_gap_s:
        rows.append(_gap_row("chunk gaps, pooled", summary.chunk_gap_s))
    return rows


def panels(summary: RunSummary, objectives: Iterable[ServiceLevelObjective]) -> tuple[Panel, ...]:
    """What to draw of a load: TTFT, E2E and TPOT, each where any request has it."""
    objectives = tuple(objectives)
    drawn = (_panel(summary, objectives, name, from_due) for name, from_due in _PANELS)
    return tuple(panel for panel in drawn if panel.curves[0].values)


def counted(summary: RunSummary, indicator: str) -> int:
    """How many requests an indicator's quantiles are of: those that its objectives judge."""
    return len(_counting(summary, indicator))


def _counting(summary: RunSummary, indicator: str) -> list[RequestRecord]:
    records = [record for record in summary.records if record.outcome is not Outcome.CANCELLED]
    if indicator == "tpot_s":  # an answer of one token has no cadence
        return [record for record in records if record.completion_tokens != 1]
    return records


def _indicator_row(summary: RunSummary, name: str) -> QuantileRow:
    known, total = summary.distributions[name], counted(summary, name)
    ordered = (*known, *([_INFINITY] * (total - len(known))))
    sent = _in_order_of_sending(summary, name)
    cells = tuple(_cell(ordered, share, sent) for share in SHARES)
    return QuantileRow(INDICATORS[name].label, len(known), total, cells)


def _in_order_of_sending(summary: RunSummary, name: str) -> list[float]:
    """Every value that counts, those without one infinite; from their order shows how they hang together."""
    of = INDICATORS[name].of
    done = [record if record.outcome is Outcome.COMPLETED else None for record in _counting(summary, name)]
    values = [of(record) if of and record else None for record in done]
    return [_INFINITY if value is None else value for value in values]


def _gap_row(label: str, gaps: tuple[float, ...]) -> QuantileRow:
    cells = tuple(_cell(gaps, share) for share in SHARES)
    return QuantileRow(label, len(gaps), len(gaps), cells, pooled=True)


def _cell(ordered: Sequence[float], share: float, sent: Sequence[float] = ()) -> tuple[str, str]:
    """A quantile, and its interval where the values are given in the order of their sending too."""
    value = quantile(ordered, share)
    ends = None
    if value is not None and sent:
        ends = quantile_interval(ordered, share, CONFIDENCE, effective_share_of_bad(sent, value))
    value = _finite(value)
    low, high = (None, None) if ends is None else (_finite(ends[0]), _finite(ends[1]))
    unit = time_scale(low if value is None else value)
    return unit.quantity(value), unit.interval(low, high)


def _panel(
    summary: RunSummary, objectives: Sequence[ServiceLevelObjective], name: str, from_due: str | None
) -> Panel:
    total = counted(summary, name)
    curves = [Curve(INDICATORS[name].label, summary.distributions[name], total)]
    speaks_of = {name}
    if from_due and any(one.indicator == from_due for one in objectives):
        curves.append(Curve(INDICATORS[from_due].label, summary.distributions[from_due], total))
        speaks_of.add(from_due)
    limits = tuple(line for one in objectives for line in _limits(one, speaks_of))
    reference = min((line.value_s for line in limits), default=None) or quantile(curves[0].values, 0.5)
    return Panel(INDICATORS[name].label, tuple(curves), limits, time_scale(reference))


def _limits(objective: ServiceLevelObjective, indicators: set[str]) -> list[LimitLine]:
    lines = [LimitLine(one, None) for name, one in objective.per_request.items() if name in indicators]
    if objective.indicator in indicators:
        share = objective.quantile if objective.is_quantile else None
        lines.append(LimitLine(objective.limit, share))
    return lines


def _finite(value: float | None) -> float | None:
    return None if value is None or value == _INFINITY else value
