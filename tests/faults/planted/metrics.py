"""Faults of the text of /metrics."""

from collections.abc import Mapping

from tests.faults import rewriting
from tests.faults.planting import Planted, at
from tests.faults.rewriting import Edit

METRIC_FAULTS: Mapping[str, Edit] = {
    "metrics-renamed": rewriting.renamed_metrics,
    "counter-lies": rewriting.lying_counter,
    "cache-full": rewriting.full_cache,
    "prompts-doubled": rewriting.doubled(rewriting.PROMPT_TOKENS),
    "successes-doubled": rewriting.doubled(rewriting.SUCCESSES),
    "first-tokens-doubled": rewriting.doubled(rewriting.FIRST_TOKENS),
    "reasons-swapped": rewriting.swapped_reasons,
    "request-stuck": rewriting.stuck_request,
    "cache-leaks": rewriting.leaking_cache,
    "histograms-slow": rewriting.slow_histograms,
}

FAULTS = [Planted(name, whole=at(b"/metrics", edit)) for name, edit in METRIC_FAULTS.items()]
