"""A peer's shape: what is asked of it, and what is read from what it wrote."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Ask:
    """One run: the load, the server, and the run's own folder, which is the working directory."""

    scenario: Scenario
    base_url: str
    folder: Path
    bodies: Path  # the requests, a JSON body a line, for clients that take theirs from a file
    seed: int
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command line with what it needs in its environment."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client reports, in ms: values per request where it has them, else its own 99th percentile."""

    completed: int
    ttft_ms: tuple[float, ...] = ()
    itl_ms: tuple[float, ...] = ()
    ttft_p99_ms: float | None = None
    extra: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """One client.

    `install` raises Unavailable; `read` raises LookupError, ValueError or OSError where there is nothing.
    """

    name: str
    title: str
    how: str  # how its TTFT and ITL are taken, and what else a reader must know
    install: Callable[[], None]
    command: Callable[[Ask], Command]
    read: Callable[[Ask], Reading]
    void_status: int | None = None  # exit status by which it calls its own run void; its figures still stand
