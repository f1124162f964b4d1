"""Tally: the running counts behind /metrics, kept as bare numbers because each token updates them."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence


def _bounds(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


# Bounds of vLLM 0.32, in seconds.
FIRST_TOKEN_S = _bounds(".001 .005 .01 .02 .04 .06 .08 .1 .25 .5 .75 1 2.5 5 7.5 10 20 40 80 160 640 2560")
TOKEN_GAP_S = _bounds(".01 .025 .05 .075 .1 .15 .2 .3 .4 .5 .75 1 2.5 5 7.5 10 20 40 80")
REQUEST_S = _bounds(".3 .5 .8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680")


def token_bounds(max_model_len: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 ... up to the context, as vLLM builds them."""
    steps = (mantissa * 10**power for power in range(12) for mantissa in (1, 2, 5))
    return tuple(float(step) for step in steps if step <= max_model_len)


class Histogram:
    """Counts by bound; `counts[i]` is of the i-th bound alone, the last one of what lies above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds; a value equal to a bound belongs to it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[float]) -> None:
        """Count many; sorted once, since most lie below the first bounds."""
        values.sort()
        seen = 0
        for index, bound in enumerate(self.bounds):
            if seen == len(values):
                break
            upto = bisect_right(values, bound, seen)
            self.counts[index] += upto - seen
            seen = upto
        self.counts[-1] += len(values) - seen
        self.total += sum(values)


class Tally:
    """All counts of one engine. Names are vLLM's, without `vllm:`, `_total` and `_seconds`."""

    def __init__(self, max_model_len: int) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.prefix_cache_queries = 0
        self.finished: Counter[str] = Counter()
        self.http: Counter[tuple[str, str, str]] = Counter()
        self.time_to_first_token = Histogram(FIRST_TOKEN_S)
        self.inter_token_latency = Histogram(TOKEN_GAP_S)
        self.request_time_per_output_token = Histogram(TOKEN_GAP_S)
        self.e2e_request_latency = Histogram(REQUEST_S)
        self.request_queue_time = Histogram(REQUEST_S)
        self.request_inference_time = Histogram(REQUEST_S)
        self.request_prefill_time = Histogram(REQUEST_S)
        self.request_decode_time = Histogram(REQUEST_S)
        self.request_prompt_tokens = Histogram(token_bounds(max_model_len))
        self.request_generation_tokens = Histogram(token_bounds(max_model_len))
