"""Objectives and error budgets: what rules/slo.yml records, and whether monitoring itself is well."""

from __future__ import annotations

from deploy.monitoring.panel import Panel, Query

CHOSEN = '{model_name=~"$model"}'
NAME = "{{slo}} {{model_name}}"
OF_BUDGET = "/ on (slo, workload) group_left slo:error_budget:ratio"


def _both(record: str) -> list[Query]:
    """A share, and its lower bound for limits that are no bound of the server's histogram."""
    return [Query(f"{record}{CHOSEN}", NAME), Query(f"{record}:low{CHOSEN}", f"{NAME} at least")]


BURN = Panel(
    "Error budgets",
    "How many times faster than allowed the last hour burnt each budget: at 1 it would just last, at 14.4 "
    "somebody is called.",
    "burn rate = share of bad events in 1 h / error budget",
    "short",
    [Query(f"{one.expr} {OF_BUDGET}", one.legend) for one in _both("slo:sli_error:ratio_rate1h")],
)
PANELS = [
    BURN,
    Panel(
        "Error budget left",
        "Of what the last three days may spend: 1 is all of it, below 0 the objective is missed.",
        "left = 1 − share of bad events in 3 d / error budget",
        "percentunit",
        [Query(f"1 - {one.expr} {OF_BUDGET}", one.legend) for one in _both("slo:sli_error:ratio_rate3d")],
        bottom=None,
        top=1,
    ),
    Panel(
        "Bad events, last five minutes",
        "The share of requests or tokens beyond the limit of their objective.",
        "share = 1 − Σ rate(bucket at the limit) / Σ rate(count), over 5 min",
        "percentunit",
        _both("slo:sli_error:ratio_rate5m"),
    ),
    Panel(
        "Bad events, last six hours",
        "The same over six hours: what a page for a slow burn looks at.",
        "share = 1 − Σ rate(bucket at the limit) / Σ rate(count), over 6 h",
        "percentunit",
        _both("slo:sli_error:ratio_rate6h"),
    ),
    Panel(
        "Events judged in an hour",
        "How much the shares rest on; an alert waits until ten bad events would stand at its threshold.",
        "Σ increase(count) over 1 h",
        "short",
        [Query(f"slo:sli_events:increase1h{CHOSEN}", NAME)],
    ),
    Panel(
        "Values with a limit of their own",
        "Gauges that an objective bounds, such as the KV cache.",
        "slo:sli_value:last",
        "short",
        [Query(f"slo:sli_value:last{CHOSEN}", NAME)],
    ),
    Panel(
        "Alerts firing",
        "By name and severity; a page wakes somebody, a ticket waits.",
        'count of ALERTS{alertstate="firing"}',
        "short",
        [
            Query(
                'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                "{{alertname}} ({{severity}})",
            )
        ],
        empty="Empty while nothing fires, which is how it should be.",
    ),
    Panel(
        "Targets that answer",
        "1 for each target that Prometheus can scrape.",
        "min up by job",
        "short",
        [Query("min by (job) (up)", "{{job}}")],
        top=1,
    ),
    Panel(
        "Time to scrape",
        "A scrape that takes longer than its timeout is lost.",
        "max scrape_duration_seconds by job",
        "s",
        [Query("max by (job) (scrape_duration_seconds)", "{{job}}")],
    ),
    Panel(
        "Rules that fail",
        "Evaluations that ended in an error: their alerts are blind. RulesFail is at any.",
        "Σ rate(prometheus_rule_evaluation_failures_total)",
        "short",
        [
            Query(
                "sum(rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))",
                "failures per second",
            )
        ],
    ),
]
