"""How a request is asked: one method, so that anything that answers can stand behind it."""

from __future__ import annotations

from typing import Protocol

from instruments.records import Request, RequestRecord


class Transport(Protocol):
    """Sends one request and says what became of it; never raises for what a server does."""

    async def send(self, request: Request, *, user: int, due_ns: int) -> RequestRecord:
        """Send now. The record's `due_ns` and `user` are those given."""
        ...

    async def open(self, connections: int) -> None:
        """Make connections ahead of the run, so that none is made inside the window."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
