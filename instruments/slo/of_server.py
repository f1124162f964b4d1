"""Objectives on what the server and the GPU say of themselves, and on what a good token costs."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from instruments.errors import TelemetryError
from instruments.slo.finding import COUNTED, STATES, TESTS, Case, Finding, undecidable
from instruments.slo.goodput import is_good
from instruments.slo.verdict import State
from instruments.statistics.correlation import effective_share_of_bad
from instruments.statistics.indicators import INDICATORS, e2e_s, tpot_s, ttft_s
from instruments.statistics.shares import Answer, decide_counts
from instruments.telemetry import growth
from instruments.telemetry.energy import energy
from instruments.telemetry.histograms import between
from instruments.telemetry.vllm import metric_name

if TYPE_CHECKING:
    from instruments.statistics.summary import RunSummary
    from instruments.telemetry.record import Series, ServerRecord

COVERED = 0.8  # of the window that samples tell of; with less nobody knows what was between them
HOLE = 2.5  # times the usual time between two samples: a longer one is not known
FEWEST_SAMPLES = 5


def judge_server(case: Case) -> Finding:
    """A gauge's samples, a counter's growth, or the shares of a histogram."""
    server = case.summary.server
    if server is None:
        return undecidable("nothing is known of the server's own numbers")
    indicator = INDICATORS[case.objective.indicator]
    if indicator.histogram:
        return _histogram(case, server)
    if case.objective.statistic == "count":
        return _counter(case, server)
    assert indicator.metric is not None  # noqa: S101 - every indicator of the server has one
    return _samples(case, server, [indicator.metric])


def judge_gpu(case: Case) -> Finding:
    """The worst card's maximum, or the mean over all cards."""
    server, metric = case.summary.server, INDICATORS[case.objective.indicator].metric
    told = server.series if server else ()
    names = [name for name in told if name.startswith("gpu") and name.endswith(f".{metric}")]
    if server is None or not names:
        return undecidable(_missing(server, f"no GPU told its {metric}"))
    return _samples(case, server, names)


def judge_economy(case: Case) -> Finding:
    """Energy or money per output token of a good request: a quotient of two totals, not estimated."""
    summary, objective = case.summary, case.objective
    good = [one for one in summary.records if is_good(one, objective.per_request)]
    tokens = [one.completion_tokens for one in good]
    if not tokens or None in tokens or summary.span_unix_s is None or not summary.duration_s:
        return undecidable("no request was good, or not every answer says how many tokens it has")
    total = sum(count for count in tokens if count is not None)
    if objective.cost_per_hour is not None:
        spent = objective.cost_per_hour * summary.duration_s / 3600
    else:
        used = energy(summary.server.series, *summary.span_unix_s) if summary.server else None
        if used is None or used.covered_share < COVERED:
            return undecidable(_missing(summary.server, "no GPU told how much energy it used in the run"))
        spent = used.joules
    value = spent / total
    state = State.MET if value <= objective.limit else State.VIOLATED
    reason = f"{spent:.4g} for {total} tokens of {len(good)} good requests, {COUNTED}"
    return Finding(state, reason, len(summary.records), len(summary.records) - len(good), value, test=COUNTED)


def _samples(case: Case, server: ServerRecord, names: list[str]) -> Finding:
    objective, summary = case.objective, case.summary
    found = [server.series[name].numbers() for name in names if name in server.series]
    uncovered = [name for name, one in zip(names, found, strict=False) if not _covers(one, server, summary)]
    if not found or uncovered:
        seen = min((len(one.values) for one in found), default=0)
        told = (
            f"{seen} samples of {', '.join(uncovered or names)}, too few for {summary.duration_s or 0:.3g} s"
        )
        return undecidable(_missing(server, told))
    pooled = np.sort(np.concatenate([np.asarray(one.values, dtype=np.float64) for one in found]))
    value = {
        "max": lambda: float(pooled[-1]),
        "mean": lambda: float(pooled.mean()),
        "p95": lambda: float(pooled[math.ceil(0.95 * len(pooled) - 1e-9) - 1]),
    }[objective.statistic]()
    kept = value <= objective.limit if objective.at_most is not None else value >= objective.limit
    beyond = pooled > objective.limit if objective.at_most is not None else pooled < objective.limit
    over = int(beyond.sum())
    every_s = found[0].every_s() or 0.0
    reason = f"{objective.statistic} of {len(pooled)} samples, one each {every_s:.3g} s, {COUNTED}"
    return Finding(State.MET if kept else State.VIOLATED, reason, len(pooled), over, value, test=COUNTED)


def _covers(series: Series, server: ServerRecord, summary: RunSummary) -> bool:
    """Whether the samples tell of the whole window: enough of them, from its beginning to its end."""
    if len(series.values) < FEWEST_SAMPLES or not summary.duration_s:
        return False
    every_s = max(series.every_s() or 0.0, 1e-9)
    known_s = sum(min(later - at, HOLE * every_s) for at, later in pairwise(series.at_s)) + every_s
    return known_s >= COVERED * summary.duration_s


def _counter(case: Case, server: ServerRecord) -> Finding:
    metric = INDICATORS[case.objective.indicator].metric
    assert metric is not None  # noqa: S101 - every counter of the server has one
    name = metric_name(server.after, metric) if server.after else None
    if server.before is None or server.after is None or name is None:
        return undecidable(_missing(server, f"the server does not count {metric}"))
    grown = growth(server.before, server.after, name)
    over = grown.value is not None and grown.value > case.objective.limit
    if grown.value is None or (not grown.exact and not over):  # a reset counter has counted no less
        return undecidable(
            _missing(server, f"{name} was reset or vanished in the run: its growth is not known")
        )
    reason = f"{name} grew by {grown.value:g}, {COUNTED}"
    state = State.VIOLATED if over else State.MET
    return Finding(state, reason, int(grown.value), int(grown.value), grown.value, test=COUNTED)


def _histogram(case: Case, server: ServerRecord) -> Finding:
    """By shares of buckets. Between two bounds of them the share is known to within what lies between."""
    metric, objective = INDICATORS[case.objective.indicator].metric, case.objective
    assert metric is not None  # noqa: S101 - every histogram has one
    name = metric_name(server.after, metric) if server.after else None
    if server.before is None or server.after is None or name is None:
        return undecidable(_missing(server, f"the server has no histogram of {metric}"))
    try:
        found = between(server.before, server.after, name)
    except TelemetryError as error:
        return undecidable(str(error.message))
    shares = found.share_at_most(objective.limit) if found else None
    if found is None or shares is None:
        return undecidable(f"{name} observed nothing in this run")
    n = round(found.count)
    fewest_bad, most_bad = round(n * (1 - shares[1])), round(n * (1 - shares[0]))
    worth, rule = _worth(case, metric, n), case.rule()
    if worth is None:
        return undecidable(f"no request tells how much the observations of {name} hang together")
    met = decide_counts(most_bad * worth, n * worth, rule) is Answer.BELOW
    violated = decide_counts(fewest_bad * worth, n * worth, rule) is Answer.ABOVE
    state = STATES[Answer.BELOW if met else Answer.ABOVE if violated else Answer.UNKNOWN]
    ends = found.quantile_interval(objective.quantile)
    low, high = (None, None) if ends is None else (ends[0], ends[1] if math.isfinite(ends[1]) else None)
    bad = f"{most_bad}" if most_bad == fewest_bad else f"{fewest_bad} to {most_bad}"
    reason = f"{bad} of {n} observations of {name} over the limit, warm-up included"
    if most_bad != fewest_bad:
        reason += f"; {objective.limit:g} s is no bound of its buckets"
    test = f"bucket shares, {TESTS[rule.looks]}"
    return Finding(state, reason, n, most_bad, None, low, high, None, n * worth, 0, test)


def _worth(case: Case, metric: str, observations: int) -> float | None:
    """How much of an independent one each observation is: as the client's own requests have it, of which
    many observations may belong to one. None where no request tells.
    """
    of = {"ttft": ttft_s, "itl": tpot_s}.get(metric, e2e_s)
    values = [value for record in case.summary.records if (value := of(record)) is not None]
    if not values:
        return None
    share = effective_share_of_bad(values, float(np.quantile(values, case.objective.quantile)))
    return share * min(1.0, len(values) / observations)


def _missing(server: ServerRecord | None, what: str) -> str:
    why = "; ".join(server.problems[:3]) if server and server.problems else ""
    return f"{what} ({why})" if why else what
