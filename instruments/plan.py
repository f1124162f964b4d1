"""The plan of a run, complete before it begins: which requests, when, until when, and whose part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from instruments.arrivals import ArrivalProcess, ClosedLoop
from instruments.clock import NANOSECONDS
from instruments.limits import RunLimits
from instruments.records import Request

FEWEST_CONNECTIONS, MOST_CONNECTIONS = 16, 256  # opened ahead of an open loop
READY_AT_ONCE = 20_000  # sessions made before the run begins; those beyond it are made when they are due


@dataclass(frozen=True, slots=True)
class Due:
    """A session with its instant after the start, which only an open loop knows before the run."""

    request: Request
    offset_ns: int | None


class Sessions:
    """The sessions of one process, in sending order."""

    def __init__(self, sessions: Iterable[Due]) -> None:
        following = iter(sessions)
        self._ready = list(islice(following, READY_AT_ONCE))
        self._sessions = chain(self._ready, following)
        self._next = next(self._sessions, None)

    def connections(self) -> int:
        """How many connections an open loop should find open: as many as requests due in its first quarter
        of a second, within bounds. What an answer takes is not known yet; more are made when they are needed.
        """
        first = sum(1 for one in self._ready if (one.offset_ns or 0) <= NANOSECONDS // 4)
        return min(max(first, FEWEST_CONNECTIONS), MOST_CONNECTIONS, max(len(self._ready), 1))

    def __iter__(self) -> Iterator[Due]:
        return self

    def __next__(self) -> Due:
        if self._next is None:
            raise StopIteration
        drawn, self._next = self._next, next(self._sessions, None)
        return drawn

    def left(self) -> bool:
        """Whether one was never begun."""
        return self._next is not None


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a plan one process of several takes: every `of`-th session and user, from `number` on."""

    number: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A run, complete before it begins: which requests, when, and until when.

    `requests` are sessions in sending order: single requests, or first turns with the rest hanging on
    them. Nothing becomes due `duration_s` after the start or later; None is until all were sent.
    """

    name: str
    requests: Iterable[Request]
    arrivals: ArrivalProcess
    limits: RunLimits = field(default_factory=RunLimits)
    description: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    duration_s: float | None = None
    share: Share = Share()

    def sessions(self) -> Sessions:
        """This process's sessions with their due times, most of them made before the run begins."""
        arrivals = self.arrivals
        all_of_them: Iterable[Due]
        if isinstance(arrivals, ClosedLoop):
            all_of_them = (Due(request, None) for request in self.requests)
        else:
            offsets_ns = arrivals.due_ns(self.seed)
            all_of_them = (
                Due(request, offset_ns) for offset_ns, request in zip(offsets_ns, self.requests, strict=False)
            )
        ours = islice(all_of_them, self.share.number, None, self.share.of)
        return Sessions(ours)
