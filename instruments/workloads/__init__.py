"""What is asked of a server: a workload turns a seed into requests that are complete before the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from instruments.records import Request


class Workload(Protocol):
    """A named recipe for requests."""

    def requests(self, model: str, seed: int) -> Iterator[Request]:
        """Every request of the run; the same seed gives the same requests, byte for byte."""
        ...
