"""How a request is asked: one method, so that anything that answers can stand behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from instruments.records import Request, RequestRecord


class Asked(Protocol):
    """A request on its way, as the engine sees it. Over when its `ended` was called."""

    @property
    def request(self) -> Request: ...

    @property
    def user(self) -> int: ...

    @property
    def sent_ns(self) -> int | None: ...

    @property
    def done_ns(self) -> int | None:
        """Arrival of the last byte."""
        ...

    @property
    def whole(self) -> bool:
        """An answer of status 200 came to its end in good order; what it means is not known yet."""
        ...

    @property
    def text(self) -> str:
        """What was answered, where the request has a next turn; there once its record was made."""
        ...


Some = TypeVar("Some", bound=Any)


class Transport(Protocol[Some]):
    """Sends requests on a loop; never raises for what a server does. `Some` is its own kind of `Asked`."""

    connections_made: int

    def open(self, connections: int) -> None:
        """Make connections ahead of the run, so that none is made inside the window."""
        ...

    def send(self, request: Request, *, user: int, due_ns: int, ended: Callable[[Some], None]) -> Some:
        """Send now. `ended` is called once, from the loop."""
        ...

    def cancel(self, asked: Some, reason: str) -> None:
        """End a request that is on its way; it is CANCELLED."""
        ...

    def record(self, asked: Some) -> RequestRecord:
        """What became of a request that is over."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
