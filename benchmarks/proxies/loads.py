"""The loads of the proxies' benchmark: the same requests at the same instants for each of them."""

from dataclasses import dataclass, replace

from benchmarks.scenarios import Scenario

TTFT_MS = 50.0
ITL_MS = 50.0  # 20 tokens a second: a stream that somebody reads


@dataclass(frozen=True, slots=True)
class Load:
    """Streams open at once, on average: Poisson arrivals, as users come who know nothing of each other.

    One stream is one user, one request after another.
    """

    streams: int
    requests: int
    tokens: int

    @property
    def stream_s(self) -> float:
        """How long the server takes over one answer."""
        return (TTFT_MS + ITL_MS * (self.tokens - 1)) / 1e3

    @property
    def rate_per_s(self) -> float | None:
        """Arrivals a second that keep `streams` open on average (Little's law); None for one user."""
        return None if self.streams == 1 else self.streams / self.stream_s

    @property
    def tokens_per_s(self) -> float:
        return self.streams * self.tokens / self.stream_s

    def scenario(self) -> Scenario:
        """As the server and the client are told."""
        return Scenario(
            f"streams-{self.streams}",
            streams=max(self.streams * 4, 64),
            requests=self.requests,
            tokens=self.tokens,
            ttft_ms=TTFT_MS,
            itl_ms=ITL_MS,
            rate_per_s=self.rate_per_s,
            arrivals="poisson" if self.rate_per_s else "",
            limit_s=60.0 + 2 * self.requests / (self.rate_per_s or 1 / self.stream_s),
        )


LOADS = (
    Load(streams=1, requests=40, tokens=8),
    Load(streams=16, requests=250, tokens=16),
    Load(streams=64, requests=1000, tokens=32),
    Load(streams=256, requests=2000, tokens=64),
)


def quick(load: Load) -> Load:
    """A tenth of the requests: to see that all works, not for figures."""
    return replace(load, requests=max(10, load.requests // 10))
