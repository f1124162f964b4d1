"""Objectives beside each other: which contradict, repeat or silence one another is said before any load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from instruments.errors import ConfigurationError
from instruments.slo.applies import ANYWHERE, Place
from instruments.slo.objective import NEVER_LONGER, ServiceLevelObjective

SHOWN_AT_MOST = 10  # problems in one error


def placed(path: Path, objectives: Mapping[str, ServiceLevelObjective]) -> dict[str, ServiceLevelObjective]:
    """The objectives of a file by where they stand: `path: objectives[3] (id)`, as errors name them."""
    return {f"{path}: objectives[{n}] ({one.id})": one for n, one in enumerate(objectives.values())}


def check_together(objectives: Mapping[str, ServiceLevelObjective], place: Place = ANYWHERE) -> None:
    """ConfigurationError names each two, by the keys, that cannot stand beside each other.

    Only such as judge the same workload, where both apply: at the place, or anywhere. Every limit alone
    is right already.
    """
    problems = [
        f"{one} and {other}: {problem}"
        for (one, ours), (other, theirs) in combinations(objectives.items(), 2)
        if (problem := _problem(ours, theirs, place)) is not None
    ]
    if problems:
        raise ConfigurationError(
            "objectives contradict each other:\n    " + "\n    ".join(problems[:SHOWN_AT_MOST]),
            expected="of each thing one limit, and none that another one makes idle",
            hint="take one of the two away, or tell by `applies` where each is for",
        )


def _problem(one: ServiceLevelObjective, other: ServiceLevelObjective, place: Place) -> str | None:
    if one.id == other.id:
        return f"the id {one.id!r} is used twice"
    if one.workload != other.workload or not one.applies.overlaps(other.applies, place):
        return None
    for first, second in ((one, other), (other, one)):
        for problem in _from_one_side(first, second):
            return problem
    return None


def _from_one_side(one: ServiceLevelObjective, other: ServiceLevelObjective) -> Iterator[str]:
    """What is wrong between two of one workload, seen from the first."""
    if one.at_least is not None and other.at_most is not None and _never_above(one, other):
        if one.at_least > other.at_most:
            yield f"{one} and {other} cannot both hold"
        return
    # An advisory limit may be a stricter or a laxer one than what is required: both say something.
    if one.required != other.required:
        return
    if _same_thing(one, other):
        yield f"two limits on the same thing: {one} and {other}"
    elif _never_above(one, other) and one.at_most is not None and other.at_most is not None:
        if one.at_most > other.at_most:
            yield f"{one} says nothing beside {other}, which keeps it below that"
    elif _never_above(one, other) and one.at_least is not None and other.at_least is not None:
        if other.at_least < one.at_least:
            yield f"{other} says nothing beside {one}, which keeps it above that"
    elif other.indicator == "goodput_share" and one.is_quantile:
        yield from _beside_goodput(one, other)


def _same_thing(one: ServiceLevelObjective, other: ServiceLevelObjective) -> bool:
    return (
        (one.indicator, one.statistic, one.per_request)
        == (other.indicator, other.statistic, other.per_request)
        and (one.at_most is None) == (other.at_most is None)
        and one.cost_per_hour == other.cost_per_hour
    )


def _beside_goodput(one: ServiceLevelObjective, goodput: ServiceLevelObjective) -> Iterator[str]:
    """Where so many requests are within a limit that a quantile's laxer one can not be missed."""
    if one.at_most is None or one.quantile > goodput.limit:
        return
    for name, limit in goodput.per_request.items():
        if one.at_most > limit and (name == one.indicator or (one.indicator, name) in NEVER_LONGER):
            yield (
                f"{one} says nothing beside {goodput}, whose per_request.{name} of {limit:g} s "
                f"holds for {100 * goodput.limit:g} % of requests"
            )


def _never_above(one: ServiceLevelObjective, other: ServiceLevelObjective) -> bool:
    """Whether what the first limits is at or below what the second limits, in every run."""
    if one.per_request != other.per_request:
        return False
    if one.indicator != other.indicator and (one.indicator, other.indicator) not in NEVER_LONGER:
        return False
    if one.statistic == other.statistic:
        return True
    ranks = [1.0 if it.statistic == "max" else it.quantile if it.is_quantile else None for it in (one, other)]
    if None not in ranks:
        return ranks[0] < ranks[1]  # type: ignore[operator]  # neither is None
    return one.statistic == "mean" and other.statistic == "max"
