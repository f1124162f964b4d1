"""Goals: what our client is meant to reach in one benchmark. Reported as reached or not, never asserted."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figures, ratio
from benchmarks.scenarios import (
    FLAT_64,
    ONE,
    PACED_64,
    PACED_256,
    RATES,
    STEP_256,
    STREAMS_1024,
    STREAMS_10000,
    TLS_256,
)

OURS, RUST, VLLM, FLOOR = "ours", "vllm-rs", "vllm-bench", "receiver"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must be at most `limit`; `value` is None where there is nothing to judge."""

    what: str
    value: float | None
    limit: float
    unit: str = ""

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        return "reached" if self.value <= self.limit else "NOT REACHED"


def goals(figures: Figures) -> list[Goal]:
    """Every goal, in the order of the issue that set them."""
    return [*_truth(figures), *_cost(figures), *_sending(figures), *_size(figures)]


def _truth(figures: Figures) -> Iterator[Goal]:
    for scenario, limit in (
        (PACED_64, 0.1),
        (PACED_256, 0.1),
        (STEP_256, 0.1),
        (STREAMS_1024, 1.0),
        (TLS_256, 0.1),
    ):
        error = figures.ttft_error_size_ms(OURS, scenario.name)
        yield Goal(f"TTFT p99 error, {scenario.name}", error, limit, "ms")
    for scenario in (PACED_64, PACED_256, STEP_256):
        own, rust = (figures.ttft_error_size_ms(peer, scenario.name) for peer in (OURS, RUST))
        yield Goal(f"TTFT p99 error ÷ the Rust client's, {scenario.name}", ratio(own, rust), 1 / 50)
    for scenario in (PACED_64, PACED_256, STEP_256, TLS_256):
        error = figures.itl_error_size_ms(OURS, scenario.name)
        yield Goal(f"ITL p99 error, {scenario.name}", error, 0.1, "ms")


def _cost(figures: Figures) -> Iterator[Goal]:
    named = (
        (RUST, "the Rust client's", 1.1),
        (VLLM, "`vllm bench serve`'s", 0.5),
        (FLOOR, "the C receiver's", 1.6),
    )
    for scenario in (PACED_256, FLAT_64):
        own = figures.cpu_s_per_million_tokens(OURS, scenario.name)
        for peer, whose, limit in named:
            other = figures.cpu_s_per_million_tokens(peer, scenario.name)
            yield Goal(f"CPU per token ÷ {whose}, {scenario.name}", ratio(own, other), limit)
    yield Goal("a run of one request", figures.wall_s(OURS, ONE.name), 0.25, "s")


def _sending(figures: Figures) -> Iterator[Goal]:
    for scenario in RATES:
        lag = figures.other(OURS, scenario.name, "send_lag_p99_ms")
        limit = 0.3 if scenario.rate_per_s == 200.0 else 1.0
        yield Goal(f"send lag p99, {scenario.name}", lag, limit, "ms")
        share = figures.other(OURS, scenario.name, "achieved_share")
        off = None if share is None else abs(share - 1) * 100
        yield Goal(f"achieved rate off the offered one, {scenario.name}", off, 0.1, "%")


def _size(figures: Figures) -> Iterator[Goal]:
    yield Goal("peak memory at 256 streams", figures.peak_mib(OURS, PACED_256.name), 60e6 / 2**20, "MiB")
    yield Goal(
        "peak memory at 10,000 streams", figures.peak_mib(OURS, STREAMS_10000.name), 1e9 / 2**20, "MiB"
    )
