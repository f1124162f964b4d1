"""Whether a run can be trusted: the client's own error, laws, telemetry, calibration; a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instruments.slo import ServiceLevelObjective, State
from instruments.slo.verdict import CLIENT_ERROR_SHARE
from instruments.statistics.indicators import INDICATORS
from reports import wording
from reports.calibrated import why_stale
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport
from reports.page.room import Room


@dataclass(frozen=True, slots=True)
class Line:
    """A ground to trust the run (`met`), to doubt it (`inconclusive`, `violated`), or to know (`plain`)."""

    kind: str
    name: str
    text: str
    href: str = ""

    @property
    def mark(self) -> str:
        return {"met": "✓", "inconclusive": "?", "violated": "✕"}.get(self.kind, "·")


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One load's client: how late it may have told an instant (p99), and the smallest limit judged."""

    load: Load
    error_s: float | None
    limit_s: float | None
    limited: str  # what the limit is of: 'TTFT p95'
    stale: str | None  # why the calibration says nothing of the load; None when it is fresh

    @property
    def share(self) -> float | None:
        return None if self.error_s is None or not self.limit_s else self.error_s / self.limit_s

    @property
    def share_said(self) -> float | None:
        """To two digits: an error of an error needs no more."""
        return None if self.share is None else float(f"{self.share:.2g}")


def trust_view(report: SessionReport, room: Room) -> dict[str, Any]:
    """`trust`: the lines beside the verdict; `clients`: the table that they rest on."""
    rows = client_rows(report)
    return {
        "trust": trust_lines(report, rows),
        "clients": rows[: room.clients_open],
        "clients_folded": rows[room.clients_open : room.clients_open + room.clients_folded],
        "clients_unlisted": max(0, len(rows) - room.clients_open - room.clients_folded),
        "borne": wording.PERCENT.quantity(CLIENT_ERROR_SHARE).replace(" ", "\N{NO-BREAK SPACE}"),
    }


def client_rows(report: SessionReport) -> list[ClientRow]:
    """One row a load: where the client weighs most first, loads without a timed limit last."""
    by_journal: dict[str | None, list[Judged]] = {}
    for one in report.verdicts:
        by_journal.setdefault(one.journal, []).append(one)
    rows = [_client_row(report, load, by_journal.get(load.journal, ())) for load in report.loads]
    return sorted(rows, key=_weight)


def timed_limits(objective: ServiceLevelObjective) -> list[tuple[float, str]]:
    """(limit in seconds, what it is of) of those that a late stamp moves by all its lateness.

    A TPOT is a mean over the gaps of an answer, over which a late stamp is spread: it bears more.
    """
    kind = INDICATORS[objective.indicator].kind
    if kind in ("request", "gap"):
        limits: Mapping[str, float] = {objective.indicator: objective.limit}
    else:
        limits = objective.per_request if kind in ("share", "rate") else {}
    said = wording.subject(objective)
    return [
        (limit, said if name == objective.indicator else f"{INDICATORS[name].label} of a good request")
        for name, limit in limits.items()
        if name != "tpot_s"
    ]


def trust_lines(report: SessionReport, rows: Sequence[ClientRow]) -> list[Line]:
    """What a reader must know before believing a number, most telling first."""
    lines = [_engine(report), _client(rows), _laws(report), _telemetry(report), _calibration(report, rows)]
    if report.problems:
        said = f"{wording.many(len(report.problems), 'reason')} to doubt what the run left"
        lines.append(Line("inconclusive", "doubts", said, "#doubts"))
    return [line for line in lines if line]


def _client_row(report: SessionReport, load: Load, judged: Sequence[Judged]) -> ClientRow:
    lag_s, stamp_s = load.summary.send_lag_p99_s, load.summary.stamp_error_s
    error_s = None if lag_s is None or stamp_s is None else max(lag_s, stamp_s)
    limits = [limit for one in judged for limit in timed_limits(one.objective)]
    limit_s, limited = min(limits, default=(None, ""))
    return ClientRow(load, error_s, limit_s, limited, why_stale(load, report.session, report.fingerprint))


def _weight(row: ClientRow) -> tuple[bool, bool, float]:
    return row.limit_s is None, row.error_s is not None, -(row.share or 0.0)


def _engine(report: SessionReport) -> Line:
    if report.simulated:
        return Line("inconclusive", "engine", "simulated: these numbers are its script's")
    return Line("plain", "engine", report.session.engine or "not named", "#fingerprint")


def _client(rows: Sequence[ClientRow]) -> Line:
    timed = [row for row in rows if row.limit_s is not None]
    if not timed:
        return Line("plain", "client's own error", "no limit on time was judged", "#client")
    unknown = sum(row.error_s is None for row in timed)
    if unknown:
        said = f"not known on {unknown} of {wording.many(len(timed), 'load')} with a limit on time"
        return Line("inconclusive", "client's own error", said, "#client")
    worst = max(timed, key=lambda row: row.share or 0.0)
    unit = wording.time_scale(worst.limit_s)
    said = (
        f"at most {unit.quantity(worst.error_s)} (p99) beside a limit of {unit.quantity(worst.limit_s)} on "
        f"{worst.limited}: {wording.PERCENT.quantity(worst.share_said)} of it"
    )
    good = (worst.share or 0.0) <= CLIENT_ERROR_SHARE
    return Line("met" if good else "inconclusive", "client's own error", said, "#client")


def _laws(report: SessionReport) -> Line:
    if not report.laws:
        said = "none was checked: nothing was laid beside the server's own counts"
        return Line("plain", "conservation laws", said)
    kept = sum(law.state is State.MET for law in report.laws)
    said = f"{wording.whole(kept)} of {wording.whole(len(report.laws))} kept"
    broken = sum(law.state is State.VIOLATED for law in report.laws)
    if kept < len(report.laws):
        said += (
            f", {wording.whole(broken)} broken, {wording.whole(len(report.laws) - kept - broken)} undecided"
        )
    kind = "violated" if broken else "inconclusive" if kept < len(report.laws) else "met"
    return Line(kind, "conservation laws", said, "#laws")


def _telemetry(report: SessionReport) -> Line:
    asked = [load.summary.server for load in report.loads if load.summary.server]
    source = report.session.telemetry or next((server.source for server in asked), None)
    if not source:
        return Line("plain", "server's numbers", "none: nobody asked the server")
    troubled = sum(bool(server.problems) for server in asked)
    if troubled:
        said = (
            f"from {source}, with gaps around {wording.whole(troubled)} of {wording.many(len(asked), 'load')}"
        )
        return Line("inconclusive", "server's numbers", said, "#throughput")
    return Line("met" if asked else "plain", "server's numbers", f"from {source}", "#throughput")


def _calibration(report: SessionReport, rows: Sequence[ClientRow]) -> Line:
    timed = [row for row in rows if row.limit_s is not None] or list(rows)
    if not timed:
        return Line("plain", "calibration", "no load to calibrate for")
    stale = [row.stale for row in timed if row.stale]
    of = f"{wording.whole(len(timed) - len(stale))} of {wording.many(len(timed), 'load')}"
    if not stale:
        return Line("met", "calibration", f"made in this session for {of}", "#client")
    kind = "inconclusive" if report.session.gate else "plain"
    end = "" if report.session.gate else " (a gate asks for one)"
    if len(stale) == len(timed) and set(stale) == {"none was kept with the load"}:
        return Line(kind, "calibration", f"none was made{end}", "#client")
    return Line(kind, "calibration", f"fresh for {of}; elsewhere {stale[0]}{end}", "#client")
