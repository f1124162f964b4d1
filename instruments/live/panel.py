"""The panel: how a load goes on a terminal, drawn with rich, at most four times a second."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from instruments.live.line import ended, load, not_completed, number, quantiles
from instruments.live.recent import WINDOW_S, Glance, Recent

if TYPE_CHECKING:
    from instruments.fleet import Progress

REDRAW_EVERY_S = 0.25
WIDTH = 80
BAR = 32


class PanelView:
    """Drawn over itself while the load goes, and gone at its end. NO_COLOR is respected."""

    def __init__(self, recent: Recent, stream: TextIO) -> None:
        self._recent = recent
        console = Console(file=stream)
        # Nothing else is redirected, and no thread draws: this is called often enough.
        self._live: Live | None = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._width = min(WIDTH, console.width)
        self._drawn_s = -REDRAW_EVERY_S
        self._begun = False

    def update(self, progress: Progress) -> None:
        self._recent.take(progress)
        if self._live is None or progress.elapsed_s - self._drawn_s < REDRAW_EVERY_S:
            return
        self._drawn_s = progress.elapsed_s
        glance = self._recent.glance()
        if glance is None:
            return
        try:
            if not self._begun:
                self._begun = True
                self._live.start()
            self._live.update(panel(glance, self._width), refresh=True)
        except OSError:  # the terminal has gone: that is no reason to end a load
            self._live = None

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None and self._begun:
            live.stop()


def panel(glance: Glance, width: int = WIDTH) -> Panel:
    """Four lines in a frame."""
    text = Text(no_wrap=True, overflow="ellipsis")
    _bar(text, glance.share_done)
    text.append(f"  {ended(glance)}, {glance.elapsed_s:.0f} s")
    if glance.left_s is not None:
        text.append(f", {glance.left_s:.0f} s left", "bold")
    rates = (
        f"{number(glance.requests_per_s)} requests/s",
        f"{number(glance.output_tokens_per_s)} tokens/s",
    )
    text.append("\n" + "   ".join([*load(glance), *rates]))
    text.append(f"\nTTFT {quantiles(glance.ttft_s)}   ITL {quantiles(glance.itl_s)}")
    text.append(f"   last {min(WINDOW_S, glance.elapsed_s):.0f} s", "dim")
    text.append(f"\n{not_completed(glance)}", "bold red" if glance.not_completed else "green")
    return Panel(text, title=Text(glance.name), title_align="left", width=width)


def _bar(text: Text, share: float | None) -> None:
    done = round(BAR * (share or 0.0))
    text.append("━" * done, "cyan")
    text.append("─" * (BAR - done), "dim")
