"""The live view: how a load goes, told while it goes: a panel on a terminal, else a line now and then."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TextIO

from instruments.live.line import LineView
from instruments.live.recent import Recent

if TYPE_CHECKING:
    from instruments.fleet import Progress
    from instruments.live.due import DueByNow


class LiveView(Protocol):
    """Something that shows progress."""

    def update(self, progress: Progress) -> None:
        """Take what is new; to be called a few times a second."""
        ...

    def close(self) -> None:
        """The load is over, or given up: leave the stream as others expect it."""
        ...


def live_view(
    name: str,
    total: int | None,
    duration_s: float | None,
    stream: TextIO | None,
    *,
    quiet: bool = False,
    due: DueByNow | None = None,
) -> LiveView:
    """The view that suits a stream: a panel on a terminal, lines elsewhere and under CI.

    `total` is how many requests the load will have, `duration_s` for how long they will be due; None
    is not known. Nothing is shown when `quiet`, or without a stream. With `due`, an open loop's number
    of requests in flight is shown too.
    """
    if quiet or stream is None:
        return Nothing()
    recent = Recent(name, total, duration_s, due)
    # CI systems call their log a terminal, and some terminals cannot move their cursor.
    if stream.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb":
        from instruments.live.panel import PanelView  # rich is imported for a terminal only

        return PanelView(recent, stream)
    return LineView(recent, stream)


class Nothing:
    """Shows nothing."""

    def update(self, progress: Progress) -> None:
        pass

    def close(self) -> None:
        pass
