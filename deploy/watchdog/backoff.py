"""Backoff: how long to wait before the next start, and when to give up."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from deploy.watchdog.settings import Restarts


@dataclass(slots=True)
class Backoff:
    """Of one child. Instants are seconds of one monotonic clock, handed in."""

    rule: Restarts
    chance: random.Random
    _restarts: deque[float] = field(default_factory=deque)
    _in_a_row: int = 0

    def delay_s(self, now_s: float, up_for_s: float) -> float | None:
        """Seconds to wait before a restart that is due now; None to give up.

        Doubles from `first_delay_s` to `longest_delay_s`, anew after a child was healthy for
        `stable_after_s`, less up to `jitter_share` of it, so that what fell together does not rise together.
        """
        while self._restarts and self._restarts[0] <= now_s - self.rule.within_s:
            self._restarts.popleft()
        if len(self._restarts) >= self.rule.most:
            return None
        self._restarts.append(now_s)
        if up_for_s >= self.rule.stable_after_s:
            self._in_a_row = 0
        # No power beyond 2**30: it would leave the floats, and is cut anyway.
        full_s = min(self.rule.longest_delay_s, self.rule.first_delay_s * 2.0 ** min(self._in_a_row, 30))
        self._in_a_row += 1
        return full_s * (1 - self.rule.jitter_share * self.chance.random())
