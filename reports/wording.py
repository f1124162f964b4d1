"""How numbers are said: one unit a row, undefined as a dash, shares with what they are shares of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

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
GIBIBYTES = Scale(1 / 2**30, "GiB")
PER_MILLION = Scale(1e6, "per million tokens")  # as prices of tokens are told
# Units of indicators that are shown in another one.
_SHOWN_IN = {"share": PERCENT, "bytes": GIBIBYTES, "/token": PER_MILLION}


def time_scale(reference_s: float | None) -> Scale:
    """Milliseconds for what is below a second: limit, value and interval of a row share the unit."""
    return SECONDS if reference_s is not None and reference_s >= 1 else MILLISECONDS


def scale(objective: ServiceLevelObjective) -> Scale:
    """The unit of an objective's row."""
    known = INDICATORS[objective.indicator]
    if known.unit == "s":
        return time_scale(objective.limit)
    return _SHOWN_IN.get(known.unit) or Scale(1.0, known.suffix.strip())


def figure(value: float | None) -> str:
    """Four digits; a dash for what is undefined, never 0."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:.4g}"


def whole(count: int | None) -> str:
    """A count: 999, 1,200."""
    return UNDEFINED if count is None else f"{count:,}"


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
    return f"{known.label} {objective.statistic}" if len(known.statistics) > 1 else known.label


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
    """'8 of 400 bad', '8 of 1,200 bad (≈ 410 independent)'; of what is not good or bad only how many."""
    of = counted(verdict)
    said = f"{bad(verdict)} bad" if _of_requests(verdict) else f"of {of}" if of else UNDEFINED
    worth = independent(verdict)
    return said + (f" ({worth})" if worth else "")


def bad(verdict: Verdict) -> str:
    """'8 of 400', a dash for what is not good or bad."""
    return f"{whole(verdict.bad)} of {whole(verdict.requests)}" if _of_requests(verdict) else UNDEFINED


def counted(verdict: Verdict) -> str:
    """What a verdict rests on: '1,200 requests', '40 samples', '5,000 gaps'; nothing for a counter."""
    if not verdict.requests:
        return ""
    known = INDICATORS[verdict.objective.indicator]
    noun = "request"
    if known.kind == "gap":
        noun = "gap"
    elif known.kind in ("server", "gpu") and not known.histogram:
        noun = "sample"
    return many(verdict.requests, noun)


def is_counted(verdict: Verdict) -> bool:
    """Whether the value was counted, not estimated: no confidence is said of it."""
    return verdict.objective.statistic == "count" or verdict.test.startswith("counted")


def independent(verdict: Verdict) -> str:
    """'≈ 410 independent', where what was counted hangs together; else nothing."""
    worth = verdict.requests_effective
    if worth is None or round(worth) >= verdict.requests:
        return ""
    return f"≈ {whole(round(worth))} independent"


def trimmed(verdict: Verdict) -> str:
    """'the first 40 left out: not steady yet', or nothing."""
    return f"the first {whole(verdict.trimmed)} left out: not steady yet" if verdict.trimmed else ""


def _of_requests(verdict: Verdict) -> bool:
    """Whether the judgement is of how many were bad: a mean's is not."""
    kind = INDICATORS[verdict.objective.indicator].kind
    return kind in ("request", "gap", "share", "count") and verdict.objective.statistic != "mean"


def shared_alarms(verdicts: Iterable[Verdict]) -> list[str]:
    """'20 objectives share a 1 % chance of any false alarm', for each family of more than one."""
    families = {
        (one.objective.family, one.family, round(1 - one.objective.confidence, 9))
        for one in verdicts
        if one.family > 1
    }
    several = len({name for name, _, _ in families}) > 1
    return [
        f"{size} objectives{f' of the family {name}' if several else ''} share a "
        f"{PERCENT.quantity(chance)} chance of any false alarm"
        for name, size, chance in sorted(families)
    ]


def sampled(sampling: Mapping[str, Any], requests: int) -> str:
    """'sampled until decided: 312 of at most 2,000 requests'; nothing for a run of a planned size."""
    if sampling.get("looks") != "open":
        return ""
    most = sampling.get("requests_most")
    bound = f" of at most {whole(most)}" if isinstance(most, int) else ""
    how = "sampled until decided" if sampling.get("decided") else "sampled, and not decided"
    return f"{how}: {whole(requests)}{bound} requests"


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
