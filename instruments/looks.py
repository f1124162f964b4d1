"""Looks at a run that goes on: which of its records a rule may see, how often, and when it is heard.

A rule sees the measured requests of the plan's beginning up to the first that has no record yet. To show it
all that ended would leave out those that take long, which are in flight still: every look would see a server
quicker than it is. Later looks see the same records and more, in the same order, and so does who judges the
run at its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from instruments.records import Phase, RequestRecord

Rule = Callable[[Sequence[RequestRecord]], bool]

LOOK_EVERY_S = 0.25
MORE_SHARE = 0.05  # of the records that the last look saw have come since
COST_SHARE = 0.05  # of one core: a look that took 20 ms is followed by none for 400 ms


class Looks:
    """Asks a rule whether a run may end; `fewest` sessions are measured before it is asked at all."""

    def __init__(self, rule: Rule, fewest: int) -> None:
        self._rule, self._fewest = rule, fewest
        self._apart: dict[int, RequestRecord] = {}  # ended; one before them in the plan has not
        self._next_index = 0
        self._measured: list[RequestRecord] = []
        self._sessions = 0
        self._seen = 0
        self._not_before_s = 0.0

    def enough(self, records: Iterable[RequestRecord]) -> int | None:
        """Take in what ended since the last time, and ask the rule if it is time to.

        How many requests of the plan it looked at, if it says that they are enough.
        """
        self._take_in(records)
        began_s = time.monotonic()
        more = len(self._measured) - self._seen
        if self._sessions < self._fewest or more <= MORE_SHARE * self._seen or began_s < self._not_before_s:
            return None
        self._seen = len(self._measured)
        said = self._rule(tuple(self._measured))
        ended_s = time.monotonic()
        self._not_before_s = ended_s + max(LOOK_EVERY_S, (ended_s - began_s) / COST_SHARE)
        return self._next_index if said else None

    def _take_in(self, records: Iterable[RequestRecord]) -> None:
        self._apart.update((record.index, record) for record in records)
        while (record := self._apart.pop(self._next_index, None)) is not None:
            self._next_index += 1
            if record.phase is Phase.MEASURED:
                self._measured.append(record)
                self._sessions += record.turn == 0
