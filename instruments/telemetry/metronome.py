"""A metronome: one thing done each so many seconds in a thread of its own, which ends when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Metronome:
    """Beats at once and then every `every_s`; a beat that comes late is not made up for."""

    def __init__(self, beat: Callable[[], None], every_s: float, name: str) -> None:
        self._beat = beat
        self._every_s = every_s
        self._name = name
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._crash: BaseException | None = None

    def start(self) -> None:
        self._ended.clear()
        # A daemon: a beat that hangs in a driver or a socket must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, bound_s: float) -> bool:
        """Ask it to end and wait; False when a beat did not end within the bound. Any number of times.

        A beat that crashed is raised here: whoever made it finds its mistake.
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join(bound_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        crash, self._crash = self._crash, None
        if crash is not None:
            raise crash
        return True

    def _run(self) -> None:
        due_s = time.monotonic()
        try:
            while not self._ended.wait(max(0.0, due_s - time.monotonic())):
                self._beat()
                due_s = max(due_s + self._every_s, time.monotonic())
        except BaseException as crash:  # raised in `stop`, to whom it concerns
            self._crash = crash
