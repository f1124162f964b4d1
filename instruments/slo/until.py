"""Until it is decided: whether a run that goes on has measured enough for all that is judged on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instruments.clock import ClockAnchor
from instruments.records import ClientCheck, LoadRun, RequestRecord, Window
from instruments.slo.judging import evaluate
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.verdict import State
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.summary import summarize

# Kinds of indicators that more requests decide. What the server, its GPUs or a price list say is known at
# the end, and no better for a longer run.
BY_REQUESTS = frozenset({"request", "gap", "share", "count", "rate"})
# How the client fares is known at the end too. A run that it disturbed is void then, however long it was.
HEALTHY = ClientCheck(
    loop_lag_p99_s=0.0, loop_lag_max_s=0.0, gc_pause_max_s=0.0, cpu_share=0.0, stamps="kernel"
)


class Decided:
    """Says of the records so far whether each objective is MET or VIOLATED: a rule of instruments.looks.

    Only a hint when to stop: the verdicts are those of the whole run, by the same `evaluate`. It is valid
    to look as often as one likes because a run that says `"sampling": {"looks": "open"}` is judged by
    evidence that allows it.
    """

    def __init__(
        self, judged: Iterable[tuple[ServiceLevelObjective, int]], description: Mapping[str, Any]
    ) -> None:
        """`judged`: the objectives, each with the size of its family; `description`: the run's own."""
        self._judged = deque(
            (objective, family)
            for objective, family in judged
            if INDICATORS[objective.indicator].kind in BY_REQUESTS
        )
        self._description = description

    def __call__(self, records: Sequence[RequestRecord]) -> bool:
        """Whether all is decided; with nothing to decide it is."""
        summary = summarize(so_far(records, self._description))
        for _ in range(len(self._judged)):
            objective, family = self._judged[0]
            if evaluate(summary, objective, family=family).state is State.INCONCLUSIVE:
                return False  # and it is the first to be asked at the next look
            self._judged.rotate(-1)
        return True


def so_far(records: Sequence[RequestRecord], description: Mapping[str, Any]) -> LoadRun:
    """A run of these records alone, from the first that was due to the last that ended."""
    ends = [one.done_ns for one in records if one.done_ns is not None]
    starts = [one.due_ns for one in records]
    return LoadRun(
        name="so far",
        description=description,
        anchor=ClockAnchor(0, 0),
        records=tuple(records),
        window=Window(min(starts), max(ends)) if ends else None,
        client=HEALTHY,
        complete=True,
    )
