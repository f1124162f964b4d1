"""Watch: waits for sockets and for the next due instant, and wakes within tens of microseconds of it, not on
the next millisecond.
"""

import contextlib
import select
import selectors
import sys
from pathlib import Path
from typing import Protocol

READ, WRITE = 1, 4  # epoll's own numbers for readable and writable; other bits are an end or an error
TIMER_SLACK_NS = 1_000
S_PER_NS = 1e-9


class Watch(Protocol):
    """A set of descriptors to wait for."""

    def add(self, fd: int) -> None:
        """Wait for `fd` to be readable from now on."""

    def want(self, fd: int, events: int) -> None:
        """Wait for other events of `fd` than before."""

    def drop(self, fd: int) -> None:
        """Wait for `fd` no more; to be called before it is closed."""

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        """What is ready, as (fd, events); nothing when the time is up. None waits for ever."""
        ...

    def close(self) -> None:
        """Give up what it holds."""


class EpollWatch:
    """Linux.

    epoll's own waits are rounded up to whole milliseconds, which is as long as the token gaps dictated
    here. select(2) takes microseconds, and an epoll descriptor can itself be waited for.
    """

    def __init__(self) -> None:
        with contextlib.suppress(OSError):  # a sandbox: the waits are then 50 us coarser
            Path("/proc/self/timerslack_ns").write_text(str(TIMER_SLACK_NS))
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._self = [self._epoll.fileno()]
        self._nothing: list[int] = []

    def add(self, fd: int) -> None:
        """See Watch."""
        self._epoll.register(fd, READ)

    def want(self, fd: int, events: int) -> None:
        """See Watch."""
        self._epoll.modify(fd, events)

    def drop(self, fd: int) -> None:
        """See Watch."""
        self._epoll.unregister(fd)

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        """See Watch."""
        if timeout_ns is None:
            return self._poll()
        nothing = self._nothing
        if timeout_ns > 0 and not select.select(self._self, nothing, nothing, timeout_ns * S_PER_NS)[0]:
            return []
        return self._poll(0, 1024)

    def close(self) -> None:
        """See Watch."""
        self._epoll.close()


class SelectorWatch:
    """Whatever the platform has: kqueue takes microseconds itself."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, fd: int) -> None:
        """See Watch."""
        self._selector.register(fd, selectors.EVENT_READ)

    def want(self, fd: int, events: int) -> None:
        """See Watch."""
        wanted = (selectors.EVENT_READ if events & READ else 0) | (
            selectors.EVENT_WRITE if events & WRITE else 0
        )
        self._selector.modify(fd, wanted)

    def drop(self, fd: int) -> None:
        """See Watch."""
        self._selector.unregister(fd)

    def wait(self, timeout_ns: int | None) -> list[tuple[int, int]]:
        """See Watch."""
        ready = self._selector.select(None if timeout_ns is None else timeout_ns * S_PER_NS)
        return [
            (
                key.fd,
                (READ if events & selectors.EVENT_READ else 0)
                | (WRITE if events & selectors.EVENT_WRITE else 0),
            )
            for key, events in ready
        ]

    def close(self) -> None:
        """See Watch."""
        self._selector.close()


def new_watch() -> Watch:
    """The best that the platform has."""
    return EpollWatch() if sys.platform == "linux" else SelectorWatch()
