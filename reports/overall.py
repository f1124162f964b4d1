"""The overall state of a run: one table, read from the top; the first rule that holds decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from instruments.results import ClaimRecord, SessionRecord
from instruments.slo import State
from reports import laws, wording
from reports.exit_codes import VerdictExit
from reports.judged import Judged
from reports.laws import Law


class Overall(StrEnum):
    """What a run amounts to. Only MET is said of objectives, and only MET passes a gate."""

    FAILED = "FAILED"
    VIOLATED = "VIOLATED"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOTHING_MEASURED = "NOTHING MEASURED"
    INTERRUPTED = "INTERRUPTED"
    CLAIMS_HOLD = "CLAIMS HOLD"  # no required objective was judged: nothing is said of service levels
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
    explained: frozenset[str] = frozenset()  # claims that failed because of a verdict or a law
    other_objectives: bool = False  # judged later, with other objectives than the session's
    laws: Sequence[Law] = ()
    simulated: bool = False  # the session or any of its loads says so

    def required(self, state: State) -> list[Judged]:
        return [one for one in self.judged if one.objective.required and one.state is state]

    def broken_laws(self, state: State) -> list[Law]:
        return [law for law in self.laws if law.required and law.state is state]

    def own_claims(self) -> list[ClaimRecord]:
        """Claims that did not pass for a reason of their own. A broken objective fails the test that asked
        for it too; that one is counted once, as the objective."""
        return [
            claim
            for claim in self.claims
            if claim.outcome == "error" or (claim.outcome == "failed" and claim.nodeid not in self.explained)
        ]

    def broken_claims(self) -> list[ClaimRecord]:
        """Those of them that do not hold."""
        return [claim for claim in self.own_claims() if not cannot_tell(claim)]

    def undecided_claims(self) -> list[ClaimRecord]:
        """Those of them of which the data cannot tell whether they hold."""
        return [claim for claim in self.own_claims() if cannot_tell(claim)]

    def missing(self) -> list[str]:
        """Objectives that the gate had to judge, and has no verdict of."""
        if not self.session.gate or self.other_objectives:
            return []
        judged = {one.objective.id for one in self.judged}
        return [name for name in self.session.expected if name not in judged]

    def interrupted(self) -> bool:
        return not self.session.finished_at or self.session.exit_code == VerdictExit.INTERRUPTED


def cannot_tell(claim: ClaimRecord) -> bool:
    """Whether a claim failed by saying so itself: it raised ObjectiveInconclusive, and nothing is broken."""
    return claim.outcome == "failed" and claim.reason.startswith(f"{State.INCONCLUSIVE}: ")


def explained_claims(stored: Sequence[tuple[str, bool, State]]) -> frozenset[str]:
    """Which claims failed because of a verdict, from (claim, required, state) of the stored ones."""
    return frozenset(claim for claim, required, state in stored if required and state is not State.MET)


def undecided_claims(stored: Sequence[tuple[str, bool, State]]) -> frozenset[str]:
    """Which of them failed only because the data cannot tell: nothing of theirs is broken."""
    told = [(claim, state) for claim, required, state in stored if required and state is not State.MET]
    broken = {claim for claim, state in told if state is State.VIOLATED}
    return frozenset(claim for claim, _ in told) - broken


def decide(evidence: Evidence) -> tuple[Overall, str]:
    """The state, and its reason in one sentence."""
    for state, rule in _TABLE:
        if sentence := rule(evidence):
            return state, sentence
    judged = any(one.objective.required for one in evidence.judged)
    sentence = _counted(evidence)
    return (Overall.MET if judged else Overall.CLAIMS_HOLD), sentence[0].upper() + sentence[1:]


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


def _violated_law(evidence: Evidence) -> str | None:
    return _laws(evidence, State.VIOLATED, "violated")


def _inconclusive(evidence: Evidence) -> str | None:
    return _objectives(evidence, State.INCONCLUSIVE, "undecided")


def _undecided_claim(evidence: Evidence) -> str | None:
    undecided = evidence.undecided_claims()
    if not undecided:
        return None
    count = f"{len(undecided)} of {wording.many(len(evidence.claims), 'claim')} undecided"
    first = wording.one_line(undecided[0].reason.removeprefix(f"{State.INCONCLUSIVE}: "), 160)
    return f"{count}: {first}{_others(undecided)}"


def _undecided_law(evidence: Evidence) -> str | None:
    """Unless a gate or a test asks for it, a law that cannot be checked is only shown: there need not be any
    server's numbers."""
    asked = evidence.session.gate or any(law.claim for law in evidence.broken_laws(State.INCONCLUSIVE))
    return _laws(evidence, State.INCONCLUSIVE, "undecided") if asked else None


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
    why = f"; {wording.one_line(evidence.session.exit_reason, 400)}" if evidence.session.exit_reason else ""
    return f"Nothing passed and no objective was judged: {what}{end}{why}"


def _gate_judged_nothing(evidence: Evidence) -> str | None:
    if not evidence.session.gate or evidence.interrupted():
        return None
    if any(one.objective.required for one in evidence.judged):
        return None
    return f"A gate without a judged objective passes nothing: {_counted(evidence)}{_named(evidence)}"


def _gate_missing(evidence: Evidence) -> str | None:
    if not evidence.session.gate or evidence.other_objectives or evidence.interrupted():
        return None
    if not evidence.session.expected:
        return "The gate did not note which objectives it had to judge: none of them may be missing"
    missing = evidence.missing()
    if not missing:
        return None
    count = f"{len(missing)} of {wording.many(len(evidence.session.expected), 'required objective')}"
    return f"{count} of the gate without a verdict{_named(evidence)}"


def _gate_without_claims(evidence: Evidence) -> str | None:
    """Every verdict is a test's: one whose claim is gone leaves its failures unseen."""
    if not evidence.session.gate or evidence.interrupted() or evidence.claims:
        return None
    return "The gate finished, and no claim of it is left: what failed in it cannot be seen"


def _named(evidence: Evidence) -> str:
    missing = evidence.missing()
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    return f": {', '.join(missing[:_MOST_NAMED])}{more}" if missing else ""


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


def _gate_simulated(evidence: Evidence) -> str | None:
    if not (evidence.session.gate and (evidence.session.simulated or evidence.simulated)):
        return None
    return "A simulated engine never passes a gate: its numbers say nothing about vLLM"


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
    return f"{count}: {wording.sentence(broken[0])}{_others(broken)}"


def _laws(evidence: Evidence, state: State, word: str) -> str | None:
    broken = evidence.broken_laws(state)
    if not broken:
        return None
    checked = sum(law.required for law in evidence.laws)
    count = f"{len(broken)} of {wording.many(checked, 'conservation law')} {word}"
    return f"{count}: {laws.sentence(broken[0])}{_others(broken)}"


def _others(broken: Sequence[object]) -> str:
    """That the one that is told is not the only one."""
    return f"; and {len(broken) - 1} more" if len(broken) > 1 else ""


# pytest's own codes: 1 tests failed, 2 interrupted, 5 no tests collected.
# Of a session that ended for its own objectives; what FAILED, failed whatever the objectives are.
_CODES_OF_OBJECTIVES = frozenset({VerdictExit.VIOLATED, VerdictExit.INCONCLUSIVE})
_NO_TESTS = 5
_MOST_NAMED = 5

_TABLE: tuple[tuple[Overall, Callable[[Evidence], str | None]], ...] = (
    (Overall.FAILED, _broken_claim),
    (Overall.VIOLATED, _violated),
    (Overall.VIOLATED, _violated_law),
    (Overall.INCONCLUSIVE, _inconclusive),
    (Overall.INCONCLUSIVE, _undecided_claim),
    (Overall.INCONCLUSIVE, _undecided_law),
    (Overall.INCONCLUSIVE, _lost_evidence),
    (Overall.NOTHING_MEASURED, _nothing_measured),
    (Overall.INTERRUPTED, _interrupted),
    (Overall.NOTHING_MEASURED, _gate_judged_nothing),
    (Overall.NOTHING_MEASURED, _ended_with(VerdictExit.NOTHING_MEASURED, _NO_TESTS)),
    (Overall.INTERRUPTED, _ended_with(VerdictExit.INTERRUPTED)),
    (Overall.INCONCLUSIVE, _gate_without_claims),
    (Overall.INCONCLUSIVE, _gate_missing),
    (Overall.INCONCLUSIVE, _gate_simulated),
    (Overall.FAILED, _ended_with()),
)
