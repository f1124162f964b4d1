"""Objectives in PromQL: what of an objective a server's own metrics can tell, and what they cannot, with why.

A latency objective becomes the share of events over its limit, read off the histogram's buckets and never
interpolated. Where the limit is no bound the share is an interval: over the bound above it (`low`, certainly
over the limit) to over the bound below it (`high`, perhaps). No traffic is no sample, never a share of 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from instruments.slo.applies import Place
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.rule_file import quoted
from instruments.slo.server_metrics import FAMILIES, ServerMetrics, le, neighbours
from instruments.statistics.indicators import INDICATORS
from instruments.telemetry.vllm import FULLEST, TABLE

# Which metric tells of which indicator. A user's clock starts no later than the server's and stops no
# earlier, so what is over a limit there is over it for the user.
SOURCES: Mapping[str, str] = {
    "ttft_s": "ttft", "ttft_from_due_s": "ttft", "server_ttft_s": "ttft",
    "tpot_s": "tpot",
    "itl_s": "itl", "chunk_gap_s": "itl", "server_itl_s": "itl",
    "e2e_s": "e2e", "e2e_from_due_s": "e2e", "server_e2e_s": "e2e",
    "queue_depth": "waiting", "running": "running", "kv_cache_usage": "kv_cache_usage",
    "preemptions": "preemptions",
}  # fmt: skip
EVENTS = {"ttft": "first tokens", "tpot": "answers", "itl": "gaps between tokens", "e2e": "answers"}
FAILED_STREAMS = "upstream_error|cut_by_shutdown|failed"  # the gateway's words; their status was 200
# Probes are nobody's requests, and /ready says 503 for as long as the engine starts.
NOT_PROBES = 'endpoint!~"/health|/ready"'
CANNOT: Mapping[str, str] = {
    "errors": "a count in one run has no budget; error_share has one",
    "goodput_share": "no metric tells which requests keep several limits at once",
    "goodput_per_s": "no metric tells which requests keep several limits at once",
    "requests_per_s": "how much is asked for is not the server's doing",
    "output_tokens_per_s": "how much is asked for is not the server's doing",
    "energy_j_per_good_token": "no metric tells which tokens belong to a good request",
    "cost_per_good_token": "no metric tells which tokens belong to a good request",
}

Windowed = Callable[[str], str]  # "5m" -> PromQL


@dataclass(frozen=True, slots=True)
class BadShare:
    """A share of bad events that a budget allows. `shares` maps an ending of the recorded name to PromQL."""

    shares: Mapping[str, Windowed]
    decides: str  # the ending that alerts look at: what is certainly bad
    events: Windowed  # how many there were in a window
    what: str  # "first tokens later than 0.25 s"
    caveat: str = ""
    by_model: bool = True


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that must stay on its side of the limit: PromQL of now."""

    value: str
    statistic: str  # max, mean or p95


@dataclass(frozen=True, slots=True)
class Grown:
    """A counter that must not grow by more than the limit: PromQL by the window."""

    value: Windowed


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The server cannot judge it."""

    why: str


Judgeable = BadShare | Gauge | Grown


def in_promql(
    objective: ServiceLevelObjective, server: ServerMetrics, environment: str | None = None
) -> Judgeable | LeftOut:
    """An objective as PromQL. ConfigurationError for a limit beyond the histogram's last bound."""
    why = _elsewhere(objective, environment) or _not_told(objective)
    if why:
        return LeftOut(why)
    if objective.indicator == "error_share":
        return _error_share(server)
    source = SOURCES[objective.indicator]
    names = server.names(source)
    if not names:
        oldest = TABLE[source][-1]
        return LeftOut(f"vLLM has {oldest.name} since {oldest.since}")
    labels = _labels(server.job, objective.applies.models)
    if source in FAMILIES:
        return _latency(objective, server, source, names, labels)
    if source == "preemptions":
        counter = _union(names, lambda name, window: f"increase({name}{_braced(labels)}[{window}])")
        return Grown(lambda window: f"floor(sum by (model_name) ({counter(window)}))")
    now = " or ".join(f"{name}{_braced(labels)}" for name in names)
    across = "max" if source in FULLEST else "sum"
    return Gauge(f"{across} by (model_name) ({now})", objective.statistic)


def _elsewhere(objective: ServiceLevelObjective, environment: str | None) -> str | None:
    """Why an objective is not for these servers, or cannot be known to be."""
    applies, place = objective.applies, Place(environment=environment)
    if applies.users:
        return f"for {' or '.join(map(str, applies.users))} users, whom the server cannot count"
    if why := applies.excludes(place):
        return why
    unknown = set(applies.unknown(place)) - {"model"}
    if "environment" in unknown:
        return f"for {' or '.join(applies.environments)}, and no --environment says where these rules are for"
    if unknown:
        return f"for {' or '.join(applies.accelerators)}, which the server's metrics do not tell"
    if applies.models and objective.indicator == "error_share":
        return f"for {' or '.join(applies.models)}, and the gateway's metrics do not tell models apart"
    return None


def _not_told(objective: ServiceLevelObjective) -> str | None:
    """Why no metric of the server tells of the indicator, or of its statistic."""
    if objective.indicator in CANNOT:
        return CANNOT[objective.indicator]
    if INDICATORS[objective.indicator].kind == "gpu":
        return "the exporter of the GPU tells it, each under names of its own"
    if objective.indicator == "error_share":
        return None
    if objective.indicator not in SOURCES:
        return f"no metric of the server tells of {objective.indicator}"
    if SOURCES[objective.indicator] in FAMILIES and not objective.is_quantile:
        return "a mean allows no share of slow requests, so it has no budget"
    if objective.at_least is not None:
        return "a server that nobody asks is below it, and well"
    return None


def _latency(
    objective: ServiceLevelObjective,
    server: ServerMetrics,
    source: str,
    names: tuple[str, ...],
    labels: tuple[str, ...],
) -> BadShare:
    below, above = neighbours(server.bounds_s(source), objective.limit)
    counts = _union(names, lambda name, window: f"rate({name}_count{_braced(labels)}[{window}])")
    grown = _union(names, lambda name, window: f"increase({name}_count{_braced(labels)}[{window}])")

    def over(bound_s: float) -> Windowed:
        within = _braced((*labels, le(bound_s)))
        good = _union(names, lambda name, window: f"rate({name}_bucket{within}[{window}])")
        return lambda window: (
            f"1 - sum by (model_name) ({good(window)})\n  / (sum by (model_name) ({counts(window)}) > 0)"
        )

    exact = below == above
    shares = {"": over(above)} if exact else {":low": over(above)}
    if below is not None and not exact:
        shares[":high"] = over(below)
    return BadShare(
        shares,
        next(iter(shares)),
        lambda window: f"sum by (model_name) ({grown(window)})",
        f"{EVENTS[source]} {'later' if source == 'ttft' else 'longer'} than {above:g} s",
        "" if exact else _off_bound(objective.limit, below, above),
    )


def _off_bound(limit_s: float, below: float | None, above: float) -> str:
    return (
        f"The limit, {limit_s:g} s, is no bound of the server's histogram: what took {below or 0:g} s to "
        f"{above:g} s cannot be told apart, and only what took longer than {above:g} s is counted as bad."
    )


def _error_share(server: ServerMetrics) -> BadShare:
    """Answers of 5xx, and streams that broke off after a status of 200, of all but those to probes."""
    job = _labels(server.gateway_job, ())
    asked = (*job, NOT_PROBES)
    everything = f"gateway_requests_total{_braced(asked)}"
    failed = "gateway_requests_total" + _braced((*asked, 'status_code=~"5.."'))
    broken = "gateway_streams_total" + _braced((*job, f'outcome=~"{FAILED_STREAMS}"'))
    return BadShare(
        {
            # A status that never came has no series: its share is 0, not unknown.
            "": lambda window: (
                f"((sum(rate({failed}[{window}])) or vector(0))"
                f" + (sum(rate({broken}[{window}])) or vector(0)))\n"
                f"  / (sum(rate({everything}[{window}])) > 0)"
            )
        },
        "",
        lambda window: f"sum(increase({everything}[{window}]))",
        "requests that ended in a 5xx or a broken stream",
        "The first failure of a kind makes its series, and is seen from the second one on.",
        by_model=False,
    )


def _labels(job: str | None, models: tuple[str, ...]) -> tuple[str, ...]:
    found = [f"job={quoted(job)}"] if job is not None else []
    if models:
        globs = ["".join({"*": ".*", "?": "."}.get(one) or re.escape(one) for one in glob) for glob in models]
        found.append(f"model_name=~{quoted('(?i:' + '|'.join(globs) + ')')}")
    return tuple(found)


def _braced(labels: tuple[str, ...]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _union(names: tuple[str, ...], of: Callable[[str, str], str]) -> Windowed:
    """The newest name's series, and an older one's where a server has no newer."""
    return lambda window: " or ".join(of(name, window) for name in names)
