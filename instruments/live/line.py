"""Lines: how a load goes where nothing can be redrawn, such as a CI system's log."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from instruments.live.recent import Glance, Recent

if TYPE_CHECKING:
    from instruments.fleet import Progress

LINE_EVERY_S = 5.0


class LineView:
    """A line every few seconds; a load shorter than that leaves none."""

    def __init__(self, recent: Recent, stream: TextIO) -> None:
        self._recent = recent
        self._stream = stream
        self._next_s = LINE_EVERY_S

    def update(self, progress: Progress) -> None:
        self._recent.take(progress)
        if progress.elapsed_s < self._next_s:
            return
        self._next_s = progress.elapsed_s + LINE_EVERY_S
        glance = self._recent.glance()
        # Whoever read the log may have gone: that is no reason to end a load.
        with suppress(OSError, ValueError):
            if glance is not None:
                self._stream.write(f"  {line(glance)}\n")
                self._stream.flush()

    def close(self) -> None:
        pass


def line(glance: Glance) -> str:
    """All that is known at a glance, in one line."""
    parts = [f"{glance.elapsed_s:.0f} s", ended(glance)]
    parts += [
        *load(glance),
        f"{number(glance.requests_per_s)} requests/s",
        f"{number(glance.output_tokens_per_s)} tokens/s",
        f"TTFT {quantiles(glance.ttft_s)}",
        f"ITL {quantiles(glance.itl_s)}",
        not_completed(glance),
    ]
    if glance.left_s is not None:
        parts.append(f"{glance.left_s:.0f} s left")
    return f"{glance.name}: {', '.join(parts)}"


def load(glance: Glance) -> list[str]:
    """What is on the server: users of a closed loop, requests of an open one."""
    if glance.users is not None:
        return [f"{glance.users:,} users"]
    return [] if glance.in_flight is None else [f"{glance.in_flight:,} in flight"]


def ended(glance: Glance) -> str:
    of = "" if glance.total is None else f" of {glance.total:,}"
    return f"{glance.ended:,}{of} requests"


def not_completed(glance: Glance) -> str:
    """Errors by outcome."""
    return " ".join(f"{count:,} {outcome}" for outcome, count in glance.not_completed) or "no errors"


def quantiles(pair: tuple[float, float] | None) -> str:
    """p50 and p95, in milliseconds."""
    return "–" if pair is None else f"p50 {number(1e3 * pair[0])} p95 {number(1e3 * pair[1])} ms"


def number(value: float | None) -> str:
    """Three digits are enough at a glance."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
