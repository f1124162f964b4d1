"""Interleaved comparisons that a run made: trials/<name>/ with their journals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from instruments.results import RunFolder
from instruments.slo.comparison import FAILURES_SHARE, Figure
from instruments.statistics.comparison import Change, CompareRule
from instruments.trials.interleaved import DOCUMENT

_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Ratio:
    """B over A, with its interval that holds at every look; None is not known, of `high` without a bound."""

    value: float | None
    low: float | None
    high: float | None
    confidence: float


@dataclass(frozen=True, slots=True)
class TrialNumbers:
    """What came of a comparison. `requests` and `failed`: of A, of B. `pairs` are those that were run."""

    figure: Figure
    rule: CompareRule
    change: Change
    reason: str
    ratio: Ratio
    pairs: int
    pairs_more: int | None
    requests: tuple[int, int]
    failed: tuple[int, int]
    simulated: bool
    endpoints: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One comparison of two endpoints: its name, and the document that it left.

    `numbers` is the document, typed; None where it has another shape, which is a problem of the run.
    """

    name: str
    document: dict[str, Any]
    numbers: TrialNumbers | None = None


def read_trials(folder: RunFolder) -> tuple[list[Trial], list[str]]:
    """(every comparison that can be read, what is wrong with any of them)."""
    found: list[Trial] = []
    problems: list[str] = []
    for path in sorted(folder.path.glob(f"trials/*/{DOCUMENT}")):
        name = str(path.relative_to(folder.path))
        document = folder.read_document(name)
        if document is None:
            problems.append(f"{name} cannot be read")
            continue
        try:
            numbers: TrialNumbers | None = trial_numbers(document)
        except _MALFORMED as error:
            numbers = None
            problems.append(f"{name} has another shape than a comparison's ({type(error).__name__}: {error})")
        found.append(Trial(path.parent.name, document, numbers))
    return found, problems


def trial_numbers(document: Mapping[str, Any]) -> TrialNumbers:
    """The document of `instruments.trials.interleaved`, typed; KeyError and the like for another shape."""
    rule = CompareRule(**document["rule"])
    ends = {name: document["ratio"][name] for name in ("value", "low", "high")}
    return TrialNumbers(
        figure=Figure(**document["figure"]),
        rule=rule,
        change=Change(document["change"]),
        reason=str(document["reason"]),
        ratio=Ratio(
            **{name: None if end is None else float(end) for name, end in ends.items()},
            confidence=1 - rule.error * (1 - FAILURES_SHARE),
        ),
        pairs=len(document["pairs"]),
        pairs_more=document["pairs_more"],
        requests=(int(document["requests"]["a"]), int(document["requests"]["b"])),
        failed=(int(document["failed"]["a"]), int(document["failed"]["b"])),
        simulated=bool(document["simulated"]),
        endpoints=document["endpoints"],
    )
