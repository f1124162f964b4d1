"""Latency of a load as a page shows it: quantiles with their intervals, and the curves to draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from instruments.records import Outcome
from instruments.slo import ServiceLevelObjective
from instruments.statistics import RunSummary
from instruments.statistics.correlation import Values, effective_share_of_bad
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.quantiles import quantile, quantile_interval
from reports.charts.bands import Band, band
from reports.wording import Scale, time_scale

SHARES = (0.5, 0.9, 0.95, 0.99)
CONFIDENCE = 0.95
_INFINITY = float("inf")
_PANELS = {"ttft_s": "ttft_from_due_s", "e2e_s": "e2e_from_due_s", "tpot_s": None}


@dataclass(frozen=True, slots=True)
class QuantileRow:
    """Quantiles of one indicator; `cells` are (value, interval) for each of SHARES."""

    label: str
    known: int  # how many have a value
    total: int  # how many count; those without a value count as slower than everything
    cells: tuple[tuple[str, str], ...]
    pooled: bool = False  # gaps of all answers: not independent, so without intervals


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantile in seconds and its 95 % interval: None where it lies among those without a value."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What an indicator's numbers are of: those without a value are infinite, and slower than all others."""

    ordered: Sequence[float]  # ascending
    sent: Values  # in the order of their sending, from which it shows how they hang together
    known: int  # how many have a value
    _worth: dict[float, float] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.ordered)

    def worth(self, share: float) -> float:
        """So much of their number are the requests worth about a quantile, as a share: 1.0 independent."""
        if share not in self._worth:
            value = quantile(self.ordered, share)
            self._worth[share] = 1.0 if value is None else effective_share_of_bad(self.sent, float(value))
        return self._worth[share]

    def estimate(self, share: float) -> Estimate:
        """A quantile over all that count, with its interval."""
        value = quantile(self.ordered, share)
        if value is None:
            return Estimate(None)
        ends = quantile_interval(self.ordered, share, CONFIDENCE, self.worth(share)) or (None, None)
        return Estimate(_finite(value), _finite(ends[0]), _finite(ends[1]))


Samples = Mapping[str, Sample]


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
    band: Band | None = None  # of the first curve


def samples(summary: RunSummary) -> Samples:
    """Of every indicator of requests, worked out once for all that is shown of a load."""
    return {name: sample(summary, name) for name, known in INDICATORS.items() if known.per_request}


def quantile_rows(summary: RunSummary, of: Samples | None = None) -> list[QuantileRow]:
    """TTFT, TPOT and E2E with intervals; gaps between tokens or chunks without (they are not independent)."""
    rows = [_indicator_row(name, one) for name, one in (of or samples(summary)).items()]
    for label, gaps in (("ITL, pooled", summary.itl_s), ("chunk gaps, pooled", summary.chunk_gap_s)):
        if gaps is not None and len(gaps):
            rows.append(_gap_row(label, gaps))
    return rows


def panels(
    summary: RunSummary, objectives: Iterable[ServiceLevelObjective], of: Samples | None = None
) -> tuple[Panel, ...]:
    """What to draw of a load: TTFT, E2E and TPOT, each where any request has it."""
    objectives, of = tuple(objectives), of or samples(summary)
    drawn = [_panel(summary, objectives, of, name) for name in _PANELS if of[name].known]
    return tuple(drawn)


def sample(summary: RunSummary, indicator: str) -> Sample:
    """Every value of an indicator that counts, those without one infinite."""
    of = summary.measured
    values = np.where(of.completed, of.values(indicator), np.inf)
    values[np.isnan(values)] = np.inf
    sent = values[of.in_order][_counting(summary, indicator)[of.in_order]]
    return Sample(np.sort(sent).tolist(), sent, int(np.isfinite(sent).sum()))


def counted(summary: RunSummary, indicator: str) -> int:
    """How many requests an indicator's quantiles are of: those that its objectives judge."""
    return int(_counting(summary, indicator).sum())


def _counting(summary: RunSummary, indicator: str) -> npt.NDArray[np.bool_]:
    counting = ~summary.measured.had(Outcome.CANCELLED)
    if indicator == "tpot_s":  # an answer of one token has no cadence
        counting &= summary.measured.output_tokens != 1
    return counting


def _indicator_row(name: str, of: Sample) -> QuantileRow:
    cells = tuple(_said(of.estimate(share)) for share in SHARES)
    return QuantileRow(INDICATORS[name].label, of.known, of.total, cells)


def _gap_row(label: str, gaps: Sequence[float]) -> QuantileRow:
    cells = tuple(_said(Estimate(quantile(gaps, share))) for share in SHARES)
    return QuantileRow(label, len(gaps), len(gaps), cells, pooled=True)


def _said(of: Estimate) -> tuple[str, str]:
    """A quantile and its interval in words, both in one unit."""
    unit = time_scale(of.low if of.value is None else of.value)
    return unit.quantity(of.value), unit.interval(of.low, of.high)


def _panel(
    summary: RunSummary, objectives: Sequence[ServiceLevelObjective], samples: Samples, name: str
) -> Panel:
    of, from_due = samples[name], _PANELS[name]
    curves = [Curve(INDICATORS[name].label, summary.distributions[name], of.total)]
    speaks_of = {name}
    if from_due and any(one.indicator == from_due for one in objectives):
        curves.append(Curve(INDICATORS[from_due].label, summary.distributions[from_due], of.total))
        speaks_of.add(from_due)
    limits = tuple(line for one in objectives for line in _limits(one, speaks_of))
    reference = min((line.value_s for line in limits), default=None) or quantile(curves[0].values, 0.5)
    # As cautious as the most cautious of the quantiles in the table.
    worth = min(of.worth(share) for share in SHARES)
    drawn = band(curves[0].values, of.total, worth)
    return Panel(INDICATORS[name].label, tuple(curves), limits, time_scale(reference), drawn)


def _limits(objective: ServiceLevelObjective, indicators: set[str]) -> list[LimitLine]:
    lines = [LimitLine(one, None) for name, one in objective.per_request.items() if name in indicators]
    if objective.indicator in indicators:
        share = objective.quantile if objective.is_quantile else None
        lines.append(LimitLine(objective.limit, share))
    return lines


def _finite(value: float | None) -> float | None:
    return None if value is None or value == _INFINITY else value
