"""Conservation laws on the page: what is not kept in full, what is kept counted by law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from instruments.slo import State
from reports import laws
from reports.model import SessionReport
from reports.page.room import Room


@dataclass(frozen=True, slots=True)
class LawCount:
    """One law over all loads that it was checked on."""

    law: str
    statement: str
    kept: int
    broken: int
    undecided: int

    @property
    def checked(self) -> int:
        return self.kept + self.broken + self.undecided


def laws_view(report: SessionReport, room: Room) -> dict[str, Any]:
    """`unkept` groups, a count for each law, and the single laws that were kept, as many as there is room."""
    unkept = laws.unkept(report.laws)
    kept = [law for law in report.laws if law.state is State.MET]
    return {
        "unkept": unkept[: room.laws],
        "unkept_unlisted": max(0, len(unkept) - room.laws),
        "law_counts": law_counts(report),
        "kept": kept[: room.laws],
        "kept_total": len(kept),
    }


def law_counts(report: SessionReport) -> list[LawCount]:
    """In the order in which the laws were checked first."""
    by_law: dict[str, list[laws.Law]] = {}
    for law in report.laws:
        by_law.setdefault(law.law, []).append(law)
    return [_count(name, of_law) for name, of_law in by_law.items()]


def _count(name: str, of_law: list[laws.Law]) -> LawCount:
    kept, broken, undecided = (
        sum(law.state is state for law in of_law) for state in (State.MET, State.VIOLATED, State.INCONCLUSIVE)
    )
    return LawCount(name, of_law[0].statement, kept, broken, undecided)
