"""What the operator sees meanwhile: one line that moves on a terminal, else a line every few seconds."""

from __future__ import annotations

import threading
import time
from typing import TextIO

MB = 1_000_000


class Progress:
    """Counts bytes from several threads; `show` is called by one. `total` and `begun` in bytes."""

    def __init__(self, out: TextIO, total: int, begun: int, every_s: float) -> None:
        self._out = out
        self._total = total
        self._here = begun
        self._came = 0
        self._lock = threading.Lock()
        self._moving = out.isatty()
        self._line_every_s = every_s
        self.every_s = 0.2 if self._moving else every_s
        self._began_s = self._shown_s = time.monotonic()

    @property
    def came(self) -> int:
        """Bytes received in this run, those of repeated attempts included."""
        return self._came

    def add(self, count: int) -> None:
        """So many bytes came."""
        with self._lock:
            self._here += count
            self._came += count

    def forget(self, count: int) -> None:
        """So many bytes were thrown away."""
        with self._lock:
            self._here -= count

    def note(self, text: str) -> None:
        """A line of its own."""
        with self._lock:
            self._out.write(("\r\x1b[K" if self._moving else "") + f"weights: {text}\n")
            self._out.flush()

    def show(self) -> None:
        """Say how far it is, if it is time."""
        now_s = time.monotonic()
        if not self._moving and now_s - self._shown_s < self._line_every_s:
            return
        self._shown_s = now_s
        with self._lock:
            text = self._line(now_s)
            self._out.write(f"\r\x1b[K{text}" if self._moving else f"weights: {text}\n")
            self._out.flush()

    def end(self) -> None:
        """Leave the moving line."""
        if self._moving:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _line(self, now_s: float) -> str:
        share = f"{self._here / self._total:.0%}" if self._total else "–"
        pace = self._came / max(now_s - self._began_s, 1e-9)
        left_s = (self._total - self._here) / pace if pace else None
        left = f", {left_s:,.0f} s left" if left_s is not None else ""
        return f"{share} of {self._total / MB:,.1f} MB, {pace / MB:,.1f} MB/s{left}"
