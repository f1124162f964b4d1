"""What is asked of a server: a workload turns a seed into requests that are complete before the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from instruments.arrivals import ArrivalProcess
from instruments.records import Request
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary


class Workload(Protocol):
    """A named recipe for requests. Whatever is one can be pickled, and its import is light."""

    @property
    def id(self) -> str:
        """Its name in the catalog, in journals and in request ids."""
        ...

    @property
    def description(self) -> str:
        """One line for readers."""
        ...

    @property
    def arrivals(self) -> ArrivalProcess:
        """When the requests are due."""
        ...

    @property
    def requests_measured(self) -> int | None:
        """How many sessions are measured: at the fewest, where `requests_most` is given."""
        ...

    @property
    def requests_most(self) -> int | None:
        """How many are measured where nothing is decided before; None: as many as are planned, no more."""
        ...

    def requests(self, model: str, seed: int, vocabulary: Vocabulary = WORDS_AS_TOKENS) -> Iterator[Request]:
        """The first turns of all sessions in sending order; the same seed gives the same, byte for byte.

        The n-th depends on the workload, the seed, the vocabulary and n alone: whoever takes every fourth
        gets the same requests as whoever takes all. Later turns hang on `then`.
        """
        ...

    def check(self) -> int:
        """Look at all that it is made of, files included, before any load; how many sessions it gives.

        ConfigurationError names the line of a file that is bad.
        """
        ...

    def fingerprint(self) -> str:
        """A hash of all that the workload asks for."""
        ...
