"""Figures: one run against its truth, and the medians of several."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.meter import Usage
from benchmarks.peers.peer import Reading
from benchmarks.quantile import p99
from benchmarks.scenarios import ONE
from benchmarks.server import Truth

MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Run:
    """One run's raw figures, as they are saved. Errors are the client's p99 minus the server's, in ms.

    `problem` says why the run counts for nothing; the figures are then absent. `void` is what a client said
    that called its own run void; the figures stand.
    """

    peer: str
    scenario: str
    round: int
    problem: str | None = None
    void: str | None = None
    wall_s: float | None = None
    cpu_s: float | None = None
    tokens: int | None = None
    peak_rss_bytes: int | None = None
    largest_rss_bytes: int | None = None
    processes_left: int | None = None
    asked: int | None = None
    completed: int | None = None
    probes: int | None = None
    ttft_p99_ms: float | None = None
    ttft_p99_true_ms: float | None = None
    itl_p99_ms: float | None = None
    itl_p99_true_ms: float | None = None
    extra: Mapping[str, float] = field(default_factory=dict)
    argv: Sequence[str] = ()

    @property
    def ttft_error_ms(self) -> float | None:
        return _difference(self.ttft_p99_ms, self.ttft_p99_true_ms)

    @property
    def itl_error_ms(self) -> float | None:
        return _difference(self.itl_p99_ms, self.itl_p99_true_ms)


def figures_of(usage: Usage, truth: Truth, reading: Reading) -> dict[str, Any]:
    """The measured fields of a Run."""
    return {
        "wall_s": usage.wall_s,
        "cpu_s": usage.cpu_s,
        "tokens": truth.tokens,
        "peak_rss_bytes": usage.peak_rss_bytes,
        "largest_rss_bytes": usage.largest_rss_bytes,
        "processes_left": usage.processes_left,
        "completed": reading.completed,
        "probes": truth.probes,
        "ttft_p99_ms": p99(reading.ttft_ms) if reading.ttft_ms else reading.ttft_p99_ms,
        "ttft_p99_true_ms": p99(truth.ttft_ms) if truth.ttft_ms else None,
        "itl_p99_ms": p99(reading.itl_ms) if reading.itl_ms else None,
        "itl_p99_true_ms": p99(truth.itl_ms) if truth.itl_ms else None,
        "extra": dict(reading.extra),
    }


@dataclass(frozen=True, slots=True)
class Figures:
    """The medians of one benchmark's runs; every figure is None where there is none."""

    runs: Sequence[Run]

    def good(self, peer: str, scenario: str) -> list[Run]:
        found = (run for run in self.runs if run.peer == peer and run.scenario == scenario)
        return [run for run in found if run.problem is None]

    def problem(self, peer: str, scenario: str) -> str | None:
        """Why a peer has no figure in a scenario: the first reason that was met."""
        found = (run for run in self.runs if run.peer == peer and run.scenario == scenario)
        return next((run.problem for run in found if run.problem is not None), None)

    def median(self, peer: str, scenario: str, figure: Callable[[Run], float | None]) -> float | None:
        values = [value for run in self.good(peer, scenario) if (value := figure(run)) is not None]
        return median(values) if values else None

    def ttft_error_ms(self, peer: str, scenario: str) -> float | None:
        return self.median(peer, scenario, lambda run: run.ttft_error_ms)

    def itl_error_ms(self, peer: str, scenario: str) -> float | None:
        return self.median(peer, scenario, lambda run: run.itl_error_ms)

    def ttft_error_size_ms(self, peer: str, scenario: str) -> float | None:
        """Its size in the median run: errors of both signs do not make up for each other."""
        return self.median(peer, scenario, lambda run: _size(run.ttft_error_ms))

    def itl_error_size_ms(self, peer: str, scenario: str) -> float | None:
        return self.median(peer, scenario, lambda run: _size(run.itl_error_ms))

    def wall_s(self, peer: str, scenario: str) -> float | None:
        return self.median(peer, scenario, lambda run: run.wall_s)

    def peak_mib(self, peer: str, scenario: str) -> float | None:
        found = self.median(peer, scenario, lambda run: run.peak_rss_bytes)
        return None if found is None else found / MEBIBYTE

    def other(self, peer: str, scenario: str, name: str) -> float | None:
        return self.median(peer, scenario, lambda run: run.extra.get(name))

    def cpu_s_per_million_tokens(self, peer: str, scenario: str) -> float | None:
        """CPU seconds that a million tokens add: what a run of one request costs is taken off."""
        start_s = self.median(peer, ONE.name, lambda run: run.cpu_s)
        if start_s is None:
            return None
        return self.median(peer, scenario, lambda run: _per_million(run, start_s))


def ratio(value: float | None, other: float | None) -> float | None:
    """`value` ÷ `other`; None where either is unknown or the divisor is not above zero."""
    return None if value is None or other is None or other <= 0 else value / other


def _per_million(run: Run, start_s: float) -> float | None:
    if run.cpu_s is None or not run.tokens or run.tokens <= ONE.tokens:
        return None
    added_s = run.cpu_s - start_s
    return (
        added_s / (run.tokens - ONE.tokens) * 1e6 if added_s > 0 else None
    )  # lost in what the start varies by


def _size(value: float | None) -> float | None:
    return None if value is None else abs(value)


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
