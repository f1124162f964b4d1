"""Alerts of one objective: its budget burns too fast, its value is past the limit, it cannot be judged."""

from __future__ import annotations

from collections.abc import Mapping

from instruments.slo.burn_rate import SCRAPES_LEAST, Pair, Plan, duration
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.rule_file import Rule, quoted
from instruments.slo.server_indicators import SOURCES, BadShare, Gauge, Grown

BURN_RATE, NOT_JUDGED, THRESHOLD = "SloBurnRate", "SloNotJudged", "SloThreshold"
VALUE = "slo:sli_value:last"
SAMPLES_LEAST = 20  # of a gauge, before a mean or a p95 of them is judged
BLIND_S = 300.0  # for how long a histogram may lack a bound before somebody is told
OVER_TIME = {"mean": "avg_over_time(", "p95": "quantile_over_time(0.95, "}
# Where to look first: the words of a runbook.
LOOK: Mapping[str, str] = {
    "ttft": "requests that wait (vllm:num_requests_waiting), KV cache in use, longer prompts than usual",
    "tpot": "requests that run at once (vllm:num_requests_running), preemptions, other work on the GPU",
    "itl": "requests that run at once (vllm:num_requests_running), preemptions, long prefills in between",
    "e2e": "time to first token and time per token, whichever grew; longer answers than usual",
    "waiting": "offered load against what the engines can serve, KV cache in use, engines that are down",
    "running": "offered load, --max-num-seqs",
    "kv_cache_usage": "longer prompts and answers than usual, --max-model-len, --gpu-memory-utilization",
    "preemptions": "KV cache in use, --max-num-seqs, longer answers than usual",
    "gateway": "gateway_upstream_errors_total by kind, the engine's log, whether it was started again",
}
ALL_TRAFFIC = "The server's metrics do not tell workloads apart: this is of all its traffic."


def burn_alert(objective: ServiceLevelObjective, share: BadShare, pair: Pair, plan: Plan) -> Rule:
    """Both windows of a pair burn too fast, and the long one holds enough events to say so."""
    budget, this = budget_of(objective), f"{{slo={quoted(objective.id)}}}"
    limit = f"{pair.factor!r} * {budget!r}"
    long, short = duration(pair.long_s), duration(pair.short_s)
    expr = (
        f"{ratio(share.decides, pair.long_s)}{this} > {limit}\n"
        f"and {ratio(share.decides, pair.short_s)}{this} > {limit}\n"
        f"and {events(pair)}{this} >= {pair.events_least(budget)}"
    )
    summary = (
        f"{_plain(objective.id)}: {{{{ $value | humanizePercentage }}}} of the last {long} were "
        f"{share.what}; {percent(budget)} may be"
    )
    gone = duration(round(plan.lasts_s / pair.factor))
    description = [
        f"{_plain(f'{objective}: {objective.description}')}.",
        f"The last {long} and the last {short} burn the budget more than {pair.factor:g} times too fast:",
        f"at that pace what is meant for {plan.title} is gone after {gone}.",
        share.caveat,
        ALL_TRAFFIC,
        _look("gateway" if objective.indicator == "error_share" else SOURCES[objective.indicator]),
    ]
    severity = pair.severity if objective.required else "ticket"  # nobody is woken for what fails nothing
    return _alert(BURN_RATE, expr, objective, severity, long, summary, description)


def not_judged_alert(objective: ServiceLevelObjective, share: BadShare, pair: Pair, plan: Plan) -> Rule:
    """Traffic whose histogram lacks the bound: nobody else would notice that nothing is judged."""
    this, long = f"{{slo={quoted(objective.id)}}}", duration(pair.long_s)
    expr = f"{events(pair)}{this} > 0\nunless {ratio(share.decides, pair.long_s)}{this}"
    summary = f"{_plain(objective.id)}: there is traffic, and no bucket to judge it by"
    description = [
        f"{_plain(str(objective))}: the bound that these rules ask for is not among the server's.",
        "It was started with --custom-histogram-buckets, or is of another version than the rules are for:",
        "make them again with `python -m instruments rules`, and give it the same.",
    ]
    hold_s = max(SCRAPES_LEAST * plan.scrape_s, min(BLIND_S, pair.short_s))
    return _alert(NOT_JUDGED, expr, objective, "ticket", long, summary, description, hold_s)


def gauge_alert(objective: ServiceLevelObjective, gauge: Gauge, plan: Plan) -> Rule:
    """A `max` is broken by one sample above it; a mean and a p95 are of many."""
    value, window = f"{VALUE}{{slo={quoted(objective.id)}}}", duration(plan.trend_s)
    if gauge.statistic == "max":
        return _threshold_alert(objective, f"{value} > {objective.limit!r}", "now")
    expr = (
        f"{OVER_TIME[gauge.statistic]}{value}[{window}]) > {objective.limit!r}\n"
        f"and count_over_time({value}[{window}]) >= {SAMPLES_LEAST}"
    )
    return _threshold_alert(objective, expr, window)


def grown_alert(objective: ServiceLevelObjective, grown: Grown, plan: Plan) -> Rule:
    """A counter grew by more than its limit."""
    window = duration(plan.trend_s)
    return _threshold_alert(objective, f"{grown.value(window)} > {objective.limit!r}", window)


def _threshold_alert(objective: ServiceLevelObjective, expr: str, over: str) -> Rule:
    """A cause, not what a user feels: burn rates of latencies and errors wake people, this does not."""
    when = "now" if over == "now" else f"in the last {over}"
    summary = f"{_plain(objective.id)}: {{{{ $value | humanize }}}} {when}; the limit is {objective.limit:g}"
    description = [
        f"{_plain(f'{objective}: {objective.description}')}.",
        _look(SOURCES[objective.indicator]),
    ]
    return _alert(THRESHOLD, expr, objective, "ticket", over, summary, description)


def _alert(
    name: str,
    expr: str,
    objective: ServiceLevelObjective,
    severity: str,
    window: str,
    summary: str,
    description: list[str],
    hold_s: float = 0.0,
) -> Rule:
    labels = {key: _plain(value) for key, value in labels_of(objective).items()}
    labels |= {"severity": severity, "window": window}
    annotations = {"summary": summary, "description": " ".join(one for one in description if one)}
    return Rule(name, expr, labels, annotations, hold_s)


def labels_of(objective: ServiceLevelObjective) -> dict[str, str]:
    """What every series and alert of an objective carries."""
    return {"slo": objective.id, "workload": objective.workload}


def budget_of(objective: ServiceLevelObjective) -> float:
    """The share that may be bad, as it is written: 1 − 0.95 is 0.050000000000000044."""
    return round(objective.bad_share, 9)


def ratio(ending: str, window_s: float) -> str:
    """The recorded share of bad events over a window."""
    return f"slo:sli_error:ratio_rate{duration(window_s)}{ending}"


def events(pair: Pair) -> str:
    """The recorded number of events in a pair's long window."""
    return f"slo:sli_events:increase{duration(pair.long_s)}"


def percent(share: float) -> str:
    return f"{share * 100:.6g} %"


def _look(source: str) -> str:
    return f"Look first at: {LOOK[source]}."


def _plain(text: str) -> str:
    """Text that Prometheus does not read as a template of Go's."""
    return text.replace("{{", '{{ "{{" }}')
