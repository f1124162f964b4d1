"""Whether an objective can be decided at all: by so many requests, by the server's own buckets."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import count

from instruments.errors import ConfigurationError
from instruments.slo.finding import OPEN_MET
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.server_metrics import FAMILIES, ServerMetrics, neighbours, read_bounds
from instruments.statistics.indicators import INDICATORS
from instruments.statistics.means import BATCH, FEWEST, mean_bounds
from instruments.statistics.quantiles import requests_needed
from instruments.statistics.shares import Answer, Looks, Rule, decide_counts
from instruments.workloads.catalog import AnyWorkload
from instruments.workloads.synthetic import SyntheticWorkload

LAX = 0.25  # the chance of an error at and above which the fewest values that give a mean are enough
ENOUGH = 100  # times as many as one planned look takes: to look often costs less than that
ONE_TURN = ("mooncake", "azure")  # formats of files whose lines are single requests


def least_requests(objective: ServiceLevelObjective, looks: Looks = Looks.PLANNED) -> int | None:
    """How many requests, none of them bad, it takes for MET; None where no number of requests is known.

    p99 at 95 % takes 299 looked at once: fewer are all good with a chance above 5 % where 1 % are bad.
    Where a run is looked at until it is decided, it takes more: there a MET is surer. A mean takes as many
    as its bounds do; a rate is one of slices of time, of which there are always enough.
    """
    known = INDICATORS[objective.indicator]
    doubt = 1 - objective.confidence
    met_error = doubt * (OPEN_MET if looks is Looks.OPEN else 1.0)  # as in finding.Case
    if objective.statistic == "mean" and known.kind in ("request", "gap"):
        return _least_of_mean(met_error)
    of_requests = known.kind in ("request", "share") or known.metric in ("ttft", "e2e")
    if not of_requests or not (objective.is_quantile or known.kind == "share"):
        return None
    planned = requests_needed(0, objective.bad_share, objective.confidence)
    if looks is Looks.PLANNED:
        return planned
    rule = Rule(objective.bad_share, met_error, doubt, looks)
    return bisect_left(range(ENOUGH * planned), 1, key=lambda n: decide_counts(0, n, rule) is Answer.BELOW)


def _least_of_mean(error: float) -> int:
    """How many values it takes for a mean to have an interval: 160, and more where it has to be very sure."""
    sure = min(error, LAX)
    return next(n for n in count(FEWEST, BATCH) if _ends(n, sure))


def _ends(n: int, error: float) -> bool:
    bounds = mean_bounds(range(n), error, error)
    return bounds is not None and all(map(math.isfinite, bounds))


def most_requests(workload: AnyWorkload) -> int | None:
    """How many requests a load can measure; None where that is not known before its file is read."""
    sessions = workload.requests_most or workload.requests_measured
    if isinstance(workload, SyntheticWorkload):
        turns = [recipe.turns for recipe in workload.recipes()]
        most = max((one for one in turns if isinstance(one, int)), default=1)
        return sessions * most if sessions and all(isinstance(one, int) for one in turns) else None
    if workload.api == "chat" and workload.format not in ONE_TURN:
        return None  # conversations, of any number of turns
    if sessions is None and workload.first is not None:
        return workload.first - workload.requests_warmup - workload.requests_cooldown
    return sessions


def looks_of(workload: AnyWorkload) -> Looks:
    """How often a load is looked at: until it is decided where it has a budget, else once."""
    return Looks.PLANNED if workload.requests_most is None else Looks.OPEN


def users_of(workload: AnyWorkload) -> int | None:
    """How many users a load has; None for one that is not of users."""
    if workload.users is not None:
        return workload.users
    process = workload.arrival_process
    return process.users if process is not None and process.kind == "closed" else None


def check_feasible(where: str, objective: ServiceLevelObjective, workload: AnyWorkload) -> None:
    """ConfigurationError where the load is too small for a MET, or is none to which the objective applies."""
    _check_users(where, objective, workload)
    needed, most = least_requests(objective, looks_of(workload)), most_requests(workload)
    if needed is None or most is None or most >= needed:
        return
    mean = objective.statistic == "mean"
    raise ConfigurationError(
        f"{where}: {objective} can never be met at {100 * objective.confidence:g} % confidence "
        f"with the workload {workload.id!r}",
        expected=f"at least {needed} measured requests, all of them {'completed' if mean else 'good'}",
        seen=f"{most}",
        hint=f"requests_measured or requests_most of {workload.id!r}, {'' if mean else 'a lower quantile, '}"
        "or less confidence",
    )


def _check_users(where: str, objective: ServiceLevelObjective, workload: AnyWorkload) -> None:
    wanted, users = objective.applies.users, users_of(workload)
    if not wanted or users in wanted:
        return
    if users is None:
        raise ConfigurationError(
            f"{where}: applies.users: the workload {workload.id!r} is not one of users: it would never apply",
            expected="a workload with users (a closed loop), or no applies.users",
        )
    raise ConfigurationError(
        f"{where}: applies.users: the workload {workload.id!r} has other users: it would never apply",
        expected=f"{' or '.join(map(str, wanted))} users, or no applies.users",
        seen=f"{users}",
    )


BOUNDS_FLAG = "--custom-histogram-buckets"


def server_of(arguments: Sequence[str]) -> ServerMetrics:
    """What a server measures that is started with these flags.

    ConfigurationError for bounds of histograms that it would refuse.
    """
    given = {
        flag: value or (arguments[at + 1] if at + 1 < len(arguments) else "")
        for at, (flag, _, value) in enumerate(one.partition("=") for one in arguments)
    }
    if BOUNDS_FLAG not in given:
        return ServerMetrics()
    try:
        return ServerMetrics(custom_bounds_s=read_bounds(given[BOUNDS_FLAG]))
    except ValueError as error:
        raise ConfigurationError(
            f"{BOUNDS_FLAG} of the engine cannot be read", expected=str(error), seen=given[BOUNDS_FLAG]
        ) from None


def check_told(where: str, objective: ServiceLevelObjective, server: ServerMetrics) -> None:
    """ConfigurationError for a limit outside a server's histogram, of which that can say nothing."""
    if off_bounds(objective, server) is None:
        return
    metric = INDICATORS[objective.indicator].metric
    assert metric is not None  # noqa: S101 - or it would have no bounds to be off
    bounds = server.bounds_s(metric)
    try:
        below, above = neighbours(bounds, objective.limit)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {objective}: {error.message}", **error.facts()) from None
    if below is None:
        raise ConfigurationError(
            f"{where}: {objective} can never be met: it lies below the first bound of the server's histogram",
            expected=f"at least {above:g} s",
            seen=f"{objective.limit:g} s",
            hint=f"start vLLM with {BOUNDS_FLAG}, and give the same to this command",
        )


def off_bounds(objective: ServiceLevelObjective, server: ServerMetrics) -> str | None:
    """Why a server's histogram tells only an interval of an objective, or nothing at all.

    None where the limit is a bound, and for what client records tell, which are exact.
    """
    known = INDICATORS[objective.indicator]
    if not known.histogram or known.metric is None or known.metric not in FAMILIES:
        return None
    bounds, limit = server.bounds_s(known.metric), objective.limit
    if limit in bounds:
        return None
    below = [f"{bound:g}" for bound in bounds if bound < limit][-1:]
    above = [f"{bound:g}" for bound in bounds if bound > limit][:1]
    near = " and ".join(below + above)
    return f"{limit:g} s is no bound of the server's histogram, and nothing else tells; next to it: {near}"
