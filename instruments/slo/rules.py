"""Rules for Prometheus from objectives: what is recorded, and which alerts look at it.

Of each objective: `slo:objective:ratio`, `slo:error_budget:ratio`, `slo:sli_error:ratio_rate<window>` (with
`:low` and `:high` where the limit is no bound), `slo:sli_events:increase<window>`; of a gauge
`slo:sli_value:last`. The names are Sloth's where it has one. Labels: slo, workload, model_name.
"""

from __future__ import annotations

from collections.abc import Iterable

from instruments.errors import ConfigurationError
from instruments.slo.alerts import (
    VALUE,
    budget_of,
    burn_alert,
    events,
    gauge_alert,
    grown_alert,
    labels_of,
    not_judged_alert,
    percent,
    ratio,
)
from instruments.slo.burn_rate import Plan, duration
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.rule_file import Group, Rule, RuleFile
from instruments.slo.server_indicators import BadShare, Gauge, Judgeable, LeftOut, in_promql
from instruments.slo.server_metrics import ServerMetrics

ANY_SERVER = ServerMetrics()


def rules_of(
    objectives: Iterable[ServiceLevelObjective],
    plan: Plan,
    server: ServerMetrics = ANY_SERVER,
    environment: str | None = None,
) -> RuleFile:
    """Everything of the objectives that Prometheus can watch, in their order.

    ConfigurationError for a limit beyond the server's histogram, and where nothing at all can be watched:
    an empty file would look like a system without trouble.
    """
    groups: list[Group] = []
    left_out: list[tuple[str, str]] = []
    impossible: list[tuple[str, str]] = []
    for objective in objectives:
        try:
            found = in_promql(objective, server, environment)
        except ConfigurationError as error:
            raise ConfigurationError(f"{objective.id}: {error.message}", **error.facts()) from None
        if isinstance(found, LeftOut):
            left_out.append((objective.id, found.why))
            continue
        groups += _groups(objective, found, plan)
        if isinstance(found, BadShare):
            impossible += [(objective.id, why) for why in _impossible(objective, plan)]
    if not groups:
        raise ConfigurationError(
            "no objective is one that the server's metrics can judge: there is nothing to watch",
            expected="an objective on TTFT, TPOT, ITL, E2E, error share, queue, KV cache or preemptions",
            seen="; ".join(f"{name}: {why}" for name, why in left_out) or "no objective",
        )
    return RuleFile(tuple(groups), tuple(left_out), tuple(impossible))


def _groups(objective: ServiceLevelObjective, found: Judgeable, plan: Plan) -> list[Group]:
    if isinstance(found, BadShare):
        kinds = (("quick", True), ("slow", False))
        made = {name: _burning(objective, found, plan, quick=quick) for name, quick in kinds}
        return [
            Group(f"slo:{objective.id}:{name}", plan.every_s(quick=quick), made[name])
            for name, quick in kinds
            if made[name]
        ]
    if isinstance(found, Gauge):
        recorded = Rule(VALUE, found.value, labels_of(objective))
        rules: tuple[Rule, ...] = (recorded, gauge_alert(objective, found, plan))
    else:
        rules = (grown_alert(objective, found, plan),)
    return [Group(f"slo:{objective.id}", plan.every_s(quick=True), rules)]


def _burning(
    objective: ServiceLevelObjective, share: BadShare, plan: Plan, *, quick: bool
) -> tuple[Rule, ...]:
    """What is recorded over the quick windows or the slow ones, then the alerts with such a long window.

    Rules of a group are evaluated in order, so an alert never sees a window's events without its share.
    """
    labels, budget = labels_of(objective), budget_of(objective)
    rules: list[Rule] = []
    if quick:
        rules.append(Rule("slo:objective:ratio", f"vector({round(1 - budget, 9)!r})", labels))
        rules.append(Rule("slo:error_budget:ratio", f"vector({budget!r})", labels))
    for window_s in plan.windows_s:
        if plan.is_quick(window_s) is quick:
            for ending, of in share.shares.items():
                rules.append(Rule(ratio(ending, window_s), of(duration(window_s)), labels))
    pairs = [pair for pair in plan.pairs if plan.is_quick(pair.long_s) is quick]
    rules += [Rule(events(pair), share.events(duration(pair.long_s)), labels) for pair in pairs]
    rules += [
        burn_alert(objective, share, pair, plan) for pair in pairs if pair.threshold(budget) is not None
    ]
    if share.by_model and plan.pairs[0] in pairs:
        rules.append(not_judged_alert(objective, share, plan.pairs[0], plan))
    return tuple(rules)


def _impossible(objective: ServiceLevelObjective, plan: Plan) -> list[str]:
    budget = budget_of(objective)
    return [
        f"{pair.factor:g} times a budget of {percent(budget)} is more than there could be"
        for pair in plan.pairs
        if pair.threshold(budget) is None
    ]
