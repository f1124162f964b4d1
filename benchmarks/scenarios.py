"""Scenarios: the loads of a benchmark, the same for every client."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load and the timing that the server is told to keep.

    Closed loop of `streams` unless `rate_per_s` is given; times in milliseconds; `step_ms` None or the grid
    on which the tokens of all streams leave together, as engines emit them.
    """

    name: str
    streams: int
    requests: int
    tokens: int = 64
    prompt_tokens: int = 32
    ttft_ms: float = 50.0
    itl_ms: float = 10.0
    step_ms: float | None = None
    rate_per_s: float | None = None
    arrivals: str = ""
    tls: bool = False
    processes: int = 1
    limit_s: float = 120.0  # of the client, its start included

    @property
    def tokens_in_all(self) -> int:
        return self.requests * self.tokens


ONE = Scenario("one", streams=1, requests=1, ttft_ms=0.0, itl_ms=0.0)
PACED_64 = Scenario("paced-64", streams=64, requests=256)
PACED_256 = Scenario("paced-256", streams=256, requests=1024)
STEP_256 = replace(PACED_256, name="step-256", step_ms=10.0)
FLAT_64 = Scenario("flat-64", streams=64, requests=2048, ttft_ms=0.0, itl_ms=0.0)

FOR_ALL = (ONE, PACED_64, PACED_256, STEP_256, FLAT_64)

STREAMS_1024 = Scenario("paced-1024", streams=1024, requests=2048, itl_ms=50.0)
TLS_256 = replace(PACED_256, name="tls-256", tls=True)
TLS_FLAT_64 = replace(FLAT_64, name="tls-flat-64", tls=True)
TWO_PROCESSES = replace(PACED_256, name="two-processes-256", processes=2)
STREAMS_10000 = Scenario(
    "streams-10000", streams=10_000, requests=10_000, tokens=16, itl_ms=1000.0, limit_s=180.0
)


def open_loop(rate_per_s: float, arrivals: str, duration_s: float = 5.0) -> Scenario:
    """Requests of 8 tokens at a rate that does not wait for answers."""
    name = f"{arrivals}-{rate_per_s:g}"
    count = round(rate_per_s * duration_s)
    return Scenario(name, streams=count, requests=count, tokens=8, rate_per_s=rate_per_s, arrivals=arrivals)


RATES = tuple(open_loop(rate, law) for rate in (200.0, 1000.0) for law in ("constant", "poisson"))

FOR_OURS = (STREAMS_1024, TLS_256, TLS_FLAT_64, *RATES, TWO_PROCESSES, STREAMS_10000)


def quick(scenario: Scenario) -> Scenario:
    """A quarter of the requests, a tenth of the very large: to see that all works, not for figures."""
    fewer = max(min(scenario.requests, scenario.streams), scenario.requests // 4)
    if scenario.streams > 1024 and scenario.rate_per_s is None:
        fewer = scenario.requests // 10
        return replace(scenario, streams=fewer, requests=fewer, itl_ms=scenario.itl_ms / 10)
    if scenario.rate_per_s is not None:
        fewer = scenario.requests // 4
        return replace(scenario, streams=fewer, requests=fewer)
    return replace(scenario, requests=fewer)
