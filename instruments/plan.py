"""The plan of a run, complete before it begins: which requests, when, until when, and whose part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from instruments.arrivals import ArrivalProcess, ClosedLoop
from instruments.clock import NANOSECONDS
from instruments.limits import RunLimits
from instruments.records import Outcome, Phase, Request, RequestRecord

FEWEST_CONNECTIONS, MOST_CONNECTIONS = 16, 256  # opened ahead of an open loop
READY_AT_ONCE = 20_000  # sessions made before the run begins; those beyond it are made when they are due


@dataclass(frozen=True, slots=True)
class Due:
    """A session with its instant after the start, which only an open loop knows before the run."""

    request: Request
    offset_ns: int | None
    spare: bool = False  # of a budget: the fewest that are to be measured come before it

    def due_ns(self, start_ns: int | None) -> int | None:
        """Its instant in a run that began at `start_ns`; None where nobody knows, or it never began."""
        return start_ns + self.offset_ns if start_ns is not None and self.offset_ns is not None else None


class Sessions:
    """The sessions of one process, in sending order."""

    def __init__(self, sessions: Iterable[Due]) -> None:
        following = iter(sessions)
        ready = list(islice(following, READY_AT_ONCE))
        first = sum(1 for one in ready if (one.offset_ns or 0) <= NANOSECONDS // 4)
        self._connections = min(max(first, FEWEST_CONNECTIONS), MOST_CONNECTIONS, max(len(ready), 1))
        ready.reverse()
        self._ready, self._following = ready, following  # one that was begun is held no longer
        self._spare_from: int | None = None
        self._next = self._drawn()

    def connections(self) -> int:
        """How many connections an open loop should find open: as many as requests due in its first quarter
        of a second, within bounds. What an answer takes is not known yet; more are made when they are needed.
        """
        return self._connections

    def __iter__(self) -> Iterator[Due]:
        return self

    def __next__(self) -> Due:
        if self._next is None:
            raise StopIteration
        drawn, self._next = self._next, self._drawn()
        if drawn.spare and self._spare_from is None:
            self._spare_from = drawn.request.index
        return drawn

    def _drawn(self) -> Due | None:
        return self._ready.pop() if self._ready else next(self._following, None)

    def left(self) -> bool:
        """Whether one was never begun."""
        return self._next is not None

    def spare(self, request: Request) -> bool:
        """Whether it is a turn of a spare session, of those that were drawn: they come last in the plan."""
        return self._spare_from is not None and request.index >= self._spare_from


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a plan one process of several takes.

    Every `of`-th session of an open loop, every `of`-th user of a closed one, from `number` on.
    """

    number: int = 0
    of: int = 1


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A run, complete before it begins: which requests, when, and until when.

    `requests` are sessions in sending order: single requests, or first turns with the rest hanging on
    them. Nothing becomes due `duration_s` after the start or later; None is until all were sent.

    A plan with `fewest` is a budget: so many sessions are to be measured, and those after them where they
    are needed to decide. When the run is stopped, what was not sent of those is not told as NOT_SENT:
    nobody was to send it for certain, and requests that were not made say nothing about a server.
    """

    name: str
    requests: Iterable[Request]
    arrivals: ArrivalProcess
    limits: RunLimits = field(default_factory=RunLimits)
    description: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    duration_s: float | None = None
    share: Share = Share()
    fewest: int | None = None

    def sessions(self) -> Sessions:
        """This process's sessions with their due times, most of them made before the run begins.

        They end where the requests do, or the arrivals: a ramp is over when it is over.
        """
        arrivals, share = self.arrivals, self.share
        if isinstance(arrivals, ClosedLoop):
            # By users, as the users themselves are shared: each has as many sessions as any other.
            ours = (
                Due(request, None, spare)
                for number, (request, spare) in enumerate(self._marked())
                if number % arrivals.users % share.of == share.number
            )
            return Sessions(ours)
        offsets_ns = arrivals.due_ns(self.seed)
        all_of_them = (
            Due(request, offset_ns, spare)
            for offset_ns, (request, spare) in zip(offsets_ns, self._marked(), strict=False)
        )
        return Sessions(islice(all_of_them, share.number, None, share.of))

    def _marked(self) -> Iterator[tuple[Request, bool]]:
        """All sessions of the plan, each with whether it is spare."""
        measured = 0
        for request in self.requests:
            yield request, self.fewest is not None and measured >= self.fewest
            measured += request.phase is Phase.MEASURED

    def users(self) -> range:
        """The users of a closed loop whom this process plays; an open loop has none."""
        users = self.arrivals.users if isinstance(self.arrivals, ClosedLoop) else 0
        return range(self.share.number, users, self.share.of)

    def ends_before(self, offset_ns: int | None) -> bool:
        """Whether a session was never going to be due: users who ask until the time is over have no plan."""
        if self.duration_s is None:
            return False
        return offset_ns is None or offset_ns >= self.duration_s * NANOSECONDS


def each_turn(request: Request) -> Iterator[Request]:
    """A request with those that hang on it, in their order."""
    turn: Request | None = request
    while turn is not None:
        yield turn
        turn = turn.then


def never_sent(request: Request, due_ns: int, reason: str | None) -> RequestRecord:
    """The record of a request that was planned and never sent."""
    return RequestRecord(
        index=request.index,
        request_id=request.request_id,
        user=0,
        phase=request.phase,
        outcome=Outcome.NOT_SENT,
        due_ns=due_ns,
        error=reason or "the run ended before it was sent",
        scenario=request.scenario,
        turn=request.turn,
        prompt_tokens_asked=request.prompt_tokens_asked,
    )
