"""An entry of the history: a run's verdict.json, typed. Journals are never read."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError, JournalError
from instruments.results import RunFolder
from instruments.slo import ServiceLevelObjective, State
from instruments.slo.baseline import SavedLoad, SavedRun
from instruments.statistics.difference import Estimate
from reports.document import SCHEMA
from reports.history.runs import Run, moment, read_run
from reports.loads import MALFORMED

_FIELDS = frozenset(ServiceLevelObjective.__dataclass_fields__)
# Of a load's entry, what could change a number, where the document tells it.
_TOLD = ("workload_sha256",)
RATES = ("achieved_per_s", "completed_per_s", "output_tokens_per_s")


@dataclass(frozen=True, slots=True)
class Found:
    """One objective as a run found it; an end of the interval that is None is not known."""

    objective: ServiceLevelObjective
    state: State
    value: float | None
    low: float | None
    high: float | None
    requests: int
    bad: int
    journal: str | None
    counted: bool  # not estimated: it has no interval, and needs none

    def estimate(self) -> Estimate | None:
        """The value with its interval; None where it has none: counted, or not measured."""
        if self.value is None or (self.low is None and self.high is None):
            return None
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        # Where all values are one, rounding may put an end on the wrong side of the value by its last digit.
        slack = 1e-9 * abs(self.value)
        if not low - slack <= self.value <= high + slack:
            return None
        return Estimate(self.value, min(low, self.value), max(high, self.value))


@dataclass(frozen=True, slots=True)
class LoadFigures:
    """What a run tells of one load; rates are per second."""

    name: str
    workload: str | None
    due: int
    completed: int
    rates: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """A run's verdict, by objective and load. `at` is when it started."""

    name: str
    folder: Path
    at: datetime
    environment: str
    engine: str | None
    state: str
    gate: bool
    simulated: bool
    claims: Mapping[str, int]
    objectives: Mapping[str, Found]
    loads: Mapping[str, LoadFigures]
    fingerprint: Mapping[str, str] = field(default_factory=dict)

    @property
    def required(self) -> list[Found]:
        return [one for one in self.objectives.values() if one.objective.required]

    @property
    def met(self) -> int:
        """Required objectives that are met."""
        return sum(one.state is State.MET for one in self.required)

    def saved(self) -> SavedRun:
        """As `instruments.slo.baseline` compares fingerprints; without any figures."""
        workloads = {load.workload or name: SavedLoad({}) for name, load in self.loads.items()}
        return SavedRun(self.name, self.fingerprint, workloads)


def read_entries(runs: Iterable[Run]) -> tuple[list[Entry], dict[str, str]]:
    """(what can be read, in that order; by name why others cannot). One that never finished is left out."""
    found: list[Entry] = []
    unread: dict[str, str] = {}
    for run in runs:
        try:
            if run.problem is None and run.finished:
                found.append(read_entry(run))
        except JournalError as error:
            unread[run.name] = error.message + (f" ({error.seen})" if error.seen else "")
        if run.problem is not None:
            unread[run.name] = run.problem
    return found, unread


def open_entry(folder: Path) -> Entry:
    """The entry of a run's folder, or of a link to one. ConfigurationError where it tells no verdict."""
    run = read_run(Path(os.path.realpath(folder)))
    if run.problem is not None:
        raise ConfigurationError(
            f"{folder} is not a run's folder", seen=run.problem, hint="python -m reports list"
        )
    try:
        return read_entry(run)
    except JournalError as error:
        raise ConfigurationError(f"{folder}: {error.message}", **error.facts()) from None


def read_entry(run: Run) -> Entry:
    """The verdict of a run that can be read; JournalError where it is missing, older or of another shape."""
    document = RunFolder(run.folder).read_document("verdict.json")
    if document is None:
        raise JournalError(
            "no verdict.json that can be read",
            hint=f"python -m reports {run.folder} makes it from the journals",
        )
    return from_document(document, run.folder)


def from_document(document: Mapping[str, Any], folder: Path) -> Entry:
    """An entry out of a verdict document of schema 2; JournalError for another one."""
    if document.get("schema") != SCHEMA:
        raise JournalError(
            "its verdict.json is of another version",
            expected=f"schema {SCHEMA}",
            seen=f"schema {document.get('schema')}",
        )
    try:
        return _entry(document, folder)
    except MALFORMED as error:
        raise JournalError(
            "its verdict.json has another shape", seen=f"{type(error).__name__}: {error}"
        ) from None


def _entry(document: Mapping[str, Any], folder: Path) -> Entry:
    loads = [_load(one) for one in document["loads"]]
    return Entry(
        name=str(document["run_id"]),
        folder=folder,
        at=moment(document["started_at"]),
        environment=str(document["environment"]),
        engine=document["engine"],
        state=str(document["state"]),
        gate=bool(document["gate"]),
        simulated=bool(document["simulated"]),
        claims={name: int(count) for name, count in document["claims"].items()},
        objectives=_by_key([_found(one) for one in document["objectives"]]),
        loads={load.name: load for load in loads},
        fingerprint=_fingerprint(document),
    )


def _by_key(found: list[Found]) -> dict[str, Found]:
    """By id; where a run judged one on several loads, by id and journal."""
    ids = [one.objective.id for one in found]
    journals = {name: {one.journal for one in found if one.objective.id == name} for name in ids}
    return {
        one.objective.id
        if len(journals[one.objective.id]) == 1
        else f"{one.objective.id} on {one.journal}": one
        for one in found
    }


def _found(one: Mapping[str, Any]) -> Found:
    return Found(
        objective=ServiceLevelObjective.from_document({name: one[name] for name in _FIELDS & one.keys()}),
        state=State(one["state"]),
        value=_number(one["value"]),
        low=_number(one["low"]),
        high=_number(one["high"]),
        requests=int(one["requests"]),
        bad=int(one["bad"]),
        journal=one["journal"],
        counted=one["statistic"] == "count" or str(one["test"] or "").startswith("counted"),
    )


def _load(one: Mapping[str, Any]) -> LoadFigures:
    outcomes = one["outcomes"]
    return LoadFigures(
        name=str(one["name"]),
        workload=one["workload"],
        due=int(one["due"]),
        completed=int(outcomes.get("COMPLETED", 0)),
        rates={name: _number(one[name]) for name in RATES},
    )


def _fingerprint(document: Mapping[str, Any]) -> dict[str, str]:
    found = {str(name): str(value) for name, value in document["fingerprint"].items()}
    for load in document["loads"]:
        for name in _TOLD:
            if load.get(name) is not None:
                found[f"loads.{load['workload'] or load['name']}.{name}"] = str(load[name])
    return found


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"a number or null, got {value!r}")
    if not math.isfinite(value):  # which Python's JSON reads, and no verdict has
        raise ValueError(f"a finite number or null, got {value!r}")
    return float(value)
