"""Exposition: the tally as Prometheus text, under vLLM 0.32's metric names, plus one gauge that says it is
simulated.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from .engine import BLOCK_TOKENS, Engine
from .settings import Settings
from .tally import Histogram, Tally

CONTENT_TYPE = CONTENT_TYPE_LATEST
FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")
NAMES = ("engine", "model_name")


class Exposition(Collector):
    """Reads tally and engine at the moment of the scrape."""

    def __init__(self, settings: Settings, tally: Tally, engine: Engine) -> None:
        self._settings = settings
        self._tally = tally
        self._engine = engine
        self._values = ("0", settings.model)
        # room for every slot at full context: the simulator has no memory to run out of
        self._blocks = settings.slots * -(-settings.max_model_len // BLOCK_TOKENS)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """The body of /metrics."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """No names in advance; the registry need not call collect() to learn them."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, for prometheus_client."""
        yield GaugeMetricFamily(
            "vllm_slo_simulated", "1: these numbers are dictated, no model is behind them.", value=1
        )
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield self._cache_config()
        yield self._http()

    def _gauges(self) -> Iterator[Metric]:
        engine = self._engine
        yield self._gauge(
            "num_requests_running", "Number of requests in model execution batches.", engine.running
        )
        yield self._gauge(
            "num_requests_waiting", "Number of requests waiting to be processed.", engine.waiting
        )
        used = engine.blocks_used / self._blocks
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", used)

    def _counters(self) -> Iterator[Metric]:
        tally = self._tally
        yield self._counter("prompt_tokens", "Number of prefill tokens processed.", tally.prompt_tokens)
        yield self._counter(
            "generation_tokens", "Number of generation tokens processed.", tally.generation_tokens
        )
        yield self._counter("num_preemptions", "Cumulative number of preemption from the engine.", 0)
        yield self._counter(
            "prefix_cache_queries", "Prefix cache queries, in queried tokens.", tally.prefix_cache_queries
        )
        yield self._counter("prefix_cache_hits", "Prefix cache hits, in cached tokens.", 0)
        names = ("engine", "finished_reason", "model_name")
        family = CounterMetricFamily(
            "vllm:request_success", "Count of successfully processed requests.", labels=names
        )
        engine, model = self._values
        for reason in FINISHED_REASONS:
            family.add_metric((engine, reason, model), tally.finished[reason])
        yield family

    def _histograms(self) -> Iterator[Metric]:
        tally = self._tally
        yield self._histogram("time_to_first_token_seconds", tally.time_to_first_token)
        yield self._histogram("inter_token_latency_seconds", tally.inter_token_latency)
        yield self._histogram("request_time_per_output_token_seconds", tally.request_time_per_output_token)
        yield self._histogram("e2e_request_latency_seconds", tally.e2e_request_latency)
        yield self._histogram("request_queue_time_seconds", tally.request_queue_time)
        yield self._histogram("request_inference_time_seconds", tally.request_inference_time)
        yield self._histogram("request_prefill_time_seconds", tally.request_prefill_time)
        yield self._histogram("request_decode_time_seconds", tally.request_decode_time)
        yield self._histogram("request_prompt_tokens", tally.request_prompt_tokens)
        yield self._histogram("request_generation_tokens", tally.request_generation_tokens)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=NAMES)
        family.add_metric(self._values, value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=NAMES)
        family.add_metric(self._values, value)
        return family

    def _histogram(self, name: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(f"vllm:{name}", f"Histogram of {name}.", labels=NAMES)
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        buckets = [*zip(bounds, map(float, accumulate(histogram.counts)), strict=True)]
        family.add_metric(self._values, buckets, histogram.total)
        return family

    def _cache_config(self) -> Metric:
        labels = {
            "block_size": str(BLOCK_TOKENS),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "engine": "0",
            "kv_cache_size_tokens": str(self._blocks * BLOCK_TOKENS),
            "num_cpu_blocks": "None",
            "num_gpu_blocks": str(self._blocks),
        }
        family = GaugeMetricFamily(
            "vllm:cache_config_info", "Information of the CacheConfig", labels=[*labels]
        )
        family.add_metric([*labels.values()], 1)
        return family

    def _http(self) -> Metric:
        names = ("handler", "method", "status")
        text = "Total number of requests by method, status and handler."
        family = CounterMetricFamily("http_requests", text, labels=names)
        for labels, count in self._tally.http.items():
            family.add_metric(labels, count)
        return family
