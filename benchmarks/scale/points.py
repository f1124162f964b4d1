"""Points: how many streams at which rate, and how long each run takes."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.scenarios import Scenario

RAMP_S, STREAMED_S = 2.0, 6.0
TTFT_MS = 100.0
PROMPT_TOKENS = 24


@dataclass(frozen=True, slots=True)
class Point:
    """So many streams at once, each of so many tokens a second, in one process."""

    rate: float  # tokens per second and stream
    streams: int
    ramp_s: float = RAMP_S  # the streams begin evenly over this time
    streamed_s: float = STREAMED_S  # from the first to the last token of a stream

    @property
    def tokens(self) -> int:
        """Of each answer."""
        return round(self.rate * self.streamed_s)

    @property
    def name(self) -> str:
        return f"{self.rate:g}x{self.streams}"

    def scenario(self) -> Scenario:
        """What the server of known timing is told."""
        return Scenario(
            self.name,
            streams=self.streams,
            requests=self.streams,
            tokens=self.tokens,
            prompt_tokens=PROMPT_TOKENS,
            ttft_ms=TTFT_MS,
            itl_ms=1e3 / self.rate,
        )


# What a process costs before it has streams: a single one, long enough to be looked at.
START = Point(10.0, 1, ramp_s=0.0, streamed_s=2.0)
PLANNED_RATES = (10.0, 50.0)
POINTS = (
    *(Point(10.0, streams) for streams in (64, 512, 2_048, 4_096)),
    *(Point(50.0, streams) for streams in (64, 256, 512, 1_024)),
    Point(1.0, 16_384, ramp_s=14.0, streamed_s=18.0),  # as many sockets as a process may have here
)
QUICK = (Point(10.0, 64), Point(10.0, 512), Point(50.0, 64), Point(50.0, 256))
