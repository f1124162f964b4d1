"""Whether a run can be trusted: the client's own error, laws, telemetry, calibration; a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instruments.slo import ServiceLevelObjective, State
from instruments.slo.verdict import CLIENT_ERROR_SHARE
from instruments.statistics.indicators import INDICATORS
from instruments.telemetry.record import NOWHERE
from reports import wording
from reports.calibrated import why_stale
from reports.judged import Judged
from reports.loads import Load
from reports.model import SessionReport
from reports.page.room import LONGEST_LINE, Room

_STAMPED = {"kernel": "the kernel", "user": "the client itself", "mixed": "kernel and client"}


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
    def judges_from_s(self) -> float | None:
        """The smallest limit on TTFT or E2E, in seconds, that this error lets the load be judged by."""
        return None if self.error_s is None else self.error_s / CLIENT_ERROR_SHARE

    @property
    def stamped(self) -> str:
        """Whose clock stamped what arrived."""
        check = self.load.summary.client
        return wording.UNDEFINED if check is None else _STAMPED.get(check.stamps, "nobody")

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
    lines = [_engine(report), _client(rows), *_void(report)]
    lines += [_laws(report), _telemetry(report), _calibration(report, rows)]
    if report.problems:
        said = f"{wording.many(len(report.problems), 'reason')} to doubt what the run left"
        lines.append(Line("inconclusive", "doubts", said, "#doubts"))
    return lines


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


def _void(report: SessionReport) -> list[Line]:
    """Loads that the client itself disturbed: small as its error may be, no verdict stands on them."""
    void = [load.summary.name for load in report.loads if load.summary.void]
    if not void:
        return []
    said = f"the client disturbed {len(void)} of {wording.many(len(report.loads), 'load')}: {', '.join(void)}"
    return [Line("inconclusive", "void", wording.one_line(said, LONGEST_LINE), "#client")]


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
    told = [server for server in asked if server.source != NOWHERE]
    source = report.session.telemetry or next((server.source for server in told), None)
    if not source:
        return Line("plain", "server's numbers", "none: nobody asked the server")
    said = f"from {source}, around {len(told)} of {wording.many(len(report.loads), 'load')}"
    if gaps := sum(bool(server.problems) for server in told):
        said += f", {gaps} of them with gaps"
    complete = len(told) == len(report.loads) > 0
    doubted = any(server.problems for server in asked)
    kind = "inconclusive" if doubted else "met" if complete else "plain"
    return Line(kind, "server's numbers", said, "#throughput")


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
