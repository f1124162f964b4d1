"""`python -m reports trend NAME`: one value over many runs, and whether it drifted."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from instruments.errors import ConfigurationError
from reports import wording
from reports.cli.arguments import positive
from reports.exit_codes import VerdictExit
from reports.history.drift import FALSE_ALARM, Drift, Move
from reports.history.entries import Entry, read_entries
from reports.history.runs import runs_in
from reports.history.series import Point, Series, known_names, series_of
from reports.history.text import columns, say, spark
from reports.history.told import found_words, left_out, slope_words, told_series

RUNS = 30
HEAD = ("when (UTC)", "run", "value", "interval", "state", "")
EPILOG = """\
Runs are like where their fingerprints are; of a run that is unlike the newest its value is shown, and not
counted. --across names keys that may differ (globs), such as engine.version or client.commit.

Drift is asked of like runs by two tests, which share the rate of false alarms in halves: Mann and Kendall's
for a slow move (Mann 1945, Kendall 1975), and the largest weighed difference of means between first and last
runs, three at least on either side, for a step; its rarity among random orders of the same values is exact
whatever their law, so that one bad night is no drift. Several series share the rate once more. Tests suppose
that runs of an unchanged system may be exchanged for each other: weather that lasts for nights is a drift.
A step needs 9 runs, 3 of them after it; the newest run alone is for `python -m instruments compare` to judge.

exit codes:
   0  no drift, or for the better
   2  nothing has that name, or the folder cannot be looked into
  10  a drift to the worse
  11  not enough: fewer than 6 like runs have a value, or the newest has none

examples:
  python -m reports trend ttft_s --environment a6000
  python -m reports trend ttft-p95-four-users --runs 60 --across client.commit
  python -m reports trend output_tokens_per_s          (of each load)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Follow one value over the runs below a folder, and say whether it drifted."
    parser.epilog = EPILOG
    add = parser.add_argument
    add("name", metavar="NAME", help="an indicator, an objective's id, or a rate of loads")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)")
    add("--environment", metavar="NAME", help="of these runs (default: the newest run's environment)")
    add("--runs", type=positive, default=RUNS, metavar="N", help=f"the last N that have it (default: {RUNS})")
    told = "fingerprints may differ here (globs); may be repeated"
    add("--across", action="append", default=[], metavar="KEY", help=told)
    told = f"probability that any drift is called of what is unchanged (default: {FALSE_ALARM})"
    add("--false-alarm", type=_rate, default=FALSE_ALARM, metavar="X", help=told)
    add("--json", action="store_true", help="one JSON document instead of lines")


def run(options: argparse.Namespace) -> int:
    """Say what moved; returns the exit code of the worst that was found."""
    entries, unread, environment = _entries(options.results, options.environment)
    having = [one for one in entries if series_of([one], options.name)][-options.runs :]
    series = series_of(having, options.name, options.across)
    if not series:
        known = known_names(entries)
        raise ConfigurationError(
            f"no run of the environment {environment} below {options.results} tells of {options.name!r}",
            expected=", ".join(known) if known else "a finished run with a verdict.json",
            seen=f"{wording.many(len(entries), 'run')} that can be read",
        )
    false_alarm = options.false_alarm / len(series)
    found = [(one, one.drift(false_alarm)) for one in series]
    if options.json:
        document = {
            "kind": "trend",
            "schema": 1,
            "name": options.name,
            "environment": environment,
            "across": options.across,
            "false_alarm": options.false_alarm,
            "series": [told_series(one, drift) for one, drift in found],
            "unread": unread,
        }
        say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        say("\n".join(_lines(found, unread, environment)))
    return _exit([drift.move for _, drift in found])


def _rate(told: str) -> float:
    try:
        found = float(told)
    except ValueError:
        found = 0.0
    if not 0.0001 <= found < 0.5:
        raise argparse.ArgumentTypeError(f"a probability from 0.0001 to below 0.5, got {told!r}")
    return found


def _entries(directory: Path, environment: str | None) -> tuple[list[Entry], dict[str, str], str]:
    """Runs of one environment, oldest first; by name why others cannot be read; which environment."""
    runs = runs_in(directory)
    if environment is None:
        known = [one.session.environment for one in runs if one.session and one.finished]
        environment = known[-1] if known else wording.UNDEFINED
    entries, unread = read_entries(one for one in runs if one.session is None or one.of(environment))
    return entries, unread, environment


def _exit(moves: Sequence[Move]) -> VerdictExit:
    if Move.WORSE in moves:
        return VerdictExit.VIOLATED
    return VerdictExit.INCONCLUSIVE if Move.NOT_ENOUGH in moves else VerdictExit.MET


def _lines(found: Sequence[tuple[Series, Drift]], unread: dict[str, str], environment: str) -> Iterator[str]:
    for number, (series, drift) in enumerate(found):
        if number:
            yield ""
        yield f"{drift.move}  {series.name}  {series.label}  ({environment})"
        yield f"  {spark(series)}  {_range(series)}"
        yield f"  {found_words(series, drift)}"
        if drift.is_slow and (slope := slope_words(series)):
            yield f"  {slope}"
        yield from (f"  {one}" for one in left_out(series))
        if len(found) == 1:
            yield ""
            yield from columns(HEAD, [_row(series, point) for point in series.points], (2, 3))
    if unread:
        yield ""
        yield from (f"not read: {name}: {why}" for name, why in unread.items())


def _range(series: Series) -> str:
    values = [one.value for one in series.points if one.value is not None]
    if not values:
        return "no value"
    low, high = min(values), max(values)
    runs = wording.many(len(series.points), "run")
    return f"{series.scale.quantity(low)} … {series.scale.quantity(high)}, {runs}"


def _row(series: Series, point: Point) -> tuple[str, ...]:
    told = [] if point.like else ["unlike the newest, not counted"]
    told += [f"changed: {', '.join(point.changed)}"] if point.changed else []
    return (
        f"{point.at:%Y-%m-%d %H:%M}",
        point.run,
        series.scale.quantity(point.value),
        series.scale.interval(point.low, point.high),
        str(point.state or ""),
        "; ".join(told),
    )
