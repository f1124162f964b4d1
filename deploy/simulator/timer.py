"""The loop's alarm clock: an event loop that wakes within tens of microseconds of an instant, not on the
next millisecond.
"""

import asyncio
import contextlib
import select
import selectors
import sys
from pathlib import Path

TIMER_SLACK_NS = 1_000


if sys.platform == "linux":

    class PreciseSelector(selectors.EpollSelector):
        """Waits with microsecond bounds.

        asyncio's epoll selector rounds every wait up to whole milliseconds, which is as long as the token
        gaps dictated here. select(2) takes microseconds, and an epoll descriptor can itself be waited for.
        """

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """As `BaseSelector.select`: `timeout` in seconds, None for ever, 0 or less not at all."""
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                return super().select(0)
            return super().select(timeout)

    def precise_loop() -> asyncio.AbstractEventLoop:
        """A new event loop with the precise selector; the kernel's timer slack (50 us) goes down with it."""
        with contextlib.suppress(OSError):  # not Linux, or a sandbox: the waits are then 50 us coarser
            Path("/proc/self/timerslack_ns").write_text(str(TIMER_SLACK_NS))
        return asyncio.SelectorEventLoop(PreciseSelector())

else:

    def precise_loop() -> asyncio.AbstractEventLoop:
        """A new event loop; without epoll its waits are as coarse as the platform's own selector."""
        return asyncio.new_event_loop()
