"""The overall state of a run: one table, read from the top; the first rule that holds decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from instruments.results import ClaimRecord, SessionRecord
from instruments.slo import State
from reports import wording
from reports.exit_codes import VerdictExit
from reports.judged import Judged


class Overall(StrEnum):
    """What a run amounts to. Only MET passes."""

    FAILED = "FAILED"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOTHING_MEASURED = "NOTHING MEASURED"
    INTERRUPTED = "INTERRUPTED"
    MET = "MET"

    @property
    def exit_code(self) -> VerdictExit:
        return VerdictExit[self.name]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the overall state rests on."""

    session: SessionRecord
    claims: Sequence[ClaimRecord]
    judged: Sequence[Judged]
    lost: Sequence[str] = ()  # files of the run, or parts of them, that cannot be read
    explained: frozenset[str] = frozenset()  # claims that failed because of a verdict
    other_objectives: bool = False  # judged later, with other objectives than the session's

    def required(self, state: State) -> list[Judged]:
        return [one for one in self.judged if one.objective.required and one.state is state]

    def broken_claims(self) -> list[ClaimRecord]:
        """Claims that failed for a reason of their own. A broken objective fails the test that asked
        for it too; that one is counted once, as the objective."""
        return [
            claim
            for claim in self.claims
            if claim.outcome == "error" or (claim.outcome == "failed" and claim.nodeid not in self.explained)
        ]


def explained_claims(stored: Sequence[tuple[str, bool, State]]) -> frozenset[str]:
    """Which claims failed because of a verdict, from (claim, required, state) of the stored ones."""
    return frozenset(claim for claim, required, state in stored if required and state is not State.MET)


def decide(evidence: Evidence) -> tuple[Overall, str]:
    """The state, and its reason in one sentence."""
    for state, rule in _TABLE:
        if sentence := rule(evidence):
            return state, sentence
    return Overall.MET, _met(evidence)


def _broken_claim(evidence: Evidence) -> str | None:
    broken = evidence.broken_claims()
    if not broken:
        return None
    counts = Counter(claim.outcome for claim in broken)
    words = {"failed": "failed", "error": "ended in error"}
    told = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    first = wording.one_line(broken[0].reason or broken[0].title or broken[0].nodeid, 160)
    return f"Of {wording.many(len(evidence.claims), 'claim')}: {told}; the first: {first}"


def _violated(evidence: Evidence) -> str | None:
    return _objectives(evidence, State.VIOLATED, "violated")


def _inconclusive(evidence: Evidence) -> str | None:
    return _objectives(evidence, State.INCONCLUSIVE, "undecided")


def _lost_evidence(evidence: Evidence) -> str | None:
    return f"A part of what the run left cannot be read: {evidence.lost[0]}" if evidence.lost else None


def _nothing_measured(evidence: Evidence) -> str | None:
    if evidence.judged or any(claim.outcome == "passed" for claim in evidence.claims):
        return None
    skipped = sum(claim.outcome == "skipped" for claim in evidence.claims)
    what = (
        f"{skipped} of {wording.many(len(evidence.claims), 'claim')} skipped"
        if skipped
        else "no claim was checked"
    )
    end = "" if evidence.session.finished_at else ", and the session never finished"
    return f"Nothing passed and no objective was judged: {what}{end}"


def _interrupted(evidence: Evidence) -> str | None:
    if evidence.session.finished_at:
        return None
    return f"The session never finished; until then {_counted(evidence)}"


def _ended_with(*codes: int | None) -> Callable[[Evidence], str | None]:
    """Holds when the session ended with one of the codes; without codes, with any but 0."""

    def rule(evidence: Evidence) -> str | None:
        session = evidence.session
        if not session.exit_code or (codes and session.exit_code not in codes):
            return None
        if evidence.other_objectives and session.exit_code in _CODES_OF_OBJECTIVES:
            return None
        why = f": {wording.one_line(session.exit_reason, 160)}" if session.exit_reason else ""
        return f"The session itself ended with exit code {session.exit_code}{why}"

    return rule


def _simulated_gate(evidence: Evidence) -> str | None:
    if not (evidence.session.gate and evidence.session.simulated):
        return None
    return "A simulated engine never passes a gate: its numbers say nothing about vLLM"


def _met(evidence: Evidence) -> str:
    sentence = _counted(evidence)
    return sentence[0].upper() + sentence[1:]


def _counted(evidence: Evidence) -> str:
    required = [one for one in evidence.judged if one.objective.required]
    met = len(evidence.required(State.MET))
    passed = sum(claim.outcome == "passed" for claim in evidence.claims)
    skipped = sum(claim.outcome == "skipped" for claim in evidence.claims)
    objectives = f"{met} of {wording.many(len(required), 'required objective')} met"
    if not required:
        objectives = "no required objective was judged"
    claims = f"{passed} of {wording.many(len(evidence.claims), 'claim')} passed"
    return f"{objectives}, {claims}" + (f", {skipped} skipped" if skipped else "")


def _objectives(evidence: Evidence, state: State, word: str) -> str | None:
    broken = evidence.required(state)
    if not broken:
        return None
    required = [one for one in evidence.judged if one.objective.required]
    count = f"{len(broken)} of {wording.many(len(required), 'required objective')} {word}"
    return f"{count}: {wording.sentence(broken[0])}"


# pytest's own codes: 1 tests failed, 2 interrupted, 5 no tests collected.
_CODES_OF_OBJECTIVES = frozenset({VerdictExit.FAILED, VerdictExit.VIOLATED, VerdictExit.INCONCLUSIVE})
_NO_TESTS = 5

_TABLE: tuple[tuple[Overall, Callable[[Evidence], str | None]], ...] = (
    (Overall.FAILED, _broken_claim),
    (Overall.VIOLATED, _violated),
    (Overall.INCONCLUSIVE, _inconclusive),
    (Overall.INCONCLUSIVE, _lost_evidence),
    (Overall.NOTHING_MEASURED, _nothing_measured),
    (Overall.INTERRUPTED, _interrupted),
    (Overall.NOTHING_MEASURED, _ended_with(VerdictExit.NOTHING_MEASURED, _NO_TESTS)),
    (Overall.INTERRUPTED, _ended_with(VerdictExit.INTERRUPTED)),
    (Overall.FAILED, _ended_with()),
    (Overall.INCONCLUSIVE, _simulated_gate),
)
