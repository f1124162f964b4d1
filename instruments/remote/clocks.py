"""Two monotonic clocks: by how much they differ, known no better than an exchange takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

EXCHANGES = 25


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer: sent and received on the near clock, answered on the far one."""

    sent_ns: int
    answered_ns: int
    received_ns: int


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """far − near, in nanoseconds, at an instant of the near clock; true within `error_ns` either way."""

    offset_ns: int
    error_ns: int
    at_ns: int
    exchanges: int

    def told(self) -> dict[str, Any]:
        return asdict(self)


def offset_of(exchanges: Iterable[Exchange]) -> ClockOffset:
    """From the quickest exchange: the answer was given somewhere between sending and receiving.

    The midpoint is off by half of the round trip at most, whichever way took longer (Cristian, 1989).
    ValueError without an exchange.
    """
    known = list(exchanges)
    best = min(known, key=lambda one: one.received_ns - one.sent_ns)
    took_ns = best.received_ns - best.sent_ns
    middle_ns = best.sent_ns + took_ns // 2
    return ClockOffset(best.answered_ns - middle_ns, -(-took_ns // 2), middle_ns, len(known))
