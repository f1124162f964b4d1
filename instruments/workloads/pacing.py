"""The shorthands of a workload for when its requests are due, and the bounds of how many there are."""

from __future__ import annotations

from instruments.arrivals import ArrivalProcess, ClosedLoop, Constant


def paced(
    users: int | None, rate_per_s: float | None, process: ArrivalProcess | None
) -> ArrivalProcess | None:
    """The arrival process that was given, or None. ValueError where two were given."""
    told = [one for one in (users, rate_per_s, process) if one is not None]
    if len(told) > 1:
        raise ValueError("give either users, rate_per_s or arrivals, not two of them")
    if users is not None:
        return ClosedLoop(users)
    return process if rate_per_s is None else Constant(rate_per_s)


def check_most(fewest: int, most: int | None) -> None:
    """ValueError where a budget is smaller than what has to be measured in any case."""
    if most is not None and most < fewest:
        raise ValueError(
            f"requests_most, the budget, must be at least requests_measured, the fewest: "
            f"got {most} with {fewest} to be measured"
        )
