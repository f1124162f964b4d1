"""Objectives of a page: which stand open, in which order, and which are folded."""

from __future__ import annotations

import pytest

from instruments.slo import State, Verdict
from reports.judged import Judged
from reports.page.objectives import closest, ranked, split
from tests.reports.runs import objective

MET, VIOLATED, INCONCLUSIVE = State.MET, State.VIOLATED, State.INCONCLUSIVE


def judged(name: str, state: State, value: float | None = 0.5, *, required: bool = True) -> Judged:
    """TTFT p95 ≤ 1.0 s: its headroom is one over the value."""
    asked = objective(id=name, at_most=1.0, required=required)
    return Judged(Verdict(asked, "load", state, "", 100, 0, value), state, "", "loads/load.jsonl")


def names(rows: object) -> list[str]:
    return [row.one.objective.id for row in rows]  # type: ignore[attr-defined]


def test_the_worst_is_first_and_advice_is_never_before_what_is_required() -> None:
    rows = ranked(
        [
            judged("none", MET, None),
            judged("ample", MET, 0.1),
            judged("advice", VIOLATED, 2.0, required=False),
            judged("open", INCONCLUSIVE),
            judged("tight", MET, 0.9),
            judged("broken", VIOLATED, 2.0),
        ]
    )
    assert names(rows) == ["broken", "open", "advice", "tight", "ample", "none"]
    assert [row.anchor for row in rows] == [f"objective-{number}" for number in range(1, 7)]


@pytest.mark.parametrize(("count", "open_", "folded"), [(25, 25, 0), (26, 10, 16)])
def test_more_than_25_that_are_met_are_folded_but_for_the_ten_closest(
    count: int, open_: int, folded: int
) -> None:
    # Values 0.01, 0.02, …: the last have the least headroom.
    shown, rest = split(ranked([judged(f"o{at}", MET, (at + 1) / 100) for at in range(count)]), 30)
    assert (len(shown), len(rest)) == (open_, folded)
    assert names(shown)[:2] == [f"o{count - 1}", f"o{count - 2}"]


def test_what_is_not_met_stands_open_before_the_ten_closest_as_far_as_there_is_room() -> None:
    broken = [judged(f"b{at}", VIOLATED, 2.0) for at in range(25)]
    met = [judged(f"m{at:02d}", MET, (at + 1) / 100) for at in range(30)]
    shown, rest = split(ranked([*met, *broken]), 30)
    assert names(shown) == [f"b{at}" for at in range(20)] + [f"m{at:02d}" for at in range(29, 19, -1)]
    assert names(rest)[:5] == [f"b{at}" for at in range(20, 25)]
    assert len(rest) == 25


def test_the_closest_is_required_and_has_a_headroom() -> None:
    near = judged("near", MET, 0.9)
    found = closest([judged("none", MET, None), near, judged("advice", MET, 0.99, required=False)])
    assert found is near
    assert closest([judged("none", MET, None), judged("broken", VIOLATED, 2.0)]) is None
