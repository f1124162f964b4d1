"""An alarm clock that a poller can wait for: Linux's timerfd, exact to microseconds."""

from __future__ import annotations

import ctypes
import os
import time

from instruments.clock import NANOSECONDS

_TFD_NONBLOCK_CLOEXEC = 0o2004000
_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Spec(ctypes.Structure):
    """struct itimerspec: the interval (none here) and the instant, each seconds and nanoseconds."""

    _fields_ = (("interval", ctypes.c_long * 2), ("value", ctypes.c_long * 2))


class Alarm:
    """One timerfd on CLOCK_MONOTONIC. Readable from its instant on, until it is set anew."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if self._descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._settime = libc.timerfd_settime
        self._spec = _Spec()
        self._pointer = ctypes.byref(self._spec)
        self._set_ns = 0

    def fileno(self) -> int:
        return self._descriptor

    def ring_at(self, instant_ns: int) -> None:
        """Become readable at an instant of CLOCK_MONOTONIC; an earlier setting is forgotten."""
        if instant_ns != self._set_ns:
            self._set_ns = instant_ns
            self._spec.value[:] = divmod(instant_ns, NANOSECONDS)
            self._settime(self._descriptor, _ABSOLUTE, self._pointer, None)

    def hush(self) -> None:
        """Not readable any more, until it is set again."""
        self._set_ns = 0
        os.read(self._descriptor, 8)

    def close(self) -> None:
        os.close(self._descriptor)
