"""A gate's verdicts rest on a fresh calibration: made in its session, on its machine, for its load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from instruments.clock import NANOSECONDS
from instruments.results import SessionRecord
from instruments.slo import State
from instruments.statistics.indicators import INDICATORS
from reports.judged import Judged
from reports.loads import Load

NOT_OF_PODS = (
    "the load was sent from Pods, and only clients of the machine that runs the suite are calibrated"
)


def on_fresh_calibration(
    judged: Iterable[Judged],
    loads: Sequence[Load],
    session: SessionRecord,
    fingerprint: Mapping[str, Any],
) -> list[Judged]:
    """The verdicts of a gate, those without a fresh calibration INCONCLUSIVE.

    A VIOLATED that rests on no instant of the client's (failures, rates of the server) needs none.
    """
    if not session.gate:
        return list(judged)
    stale = {load.journal: why_stale(load, session, fingerprint) for load in loads}
    return [_without(one, stale.get(one.journal or "")) for one in judged]


def why_stale(load: Load, session: SessionRecord, fingerprint: Mapping[str, Any]) -> str | None:
    """Why the calibration kept with a load says nothing of it; None when it is fresh."""
    kept = load.run.description.get("calibration")
    if not isinstance(kept, dict):
        posts = load.run.description.get("posts")
        return NOT_OF_PODS if posts else "none was kept with the load"
    if kept.get("run_id") != session.run_id:
        return f"it was made in the session {kept.get('run_id') or 'that it does not name'}"
    made_at, began_at = _instant(kept.get("created_at")), _instant(session.started_at)
    if made_at is None or began_at is None or made_at < began_at:
        return f"it was made at {kept.get('created_at')}, before this session began"
    # Half a second: stamps of two kinds, each true to less.
    if made_at.timestamp() > load.run.anchor.unix_ns / NANOSECONDS + 0.5:
        return "it was made after the load began"
    machine = kept.get("machine")
    if not isinstance(machine, dict) or not machine:
        return "it does not name its machine"
    for name, value in machine.items():
        if fingerprint.get(name) != value:
            return f"its {name} is {value}, that of the run {fingerprint.get(name)}"
    return _other_load(kept, load)


def _other_load(kept: Mapping[str, Any], load: Load) -> str | None:
    users, processes = load.workload.get("users"), load.run.description.get("processes", 1)
    if isinstance(users, int) and not (isinstance(kept.get("streams"), int) and kept["streams"] >= users):
        return f"it was made at {kept.get('streams')} streams, the load has {users} users"
    if kept.get("processes") != processes:
        return f"it was made with {kept.get('processes')} processes, the load has {processes}"
    return None


def _without(one: Judged, why: str | None) -> Judged:
    if why is None or (one.state is State.VIOLATED and not _timed(one)):
        return one
    reason = f"the client's calibration is not fresh: {why}; without it {one.state}: {one.reason}"
    return replace(one, state=State.INCONCLUSIVE, reason=reason)


def _timed(one: Judged) -> bool:
    """Whether the verdict rests on instants that the client stamped."""
    kind = INDICATORS[one.objective.indicator].kind
    return kind in ("request", "gap") or bool(one.objective.per_request)


def _instant(iso: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(iso))
    except ValueError:
        return None
    return found if found.tzinfo else None
