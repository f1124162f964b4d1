"""Conservation laws of a run: each as the session stored it, beside what its files give today."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from instruments.results import ClaimRecord
from instruments.slo import State
from instruments.slo.conservation import OVERHEAD_BUDGET_S, LawVerdict, check_laws
from instruments.telemetry.record import ServerRecord
from reports.loads import MALFORMED, Load

Checked = dict[tuple[str, bool, float], dict[str, LawVerdict]]  # by load's journal, and how it was asked

_WORST_FIRST = (State.VIOLATED, State.INCONCLUSIVE, State.MET)


@dataclass(frozen=True, slots=True)
class Law:
    """One law on one load. `required` ones take a pass away; `claim` is a test that failed for it."""

    law: str
    load: str
    state: State
    reason: str
    expected: str = ""
    seen: str = ""
    value: float | None = None  # seconds, of the laws that have a budget of time
    statement: str = ""  # the law in words
    required: bool = True
    claim: str | None = None
    problem: str | None = None  # why stored and recomputed do not agree


def judge_laws(
    documents: Iterable[dict[str, Any]], loads: Sequence[Load], claims: Iterable[ClaimRecord] = ()
) -> list[Law]:
    """Lines of laws.jsonl, judged again on their loads; one of MALFORMED for a line of another shape."""
    by_journal = {load.journal: load for load in loads}
    by_name = {load.run.name: load for load in loads}
    failed = [claim for claim in claims if claim.outcome == "failed"]
    found = []
    known: Checked = {}
    for stored in documents:
        load = by_journal.get(str(stored.get("journal"))) or by_name.get(str(stored.get("load")))
        law = _again(stored, load, known)
        found.append(replace(law, claim=_claim(stored, failed)))
    return found


def _claim(stored: dict[str, Any], failed: Iterable[ClaimRecord]) -> str | None:
    """The test that failed because of a law, known by what LawVerdict.require_met says."""
    said = f"{stored['state']}: {stored['law']} on {stored['load']}: "
    return next((claim.nodeid for claim in failed if claim.reason.startswith(said)), None)


def unkept(laws: Iterable[Law]) -> list[tuple[Law, ...]]:
    """Laws that are broken, then those that cannot be checked.

    Side by side where it is for one reason, which then is said once, and not eleven times.
    """
    groups: dict[tuple[object, ...], list[Law]] = {}
    for law in sorted(laws, key=lambda law: _WORST_FIRST.index(law.state)):
        if law.state is State.MET:
            continue
        alone = () if law.state is State.INCONCLUSIVE else (law.law, law.load)
        groups.setdefault((law.state, law.required, law.reason, law.expected, law.seen, *alone), []).append(
            law
        )
    return [tuple(group) for group in groups.values()]


def law_problems(laws: Iterable[Law]) -> list[str]:
    """Of each load in one line, however many of its laws fare worse than they did."""
    by_load: dict[str, list[str]] = {}
    for law in laws:
        if law.problem:
            by_load.setdefault(law.load, []).append(law.problem)
    return [
        first + (f"; and {len(rest)} more of its laws" if rest else "") for first, *rest in by_load.values()
    ]


def told(group: Sequence[Law]) -> str:
    """A group of laws in one line."""
    if len(group) == 1:
        return sentence(group[0])
    loads = ", ".join(dict.fromkeys(law.load for law in group))
    return f"{len(group)} laws on {loads}: {group[0].reason}"


def sentence(law: Law) -> str:
    """What a reader must know of a law who reads no further."""
    where = f" on {law.load}" if law.load else ""
    compared = f": expected {law.expected}, seen {law.seen}" if law.expected or law.seen else ""
    return f"{law.law}{where}{compared}" + (f"; {law.reason}" if law.reason else "")


def _again(stored: dict[str, Any], load: Load | None, known: Checked) -> Law:
    """The worse of the two. A MET that nothing is left to check by is not claimed any more."""
    law = _read(stored)
    if load is None or load.summary.server is None:
        if law.state is not State.MET or "journal" not in stored:
            return law
        gone = "its load cannot be read" if load is None else "what the server said around it cannot be read"
        return _worse(law, stored, State.INCONCLUSIVE, gone)
    try:
        now = _checked(stored, law, load, load.summary.server, known).get(law.law)
    except MALFORMED as error:
        return _worse(law, stored, State.INCONCLUSIVE, f"it cannot be checked again: {error}")
    if now is None or _WORST_FIRST.index(now.state) >= _WORST_FIRST.index(law.state):
        return law
    return _worse(law, {**stored, **now.document()}, now.state, now.reason)


def _checked(
    stored: dict[str, Any], law: Law, load: Load, server: ServerRecord, known: Checked
) -> dict[str, LawVerdict]:
    """All laws on a load, checked once for each way of asking."""
    exclusive = bool(stored.get("exclusive", law.state is not State.INCONCLUSIVE))
    budget_s = float(stored.get("overhead_budget_s", OVERHEAD_BUDGET_S))
    asked = load.journal, exclusive, budget_s
    if asked not in known:
        found = check_laws(load.run, server, exclusive=exclusive, overhead_budget_s=budget_s)
        known[asked] = {one.law: one for one in found}
    return known[asked]


def _worse(law: Law, document: dict[str, Any], state: State, reason: str) -> Law:
    told = f"stored as {law.state}; its files now give {state}: {reason}"
    return _read({**document, "state": state, "reason": told}, f"law {law.law} on {law.load}: {told}")


def _read(document: dict[str, Any], problem: str | None = None) -> Law:
    told = LawVerdict.from_document(document)
    return Law(
        law=told.law,
        load=told.load,
        state=told.state,
        reason=told.reason,
        expected=told.expected,
        seen=told.seen,
        value=told.value,
        statement=str(document.get("statement") or told.law),
        required=bool(document.get("required", True)),
        problem=problem,
    )
