"""Runs beside a baseline, judged: each figure against the anchor and against the latest that was accepted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from instruments.slo.baseline import (
    ERROR_SHARE,
    RUNS_LEAST,
    Accepted,
    Baseline,
    Reading,
    SavedRun,
    refuse_known,
    refuse_unlike,
)
from instruments.slo.comparison import Figure
from instruments.statistics.comparison import Change, RunValue, decide_interval, difference_of_runs

FIGURES = ("ttft_s p50", "ttft_s p95", "tpot_s p50", "e2e_s p50", ERROR_SHARE)
RUNS_MOST = 100  # what would need more is not told in runs


@dataclass(frozen=True, slots=True)
class RegressionRule:
    """What counts as worse. `tolerance` is a ratio less 1; that of the error share a difference of shares.

    `false_alarm`: the probability that any figure is said to be WORSE of runs that are within the tolerance
    of the anchor and of the latest; shared out over all figures, and over the two.
    """

    figures: tuple[str, ...] = FIGURES
    tolerance: float = 0.05
    error_tolerance: float = 0.01
    false_alarm: float = 0.01

    def __post_init__(self) -> None:
        for name in self.figures:
            if name != ERROR_SHARE:
                Figure(*name.split(" ", 1))
        if not 0 < self.false_alarm < 0.5 or not self.tolerance > 0 or not self.error_tolerance > 0:
            raise ValueError("false_alarm lies between 0 and 0.5, and tolerances are above 0")

    def bound(self, figure: str) -> float:
        """The tolerance on the scale of the figure's readings."""
        return self.error_tolerance if figure == ERROR_SHARE else math.log1p(self.tolerance)


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One figure of one workload beside one set of the baseline.

    `value`, `low`, `high`: the ratio to the set's runs with its interval, for the error share the difference.
    `runs_more`: how many further runs would likely decide it, if they come out alike.
    """

    workload: str
    figure: str
    against: str  # "anchor" or "latest"
    change: Change
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 0
    requests: int = 0
    failed: int = 0
    runs_more: int | None = None


@dataclass(frozen=True, slots=True)
class Regression:
    """All of it: WORSE when any figure is, else INCONCLUSIVE when any is, or when there is nothing."""

    change: Change
    reason: str
    rows: tuple[FigureChange, ...]


def judge_runs(
    baseline: Baseline,
    runs: Sequence[SavedRun],
    rule: RegressionRule | None = None,
    across: Sequence[str] = (),
) -> Regression:
    """Judge runs beside a baseline. ConfigurationError where fingerprints differ beyond `across`."""
    rule = rule or RegressionRule()
    refuse_known(runs, baseline)
    across = (*across, *baseline.latest.across)
    for run in (*(one for kept in baseline.sets().values() for one in kept.runs), *runs[1:]):
        refuse_unlike(runs[0], run, across)
    rows = tuple(_rows(baseline, runs, rule))
    if rows and baseline.runs_missing:
        told = f"{len(baseline.anchor.runs)} of at least {RUNS_LEAST} runs in the baseline"
        reason = f"how much equal runs differ is not known: {told}, {baseline.runs_missing} more are needed"
        rows = tuple(replace(row, change=Change.INCONCLUSIVE, reason=told, runs_more=None) for row in rows)
        return Regression(Change.INCONCLUSIVE, reason, rows)
    return Regression(*_overall(rows), rows)


def _overall(rows: Sequence[FigureChange]) -> tuple[Change, str]:
    for change in (Change.WORSE, Change.INCONCLUSIVE, Change.BETTER, Change.EQUIVALENT):
        found = [row for row in rows if row.change is change]
        if found:
            first = found[0]
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            told = f"{first.workload} {first.figure} against the {first.against}: {first.reason}{more}"
            return change, "all within the tolerance" if change is Change.EQUIVALENT else told
    return Change.INCONCLUSIVE, "nothing was compared"


def _rows(baseline: Baseline, runs: Sequence[SavedRun], rule: RegressionRule) -> Iterator[FigureChange]:
    sets = baseline.sets()
    workloads = sorted({name for run in baseline.latest.runs for name in run.loads} | {*runs[0].loads})
    wanted = [
        (workload, figure)
        for workload in workloads
        for figure in rule.figures
        if any(figure in run.loads[workload].figures for run in _with(baseline, runs, workload))
    ]
    error = rule.false_alarm / max(1, len(wanted) * len(sets))
    for workload, figure in wanted:
        for against in sets:
            yield _row(workload, figure, against, sets, runs, rule, error)


def _with(baseline: Baseline, runs: Sequence[SavedRun], workload: str) -> Iterator[SavedRun]:
    kept = (run for accepted in baseline.sets().values() for run in accepted.runs)
    return (run for run in (*kept, *runs) if workload in run.loads)


def _row(
    workload: str,
    figure: str,
    against: str,
    sets: dict[str, Accepted],
    runs: Sequence[SavedRun],
    rule: RegressionRule,
    error: float,
) -> FigureChange:
    readings = {name: _readings(kept.runs, workload, figure) for name, kept in sets.items()}
    ours = _readings(runs, workload, figure)
    found = [one for one in ours if isinstance(one, Reading)]
    row = FigureChange(
        workload, figure, against, *_without_a_number(readings[against], ours), runs=len(found),
        requests=sum(one.requests for one in found), failed=sum(one.failed for one in found),
    )  # fmt: skip
    if row.reason:
        return row
    known = {name: _numbers(these) for name, these in readings.items()}
    reference, candidate = known.pop(against), _numbers(ours)
    others = [[one.value for one in these] for these in known.values()]
    bound = rule.bound(figure)
    difference = difference_of_runs(reference, candidate, error, groups=others)
    change = _decided(*difference[1:], bound)
    more = _more(reference, candidate, error, others, bound) if change is Change.INCONCLUSIVE else None
    ends = difference if figure == ERROR_SHARE else map(_exp, difference)
    value, low, high = (end if math.isfinite(end) else None for end in ends)
    reason = _words(change, figure, rule)
    return replace(row, change=change, reason=reason, value=value, low=low, high=high, runs_more=more)


def _without_a_number(kept: Sequence[Reading | str], ours: Sequence[Reading | str]) -> tuple[Change, str]:
    """What becomes of readings that are missing, or infinite; no reason where all are numbers."""
    if said := next((one for one in (*kept, *ours) if isinstance(one, str)), None):
        return Change.INCONCLUSIVE, said
    infinite = [one for one in ours if isinstance(one, Reading) and one.value is None]
    if len(_numbers(kept)) < len(kept):
        return Change.INCONCLUSIVE, "infinite in the baseline itself, so many requests failed"
    if infinite:
        reason = f"infinite in {len(infinite)} of {len(ours)} runs, so many requests failed"
        return (Change.WORSE if len(infinite) == len(ours) else Change.INCONCLUSIVE), reason
    return Change.INCONCLUSIVE, ""


def _numbers(readings: Sequence[Reading | str]) -> list[RunValue]:
    """Those that are numbers: of an infinite one the spread between runs says nothing."""
    return [
        RunValue(one.value, one.error)
        for one in readings
        if isinstance(one, Reading) and one.value is not None
    ]


def _readings(runs: Sequence[SavedRun], workload: str, figure: str) -> list[Reading | str]:
    """Of each run what it read, or why that does not count."""
    found: list[Reading | str] = []
    for run in runs:
        load = run.loads.get(workload)
        reading = load.figures.get(figure) if load is not None else None
        if load is not None and load.doubt is not None:
            found.append(f"{run.name} does not count: {load.doubt}")
        elif reading is None:
            found.append(f"{run.name} has no such figure")
        else:
            found.append(reading)
    return found


def _decided(low: float, high: float, bound: float) -> Change:
    change = decide_interval(low, high, bound, bound)
    return Change.BETTER if change is Change.INCONCLUSIVE and high < 0 else change


def _more(
    reference: Sequence[RunValue],
    candidate: Sequence[RunValue],
    error: float,
    others: Sequence[Sequence[float]],
    bound: float,
) -> int | None:
    """How many further runs would likely decide, if they came out as these did; None for very many."""

    def open_after(more: int) -> bool:
        alike = [candidate[number % len(candidate)] for number in range(len(candidate) + more)]
        _, low, high = difference_of_runs(reference, alike, error, groups=others)
        return _decided(low, high, bound) is Change.INCONCLUSIVE

    if open_after(RUNS_MOST):
        return None
    low, high = 0, RUNS_MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if open_after(middle) else (low, middle)
    return high


def _words(change: Change, figure: str, rule: RegressionRule) -> str:
    share = figure == ERROR_SHARE
    tolerance = f"{rule.error_tolerance * 100:g} points" if share else f"{rule.tolerance * 100:g} %"
    match change:
        case Change.WORSE:
            return f"{'higher' if share else 'slower'} by more than {tolerance}"
        case Change.EQUIVALENT:
            return f"within {tolerance}"
        case Change.BETTER:
            return "lower" if share else "faster"
    return f"too few runs to tell from a difference of {tolerance}"


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)
