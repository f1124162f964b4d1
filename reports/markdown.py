"""The verdict as Markdown, for the summary of a job; what a server said stays text."""

from __future__ import annotations

import re

from instruments.slo import State
from reports import laws, of_place, wording
from reports.model import SessionReport
from reports.overall import Overall

_MARKS = {
    Overall.MET: "✅",
    Overall.CLAIMS_HOLD: "☑️",
    Overall.VIOLATED: "❌",
    Overall.FAILED: "❌",
    Overall.INCONCLUSIVE: "⚠️",
    Overall.INTERRUPTED: "⚠️",
    Overall.NOTHING_MEASURED: "⚪",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(report: SessionReport) -> str:
    """A summary of the run: verdict, objectives, what failed, died or is to be doubted."""
    simulated = ", simulated" if report.simulated else ""
    parts = [
        f"## {_MARKS[report.state]} {report.state}{simulated}\n",
        f"{_plain(report.reason)}\n",
        _session_line(report),
    ]
    if report.verdicts:
        parts.append(_objectives_table(report))
        shared = wording.shared_alarms(one.verdict for one in report.verdicts)
        parts += [f"{_plain(said)}.\n" for said in shared]
    for title, items in _lists(report):
        if items:
            parts.append(f"### {title}\n")
            parts.append("".join(f"- {_plain(item)}\n" for item in items))
    return "\n".join(parts)


def _session_line(report: SessionReport) -> str:
    session = report.session
    claims = ", ".join(f"{count} {name}" for name, count in sorted(report.told_counts.items())) or "none"
    where = f"Run {_plain(session.run_id)} on {_plain(session.environment)}"
    return f"{where}, exit code {report.exit_code}. Claims: {_plain(claims)}.\n"


def _objectives_table(report: SessionReport) -> str:
    rows = ["| state | objective | limit | measured | bad | headroom |", "|---|---|--:|--:|--:|--:|"]
    for one in report.verdicts:
        advisory = "" if one.objective.required else " (advisory)"
        cells = (
            f"{_MARKS[Overall(one.state)]} {one.state}{', simulated' if report.simulated else ''}",
            _plain(f"{one.objective.id}: {wording.subject(one.objective)}{advisory}"),
            wording.limit(one.objective),
            _plain(wording.measured(one.verdict)),
            _plain(wording.bad_of(one.verdict)),
            wording.headroom(one.verdict),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _lists(report: SessionReport) -> list[tuple[str, list[str]]]:
    broken = [claim for claim in report.claims if report.told(claim) in ("failed", "error")]
    unmet = [one for one in report.verdicts if one.state is not State.MET]
    skipped = report.skip_reasons().items()
    return [
        ("Why", [f"{one.objective.id}: {one.reason}" for one in unmet]),
        ("Not judged, and required by the gate", list(report.missing)),
        ("What this place changes of the catalog", of_place.changes(report)),
        (
            "Conservation laws that do not hold, or cannot be checked",
            [f"{group[0].state}: {laws.told(group)}" for group in laws.unkept(report.laws)],
        ),
        (
            "Died",
            [f"{one.component} at {one.at}: {wording.one_line(one.what, 200)}" for one in report.incidents],
        ),
        ("Claims that do not hold", [f"{one.nodeid}: {wording.one_line(one.reason, 200)}" for one in broken]),
        ("Skipped", [f"{wording.many(len(claims), 'claim')}: {reason}" for reason, claims in skipped]),
        ("To be doubted", list(report.problems)),
    ]


def _plain(text: str) -> str:
    """The text as text: nothing in it is markup, and it is one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))
