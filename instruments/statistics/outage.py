"""Outage: what a fault at a known instant cost those who asked: requests lost, and time until none is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from instruments.clock import NANOSECONDS
from instruments.records import Outcome, RequestRecord

# A client that left, and one that never came, say nothing about the server.
NOBODY = frozenset({Outcome.CANCELLED, Outcome.NOT_SENT})


@dataclass(frozen=True, slots=True)
class Outage:
    """A run of requests around one instant, `broke_ns` of the records' clock.

    A request is lost when it was not COMPLETED. In flight are those that were sent before the instant and
    had not ended by it. `back_ns` is when the first was sent of those that completed after all losses were
    sent: from then on nothing is lost. It is `broke_ns` where nothing was lost from the instant on, and None
    where nothing was answered after the last loss.
    """

    broke_ns: int
    lost_before: int
    in_flight: int
    lost_in_flight: int
    asked_meanwhile: int  # sent after the instant and before `back_ns`
    lost_meanwhile: Mapping[Outcome, int] = field(default_factory=dict)  # of these, by what became of them
    refused_after_s: float | None = None  # the longest that one of these waited for its no, where known
    lost_last_ns: int | None = None  # when the last lost one was sent, in flight at the instant or later
    back_ns: int | None = None
    good_after: int = 0  # completed, of those sent from `back_ns` on

    @property
    def lost(self) -> int:
        """Requests that the fault cost."""
        return self.lost_in_flight + sum(self.lost_meanwhile.values())

    def back_after_s(self, since_ns: int | None = None) -> float | None:
        """Seconds from the fault, or another instant, until nothing was lost any more; None for never."""
        if self.back_ns is None:
            return None
        return (self.back_ns - (self.broke_ns if since_ns is None else since_ns)) / NANOSECONDS

    def good_share(self) -> float | None:
        """Completed share, 0 to 1, of what was asked between the fault and its end; None of nothing."""
        if self.asked_meanwhile == 0:
            return None
        return 1 - sum(self.lost_meanwhile.values()) / self.asked_meanwhile


def outage(records: Iterable[RequestRecord], broke_ns: int) -> Outage:
    """What a fault at an instant cost.

    Of an answer that was cut short, or of which no byte came, the record does not say when it ended: sent
    before the instant, it counts as in flight.
    """
    sent = sorted(
        ((_asked_ns(one), one) for one in records if one.outcome not in NOBODY), key=lambda pair: pair[0]
    )
    before = [one for at, one in sent if at < broke_ns]
    flying = [one for one in before if not _had_ended(one, broke_ns)]
    lost_flying = sum(map(_is_lost, flying))
    later = [(at, one) for at, one in sent if at >= broke_ns]
    losses = [at for at, one in sent if _is_lost(one) and not (at < broke_ns and _had_ended(one, broke_ns))]
    back_ns = broke_ns if not losses else _first_good_after(sent, max(losses[-1], broke_ns - 1))
    meanwhile = [one for at, one in later if back_ns is None or at < back_ns]
    waits = [
        one.done_ns - one.sent_ns
        for one in meanwhile
        if _is_lost(one) and one.done_ns is not None and one.sent_ns is not None
    ]
    return Outage(
        broke_ns,
        lost_before=sum(map(_is_lost, before)) - lost_flying,
        in_flight=len(flying),
        lost_in_flight=lost_flying,
        asked_meanwhile=len(meanwhile),
        lost_meanwhile=Counter(one.outcome for one in meanwhile if _is_lost(one)),
        refused_after_s=max(waits) / NANOSECONDS if waits else None,
        lost_last_ns=losses[-1] if losses else None,
        back_ns=back_ns,
        good_after=0 if back_ns is None else sum(at >= back_ns for at, _ in later),
    )


def _asked_ns(record: RequestRecord) -> int:
    """When it was sent; of one that found nobody to connect to, when it was due."""
    return record.due_ns if record.sent_ns is None else record.sent_ns


def _is_lost(record: RequestRecord) -> bool:
    return record.outcome is not Outcome.COMPLETED


def _had_ended(record: RequestRecord, at_ns: int) -> bool:
    return record.done_ns is not None and record.done_ns <= at_ns and record.outcome is not Outcome.TRUNCATED


def _first_good_after(sent: list[tuple[int, RequestRecord]], at_ns: int) -> int | None:
    return next((at for at, one in sent if at > at_ns and not _is_lost(one)), None)
