"""What a search for capacity holds: the required objectives of one workload, where requests decide them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.applies import Place
from instruments.slo.until import BY_REQUESTS
from instruments.statistics.indicators import INDICATORS


def objectives_of(
    objectives: Iterable[ServiceLevelObjective], asked: str | None, loaded: str | None, where: str
) -> tuple[ServiceLevelObjective, ...]:
    """The required objectives of one workload.

    `asked`: the workload that was named for it, else `loaded`, the one of a catalog that is searched with;
    else the objectives have to be of one alone. ConfigurationError, with what `where` has, for none of these.
    """
    required = [one for one in objectives if one.required]
    ids = sorted({one.workload for one in required})
    if not required:
        raise ConfigurationError(f"{where} has no required objective", expected="at least one to hold")
    wanted = asked or loaded or (ids[0] if len(ids) == 1 else None)
    if wanted not in ids:
        told = "is for several workloads" if wanted is None else f"has no objective for {wanted!r}"
        raise ConfigurationError(
            f"{where} {told}: a search holds those of one",
            expected=f"--objectives {where}:ID with one of {', '.join(ids)}",
        )
    return tuple(one for one in required if one.workload == wanted)


def check_held(objectives: Sequence[ServiceLevelObjective]) -> None:
    """ConfigurationError for none, and for one that no probe could decide, or not at every level alike."""
    if not objectives:
        raise ConfigurationError("nothing to hold: no objective", expected="at least one, and required")
    for one in objectives:
        kind = INDICATORS[one.indicator].kind
        if kind not in BY_REQUESTS:
            raise ConfigurationError(
                f"objective {one.id}: {one.indicator} is none that a search can hold: a probe looks at its "
                "requests, not at the server, its GPUs or a price",
                expected="objectives on requests: latencies, errors, goodput, rates",
                hint="required: false, or a file of its own for the search",
            )
        if one.applies.users:
            users = " or ".join(map(str, one.applies.users))
            raise ConfigurationError(
                f"objective {one.id}: applies.users: it is for {users} users, and a search varies the load",
                expected="objectives that are for any number of users",
                hint="a file of its own for the search, without applies.users; --promise asks about one load",
            )


def apart(
    objectives: Sequence[ServiceLevelObjective], place: Place
) -> tuple[tuple[ServiceLevelObjective, ...], Mapping[str, str]]:
    """Those that apply at a place, and of each other one, by its id, why it does not."""
    why = {one.id: one.applies.excludes(place) for one in objectives}
    here = tuple(one for one in objectives if why[one.id] is None)
    return here, {name: reason for name, reason in why.items() if reason is not None}
