"""The baseline: what saved runs said, kept to compare later runs with, and unable to lower itself.

It holds two sets of runs: the anchor, which was accepted first, and the latest that was accepted. A run is
WORSE when it is worse than either by more than the tolerance: many steps, each within it, end at the anchor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from instruments.errors import ConfigurationError
from instruments.slo.comparison import Figure, doubts, is_timed, judged_requests
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.quantiles import quantile_interval
from instruments.statistics.summary import RunSummary

SCHEMA = 1
RUNS_LEAST = 3  # of the anchor: with fewer nobody knows how much two runs of one system differ
KEPT = ("p50", "p95", "p99", "mean")
ERROR_SHARE = "error_share"
ONE_DEVIATION = 0.6827  # of a normal law lies within one standard deviation
# Differ from run to run and change no number: the port that a server was given.
_PASSING = re.compile(r"(--port[ =])[0-9]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure of one run. `value`: the natural logarithm of seconds, or a share; None is infinite."""

    value: float | None
    error: float  # its standard error within the run, were requests independent; 0 where not known
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class SavedLoad:
    """One workload's part of a run: figure, as "ttft_s p95" or "error_share", to what it was."""

    figures: Mapping[str, Reading]
    doubt: str | None = None  # why nothing of it counts: void, or it did not end well


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What is kept of a run: its fingerprint, and its loads by workload."""

    name: str
    fingerprint: Mapping[str, str]
    loads: Mapping[str, SavedLoad]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A set of runs of one system, when (ISO 8601) and why it was accepted, across which differences."""

    runs: tuple[SavedRun, ...]
    at: str
    reason: str = ""
    across: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """The anchor, the latest that was accepted, and each anchor that was given up, with the reason."""

    anchor: Accepted
    latest: Accepted
    given_up: tuple[Accepted, ...] = field(default=())

    @property
    def runs_missing(self) -> int:
        """How many more runs the anchor needs before anything can be compared."""
        return max(0, RUNS_LEAST - len(self.anchor.runs))

    def sets(self) -> dict[str, Accepted]:
        """What a run is compared with: one set where the latest is the anchor."""
        return {"anchor": self.anchor} | ({} if self.latest == self.anchor else {"latest": self.latest})

    def accepting(self, runs: Sequence[SavedRun], at: str, across: Sequence[str] = ()) -> Baseline:
        """With these runs as the latest. The anchor stays; one of too few runs is filled up first.

        Whether they are good enough is the caller's to have judged. ConfigurationError for a run that it has,
        and for one that does not count.
        """
        refuse_known(runs, self)
        refuse_doubted(runs)
        if self.runs_missing:
            whole = replace(self.anchor, runs=(*self.anchor.runs, *runs))
            return replace(self, anchor=whole, latest=whole)
        # What was once accepted as a difference lies between the anchor and all that comes later.
        kept = tuple(dict.fromkeys((*self.latest.across, *across)))
        return replace(self, latest=Accepted(tuple(runs), at, across=kept))

    def rebased(self, runs: Sequence[SavedRun], at: str, reason: str) -> Baseline:
        """With these runs as the anchor.

        ConfigurationError without a reason, which the file keeps, and for a run that does not count.
        """
        if not reason.strip():
            raise ConfigurationError(
                "the anchor of a baseline moves only for a reason", expected="in words, why"
            )
        refuse_doubted(runs)
        anchor = Accepted(tuple(runs), at, reason)
        return Baseline(anchor, anchor, (*self.given_up, self.anchor))

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "kind": "baseline",
            "schema": SCHEMA,
            "anchor": _told_set(self.anchor),
            "latest": None if self.latest == self.anchor else _told_set(self.latest),
            "given_up": [_told_set(one) for one in self.given_up],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], where: str) -> Baseline:
        """Out of what `document` made; ConfigurationError names `where` it was found."""
        if document.get("kind") != "baseline" or document.get("schema") != SCHEMA:
            raise ConfigurationError(
                f"{where} is not a baseline",
                expected=f"kind baseline, schema {SCHEMA}",
                seen=f"kind {document.get('kind')}, schema {document.get('schema')}",
            )
        try:
            anchor = _read_set(document["anchor"])
            latest = anchor if document["latest"] is None else _read_set(document["latest"])
            return cls(anchor, latest, tuple(_read_set(one) for one in document["given_up"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{where} is a damaged baseline", seen=repr(error)) from None


def first_baseline(runs: Sequence[SavedRun], at: str, reason: str = "") -> Baseline:
    """A baseline whose anchor and latest are these runs.

    ConfigurationError where they are unlike, or one does not count.
    """
    refuse_doubted(runs)
    return runs_beside(runs, at, reason)


def runs_beside(runs: Sequence[SavedRun], at: str = "", reason: str = "") -> Baseline:
    """Runs to compare others with, not to be kept: one that does not count leaves the comparison open."""
    for run in runs[1:]:
        refuse_unlike(runs[0], run)
    accepted = Accepted(tuple(runs), at, reason)
    return Baseline(accepted, accepted)


def saved_load(summary: RunSummary) -> SavedLoad:
    """All figures of one load that have a number or lack one because requests failed."""
    figures = dict(_timed(summary))
    if n := summary.due:
        share = (summary.errors + 0.5) / (n + 1)  # not 0: that none failed is no proof that none would
        error = math.sqrt(share * (1 - share) / n)
        figures[ERROR_SHARE] = Reading(summary.errors / n, error, n, summary.errors)
    return SavedLoad(figures, "; ".join(doubts(summary)) or None)


def _timed(summary: RunSummary) -> Iterator[tuple[str, Reading]]:
    for name, indicator in INDICATORS.items():
        if not is_timed(indicator) or not summary.distributions[name]:
            continue
        n = judged_requests(summary, name)
        for figure in (Figure(name, statistic) for statistic in KEPT):
            if n >= figure.requests_least:
                value = figure.of(summary)
                log = math.log(value) if 0 < value < math.inf else None
                yield f"{name} {figure.statistic}", Reading(log, _error(summary, figure), n, summary.errors)


def _error(summary: RunSummary, figure: Figure) -> float:
    """The standard error of a log value: half of what order statistics enclose at one deviation."""
    known = summary.distributions[figure.indicator]
    if figure.statistic == "mean":
        mean = math.fsum(known) / len(known)
        squares = math.fsum((value - mean) ** 2 for value in known)
        return math.sqrt(squares) / len(known) / mean if mean > 0 else 0.0
    ends = quantile_interval(known, figure.quantile, ONE_DEVIATION)
    return math.log(ends[1] / ends[0]) / 2 if ends is not None and ends[0] > 0 else 0.0


def unlike(one: SavedRun, other: SavedRun, across: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """The keys in which two fingerprints differ, with both values; but those that `across` names (globs).

    A key that only one of them has is a difference; of a workload that only one of them has, it is none.
    """
    apart = {}
    alone = set(one.loads) ^ set(other.loads)
    for key in sorted({*one.fingerprint, *other.fingerprint}):
        ours, its = (_lasting(run.fingerprint.get(key, "(not known)")) for run in (one, other))
        passed = any(fnmatchcase(key, pattern) for pattern in across)
        if ours != its and not passed and not any(key.startswith(f"loads.{load}.") for load in alone):
            apart[key] = (ours, its)
    return apart


def refuse_unlike(one: SavedRun, other: SavedRun, across: Sequence[str] = ()) -> None:
    """ConfigurationError, with every key that differs, unless two runs can be compared."""
    apart = unlike(one, other, across)
    if apart:
        raise ConfigurationError(
            f"{one.name} and {other.name} cannot be compared: they differ in "
            + "".join(f"\n    {key}: {ours!r}, {its!r}" for key, (ours, its) in apart.items()),
            expected="equal fingerprints",
            hint=f"where the difference is what is to be compared: --across {next(iter(apart))}",
        )


def refuse_doubted(runs: Sequence[SavedRun]) -> None:
    """ConfigurationError for a run that does not count: what comes later would be held against it."""
    for run in runs:
        for name, load in run.loads.items():
            doubt = load.doubt or (None if load.figures else "nothing was measured")
            if doubt is not None:
                raise ConfigurationError(
                    f"the run {run.name} cannot be accepted: its load {name} does not count: {doubt}",
                    expected="runs that came to their end, and whose client did not disturb them",
                )


def refuse_known(runs: Sequence[SavedRun], baseline: Baseline) -> None:
    """ConfigurationError for a run that the baseline has: it would be compared with itself."""
    known = {run.name for accepted in baseline.sets().values() for run in accepted.runs}
    names = [run.name for run in runs]
    if found := sorted(known & set(names)) or sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"the run {found[0]} is counted already", expected="each run once")


def _lasting(value: str) -> str:
    return _PASSING.sub(r"\1*", value)


def _told_set(accepted: Accepted) -> dict[str, Any]:
    return {
        "at": accepted.at,
        "reason": accepted.reason,
        "across": list(accepted.across),
        "runs": [
            {
                "name": run.name,
                "fingerprint": dict(run.fingerprint),
                "loads": {name: _told_load(load) for name, load in run.loads.items()},
            }
            for run in accepted.runs
        ],
    }


def _told_load(load: SavedLoad) -> dict[str, Any]:
    figures = {
        name: {"value": one.value, "error": one.error, "requests": one.requests, "failed": one.failed}
        for name, one in load.figures.items()
    }
    return {"doubt": load.doubt, "figures": figures}


def _read_set(document: Mapping[str, Any]) -> Accepted:
    runs = tuple(
        SavedRun(
            run["name"], run["fingerprint"], {name: _read_load(load) for name, load in run["loads"].items()}
        )
        for run in document["runs"]
    )
    return Accepted(runs, document["at"], document["reason"], tuple(document["across"]))


def _read_load(document: Mapping[str, Any]) -> SavedLoad:
    figures = {name: Reading(**one) for name, one in document["figures"].items()}
    return SavedLoad(figures, document["doubt"])
