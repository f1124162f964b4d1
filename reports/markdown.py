"""The verdict as Markdown, for a pull request or the summary of a job; what a server said stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from instruments.results import ClaimRecord
from instruments.slo import State
from reports import laws, of_place, reproduction, wording
from reports.judged import Judged
from reports.model import SessionReport
from reports.overall import Overall, cannot_tell

if TYPE_CHECKING:
    from reports.history import Since

# A comment on GitHub holds 65,536 characters. Each part has its share, so that none crowds out another.
LIMIT = 60_000
_ROWS, _FOLDED, _LIST, _AGAIN = 8_000, 10_000, 2_800, 2_500
MOST_ROWS = 25  # of objectives; those beyond are folded
_LONGEST_REASON, _LONGEST_ITEM, _LONGEST_NAME = 600, 300, 120
_MARKS = {
    Overall.MET: "✅",
    Overall.CLAIMS_HOLD: "☑️",
    Overall.VIOLATED: "❌",
    Overall.FAILED: "❌",
    Overall.INCONCLUSIVE: "⚠️",
    Overall.INTERRUPTED: "⚠️",
    Overall.NOTHING_MEASURED: "⚪",
}
_WORST_FIRST = (State.VIOLATED, State.INCONCLUSIVE, State.MET)
_HEAD = "| state | objective | limit | measured | bad | headroom |\n|---|---|--:|--:|--:|--:|\n"
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~$#])")
# What GitHub and GitLab make links, mentions and references of: an entity of no width between keeps it text.
_NO_WIDTH = "&#8203;"
_LINKS = re.compile(
    r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=[@#!])(?=\w)|(?<=GH)(?=-\d)|(?<=(?<!:):)(?=[a-z_+-][\w+-]*:(?!:))"
)
_LIST_MARK = re.compile(r"^(|\d+(?=[.)](?:\s|$)))([-+=.)])")


def markdown(report: SessionReport, since: Since | None = None) -> str:
    """A summary of the run: verdict, objectives, what changed, what failed, died or is to be doubted.

    Shorter than LIMIT characters whatever the run; where something was left out, it says so.
    """
    simulated = ", simulated" if report.simulated else ""
    parts = [
        f"## {_MARKS[report.state]} {report.state}{simulated}\n",
        f"{plain(report.reason, _LONGEST_REASON)}\n",
        _session_line(report),
    ]
    if report.verdicts:
        parts += _objectives(report)
    if since is not None:
        parts += _list("What changed", list(since.lines()))
    for title, items in _lists(report):
        parts += _list(title, items)
    return "\n".join([*parts, _again(report)])


def plain(text: str, longest: int = _LONGEST_ITEM) -> str:
    """The text as text, in one line: nothing in it is markup, a link, a mention or a reference."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    line = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    marked = _LINKS.sub("\0", line).replace("&", "&amp;")
    return _LIST_MARK.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", marked)).replace("\0", _NO_WIDTH)


def _session_line(report: SessionReport) -> str:
    session = report.session
    claims = ", ".join(f"{count} {name}" for name, count in sorted(report.told_counts.items())) or "none"
    where = f"Run {plain(session.run_id, _LONGEST_NAME)} on {plain(session.environment, _LONGEST_NAME)}"
    return f"{where}, exit code {report.exit_code}. Claims: {plain(claims)}.\n"


def _objectives(report: SessionReport) -> list[str]:
    """The worst first; what is beyond MOST_ROWS can be opened."""
    judged = sorted(report.verdicts, key=lambda one: _WORST_FIRST.index(one.state))
    shown, folded = judged[:MOST_ROWS], judged[MOST_ROWS:]
    rows, left = _fitting([_row(one, report.simulated) for one in shown], _ROWS)
    parts = [_HEAD + rows]
    if left:
        parts.append(f"{_left_out(left, 'more objective')}\n")
    if folded:
        rows, left = _fitting([_row(one, report.simulated) for one in folded], _FOLDED)
        met = sum(one.state is State.MET for one in folded)
        summary = f"{wording.many(len(folded), 'more objective')}, {met} of them met"
        parts.append(f"<details><summary>{summary}</summary>\n\n{_HEAD}{rows}")
        parts += [f"{_left_out(left, 'more objective')}\n"] if left else []
        parts.append("</details>\n")
    shared = wording.shared_alarms(one.verdict for one in report.verdicts)
    return [*parts, *(f"{plain(said)}.\n" for said in shared[:5])]


def _row(one: Judged, simulated: bool) -> str:
    advisory = "" if one.objective.required else " (advisory)"
    name = plain(f"{one.objective.id}: {wording.subject(one.objective)}", _LONGEST_NAME)
    cells = (
        f"{_MARKS[Overall(one.state)]} {one.state}{', simulated' if simulated else ''}",
        f"{name}{advisory}",
        wording.limit(one.objective),
        plain(wording.measured(one.verdict)),
        plain(wording.bad_of(one.verdict)),
        wording.headroom(one.verdict),
    )
    return "| " + " | ".join(cells) + " |\n"


def _list(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    shown, left = _fitting([f"- {plain(item)}\n" for item in items], _LIST)
    more = f"- {_left_out(left, 'more')}\n" if left else ""
    return [f"### {title}\n", f"{shown}{more}"]


def _fitting(rows: Iterable[str], room: int) -> tuple[str, int]:
    """(as many rows as there is room for, how many are left)."""
    taken, left = "", 0
    for row in rows:
        if left or len(taken) + len(row) > room:
            left += 1
        else:
            taken += row
    return taken, left


def _left_out(count: int, noun: str) -> str:
    said = f"{count:,} {noun}" if noun == "more" else wording.many(count, noun)
    return f"Cut here to fit: {said}; report.html has all of them."


def _lists(report: SessionReport) -> list[tuple[str, list[str]]]:
    broken = [claim for claim in report.claims if report.told(claim) in ("failed", "error")]
    judged = {one.claim for one in report.verdicts} | {law.claim for law in report.laws}
    open_ = [claim for claim in report.claims if cannot_tell(claim) and claim.nodeid not in judged]
    unmet = sorted(
        (one for one in report.verdicts if one.state is not State.MET),
        key=lambda one: _WORST_FIRST.index(one.state),
    )
    skipped = report.skip_reasons().items()
    return [
        ("Why", [f"{one.objective.id}: {one.reason}" for one in unmet]),
        ("Not judged, and required by the gate", list(report.missing)),
        ("What this place changes of the catalog", of_place.changes(report, briefly=True)),
        (
            "Conservation laws that do not hold, or cannot be checked",
            [f"{group[0].state}: {laws.told(group)}" for group in laws.unkept(report.laws)],
        ),
        (
            "Died",
            [f"{one.component} at {one.at}: {wording.one_line(one.what, 200)}" for one in report.incidents],
        ),
        ("Claims that do not hold", list(map(_claim, broken))),
        ("Claims of which the data cannot tell", list(map(_claim, open_))),
        ("Skipped", [f"{wording.many(len(claims), 'claim')}: {reason}" for reason, claims in skipped]),
        ("To be doubted", list(report.problems)),
    ]


def _claim(claim: ClaimRecord) -> str:
    return f"{claim.nodeid}: {wording.one_line(claim.reason, 200)}"


def _again(report: SessionReport) -> str:
    """The commands that come to the same numbers, in a fence that nothing in them can close."""
    measured = reproduction.command(report.session)
    judge = reproduction.judge_again(report.folder, report.session)
    if measured is None:
        commands, about = judge, "Judge the same records again"
    else:
        commands, about = f"{measured}\n{judge}", "Measure the same again, and judge the same records again"
    if len(commands) > _AGAIN:
        return f"{about}: the commands are too long to stand here; report.html has them.\n"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", commands)), default=0))
    return f"{about}:\n\n{fence}sh\n{commands}\n{fence}\n"
