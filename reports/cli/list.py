"""`python -m reports list`: the runs below a folder, newest first."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruments.errors import JournalError
from reports import wording
from reports.cli.arguments import count
from reports.history.entries import Entry, read_entry
from reports.history.runs import Run, bytes_in, runs_in
from reports.history.text import columns, say, size

LIMIT = 20
NAMED = 3  # with one reason; beyond these they are counted
HEAD = ("when (UTC)", "run", "environment", "engine", "state", "met", "claims passed", "took", "size")
RIGHT = (5, 6, 7, 8)
EPILOG = """\
met        required objectives that are met, of those judged
size       bytes of all files of the run; `python -m reports prune` frees them
unreadable a run whose run.json or verdict.json is missing, torn or of another version: why is said below

exit codes:
  0  the runs were listed, none included
  2  the folder cannot be looked into
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One run of the list; without an entry `why` says what of it cannot be read."""

    run: Run
    entry: Entry | None
    why: str | None
    size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "List the runs below a folder, newest first."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("directory", type=Path, nargs="?", default=Path("results"), metavar="DIR", help="(default: results)")
    add("--environment", metavar="NAME", help="only runs of this environment")
    add("--limit", type=count, default=LIMIT, metavar="N", help=f"how many (default: {LIMIT}; 0: all)")
    add("--json", action="store_true", help="one JSON document instead of a table")


def run(options: argparse.Namespace) -> int:
    """Say what is there; always 0."""
    found = [one for one in runs_in(options.directory) if _wanted(one, options.environment)]
    # What cannot be read has no time: it is named last, whatever the limit.
    unknown = [one for one in found if one.session is None]
    known = [one for one in reversed(found) if one.session is not None]
    shown = known[: options.limit] if options.limit > 0 else known
    listed = [_listed(one) for one in (*shown, *unknown)]
    if options.json:
        document = {
            "kind": "history",
            "schema": 1,
            "runs": [_document(one) for one in listed],
            "left_out": len(known) - len(shown),
        }
        say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say("\n".join(_lines(listed, len(known), len(shown), options.directory)))
    return 0


def _wanted(run: Run, environment: str | None) -> bool:
    return environment is None or run.of(environment)


def _listed(run: Run) -> Listed:
    held = bytes_in(run.folder)
    if run.session is None:
        return Listed(run, None, run.problem, held)
    try:
        return Listed(run, read_entry(run), None, held)
    except JournalError as error:
        if not run.finished:  # it has no verdict yet, which is nothing wrong
            return Listed(run, None, None, held)
        seen = f" ({error.seen})" if error.seen else ""
        return Listed(run, None, error.message + seen, held)


def _lines(listed: list[Listed], known: int, shown: int, directory: Path) -> list[str]:
    if not listed:
        return [f"no run below {directory}"]
    lines = columns(HEAD, [_row(one) for one in listed], RIGHT)
    lines += [_reason(why, names) for why, names in _reasons(listed).items()]
    if shown < known:
        lines.append(f"the newest {shown} of {wording.many(known, 'run')}; --limit 0 lists all")
    return lines


def _reasons(listed: list[Listed]) -> dict[str, list[str]]:
    """What cannot be read, by why."""
    found: dict[str, list[str]] = {}
    for one in listed:
        if one.why:
            found.setdefault(one.why, []).append(one.run.name)
    return found


def _reason(why: str, names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"unreadable: {', '.join(names[:NAMED])}{more}: {why}"


def _row(one: Listed) -> tuple[str, ...]:
    session, entry = one.run.session, one.entry
    took = wording.between(session.started_at, session.finished_at) if session else None
    return (
        f"{one.run.started:%Y-%m-%d %H:%M}" if one.run.started else wording.UNDEFINED,
        one.run.name,
        session.environment if session else wording.UNDEFINED,
        (session.engine if session else None) or wording.UNDEFINED,
        _state(one),
        f"{entry.met} of {len(entry.required)}" if entry and entry.required else wording.UNDEFINED,
        f"{entry.claims.get('passed', 0)} of {entry.claims.get('total', 0)}" if entry else wording.UNDEFINED,
        wording.duration(took),
        size(one.size),
    )


def _state(one: Listed) -> str:
    """Simulated and gate belong to the state: a MET of a simulator is no MET of a gate."""
    if one.entry is None:
        return "unreadable" if one.run.session is None or one.run.finished else "not finished"
    tags = [name for name, holds in (("gate", one.entry.gate), ("simulated", one.entry.simulated)) if holds]
    return " ".join([one.entry.state, *(f"({tag})" for tag in tags)])


def _document(one: Listed) -> dict[str, Any]:
    session, entry = one.run.session, one.entry
    return {
        "run": one.run.name,
        "folder": str(one.run.folder),
        "started_at": session.started_at if session else None,
        "finished_at": session.finished_at if session else None,
        "environment": session.environment if session else None,
        "engine": session.engine if session else None,
        "state": entry.state if entry else None,
        "gate": entry.gate if entry else None,
        "simulated": entry.simulated if entry else None,
        "required": len(entry.required) if entry else None,
        "met": entry.met if entry else None,
        "claims": dict(entry.claims) if entry else None,
        "bytes": one.size,
        "problem": one.why,
    }
