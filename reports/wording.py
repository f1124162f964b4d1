"""How numbers are said: one unit a row, undefined as a dash, shares with what they are shares of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from instruments.slo import ServiceLevelObjective, Verdict
from instruments.statistics.indicators import INDICATORS

if TYPE_CHECKING:
    from reports.judged import Judged

UNDEFINED = "–"


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit to show numbers in."""

    factor: float
    unit: str

    def number(self, value: float | None) -> str:
        """The number alone, to four digits."""
        return figure(None if value is None else value * self.factor)

    def quantity(self, value: float | None) -> str:
        """The number with its unit; a dash has none."""
        number = self.number(value)
        return f"{number} {self.unit}" if self.unit and number != UNDEFINED else number

    def interval(self, low: float | None, high: float | None) -> str:
        """[low, high] without the unit; an end that is not known above is ∞, no interval a dash."""
        if low is None and high is None:
            return UNDEFINED
        return f"[{self.number(low)}, {'∞' if high is None else self.number(high)}]"


SECONDS = Scale(1.0, "s")
MILLISECONDS = Scale(1e3, "ms")
PERCENT = Scale(1e2, "%")
PLAIN = Scale(1.0, "")


def time_scale(reference_s: float | None) -> Scale:
    """Milliseconds for what is below a second: limit, value and interval of a row share the unit."""
    return SECONDS if reference_s is not None and reference_s >= 1 else MILLISECONDS


def scale(objective: ServiceLevelObjective) -> Scale:
    """The unit of an objective's row."""
    unit = INDICATORS[objective.indicator].unit
    if unit == "s":
        return time_scale(objective.limit)
    return PERCENT if unit == "share" else PLAIN


def figure(value: float | None) -> str:
    """Four digits; a dash for what is undefined, never 0."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def whole(count: int | None) -> str:
    """A count."""
    return UNDEFINED if count is None else str(count)


def many(count: int, noun: str) -> str:
    """'1 claim', '2 claims'."""
    return f"{whole(count)} {noun}" + ("" if count == 1 else "s")


def share_of(count: int, total: int) -> str:
    """'3 of 200 (1.5 %)': a share always with its denominator."""
    share = f" ({PERCENT.quantity(count / total)})" if total else ""
    return f"{whole(count)} of {whole(total)}{share}"


def subject(objective: ServiceLevelObjective) -> str:
    """What is limited: 'TTFT p95', 'error share'."""
    known = INDICATORS[objective.indicator]
    return f"{known.label} {objective.statistic}" if known.unit == "s" else known.label


def limit(objective: ServiceLevelObjective) -> str:
    """'≤ 500 ms'."""
    side = "≤" if objective.at_most is not None else "≥"
    return f"{side} {scale(objective).quantity(objective.limit)}"


def per_request(objective: ServiceLevelObjective) -> str:
    """The limits that make a request good: 'TTFT ≤ 500 ms, TPOT ≤ 50 ms'; empty for others."""
    return ", ".join(
        f"{INDICATORS[name].label} ≤ {time_scale(one).quantity(one)}"
        for name, one in objective.per_request.items()
    )


def measured(verdict: Verdict) -> str:
    """'412 ms [398, 430]'; a count of requests has no interval."""
    unit = scale(verdict.objective)
    interval = unit.interval(verdict.low, verdict.high)
    value = unit.quantity(verdict.value)
    return value if interval == UNDEFINED else f"{value} {interval}"


def bad_of(verdict: Verdict) -> str:
    """'8 of 400 bad'."""
    return f"{whole(verdict.bad)} of {whole(verdict.requests)} bad"


def headroom(verdict: Verdict) -> str:
    """'1.21×': how many times the value fits into the limit; below 1 the value is over it."""
    ratio = verdict.headroom
    return UNDEFINED if ratio is None else f"{figure(float(f'{ratio:.3g}'))}×"


def sentence(judged: Judged) -> str:
    """An objective and what became of it: what a reader must know who reads no further."""
    verdict = judged.verdict
    if verdict.value is None and verdict.requests:
        said = "is undefined (too few requests have one)"
    else:
        said = f"is {measured(verdict)}"
    about = f"{subject(judged.objective)} ({judged.objective.id}) {said}"
    return f"{about}, limit {limit(judged.objective)}; {judged.reason}"


def duration(seconds: float | None) -> str:
    """'0.42 s', '12.3 s', '3 min 05 s', '2 h 10 min'."""
    if seconds is None:
        return UNDEFINED
    if 0 < seconds < 0.005:
        return "< 0.01 s"
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(iso: str | None) -> str:
    """'2026-11-21 08:17:28 UTC'; what is not a time is shown as it stands."""
    if iso is None:
        return UNDEFINED
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return iso


def between(start: str, end: str | None) -> float | None:
    """Seconds between two ISO times, None when either is not one."""
    try:
        return (datetime.fromisoformat(end or "") - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def one_line(text: str | None, longest: int) -> str:
    """The first line that says something, cut with an ellipsis."""
    line = next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
