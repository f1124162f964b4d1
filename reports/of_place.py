"""What a place changed of the catalog and of the laws, in words: nothing is left out in silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from instruments.slo.conservation import OVERHEAD_BUDGET_S
from reports import wording
from reports.model import SessionReport

_FEW = 3


def changes(report: SessionReport, *, briefly: bool = False) -> list[str]:
    """A line for each reason to leave objectives out and each limit replaced, then the laws' budget.

    Judged later with other objectives, those of the catalog do not matter any more. `briefly`: a few names of
    many, and only limits that something was judged by.
    """
    session, said = report.session, []
    if report.objectives_from is None:
        said += [
            f"not judged here: {words}" for words in by_reason(session.left_out, _FEW if briefly else None)
        ]
        said += [
            f"limit of this place: {name} {_limit(report, name, both['here'])}, "
            f"in the catalog {_limit(report, name, both['catalog'])}"
            for name, both in session.limits_replaced.items()
            if not briefly or any(one.objective.id == name for one in report.verdicts)
        ]
    if (budget_s := session.overhead_budget_s) is not None:
        own, default = (wording.SECONDS.quantity(one) for one in (budget_s, OVERHEAD_BUDGET_S))
        said.append(f"laws on overhead: a budget of {own} at this place, else {default}")
    if session.duration_scale != 1:
        said.append(
            f"loads and waits of the suites beyond smoke: {session.duration_scale:g} times the catalog's"
        )
    return said


def by_reason(left_out: Iterable[Mapping[str, str]], most: int | None = None) -> list[str]:
    """A line for each reason why objectives are not judged at a place: which they are, and the reason."""
    named: dict[str, list[str]] = {}
    for one in left_out:
        named.setdefault(one["why"], []).append(one["id"])
    return [f"{', '.join(ids[:most])}{_more(ids, most)}: {why}" for why, ids in named.items()]


def _more(ids: Sequence[str], most: int | None) -> str:
    return f" and {len(ids) - most} more" if most is not None and len(ids) > most else ""


def _limit(report: SessionReport, name: str, limit: float) -> str:
    """In the unit of the objective's row; of one that was not judged the bare number."""
    known = (wording.scale(one.objective) for one in report.verdicts if one.objective.id == name)
    return next(known, wording.PLAIN).quantity(limit)
