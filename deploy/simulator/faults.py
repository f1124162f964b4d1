"""Faults: what is to go wrong with a request, drawn from the seed and the request's id alone."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Ending(StrEnum):
    """How a stream ends that does not end well."""

    ERROR_EVENT = "error_event"  # an error event under the status 200, then [DONE], as vLLM does it
    RESET = "reset"  # the connection is reset (RST)
    CLOSE = "close"  # the connection is closed (FIN) before the answer's end


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request; the default is nothing. Counts in tokens, times in nanoseconds."""

    status: int = 0  # answered with this instead of tokens
    ending: Ending | None = None
    ending_after: int = 0
    stall_after: int = 0
    stall_ns: int = 0
    slow_header_ns: int = 0

    def names(self, tokens: int) -> str | None:
        """The faults that a request of `tokens` tokens lives to see, with commas between them, or None."""
        if self.status:
            return "error_status"
        last = tokens
        found = []
        if self.slow_header_ns:
            found.append("slow_header")
        if self.ending and self.ending_after < tokens:
            last = self.ending_after + 1
            found.append(self.ending.value)
        if self.stall_ns and self.stall_after < last:
            found.append("stall")
        return ",".join(sorted(found)) or None


NONE = Fault()


@dataclass(frozen=True, slots=True)
class Faults:
    """The shares of requests that are hit (0 to 1), and by what."""

    seed: int = 0
    error_share: float = 0.0
    error_status: int = 500
    share: float = 1.0
    fault: Fault = NONE

    def draw(self, key: str) -> Fault:
        """The fault of the request `key`: the same whenever and in whatever order it is asked."""
        if not self.error_share and self.fault == NONE:
            return NONE
        chance = random.Random(f"{self.seed}:fault:{key}")  # noqa: S311 - a schedule, not a secret
        refused, hit = chance.random() < self.error_share, chance.random() < self.share
        if refused:
            return Fault(status=self.error_status)
        return self.fault if hit else NONE
