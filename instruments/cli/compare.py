"""`python -m instruments compare`: saved runs beside a baseline, or beside other runs."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from instruments.cli import ab, capacity
from instruments.cli.arguments import positive
from instruments.cli.judged import OF_CHANGE, JudgedExit, note, say, say_json
from instruments.errors import ConfigurationError
from instruments.slo.baseline import Baseline, SavedRun, first_baseline, runs_beside
from instruments.slo.regression import FIGURES, FigureChange, Regression, RegressionRule, judge_runs
from instruments.statistics.comparison import Change
from instruments.trials import interleaved, knee
from instruments.trials.saved import read_baseline, read_run, write_baseline

EPILOG = """\
A run is a folder below results/, or one journal. A baseline keeps the runs that were accepted first (its
anchor) and those accepted last: worse than either by more than the tolerance is worse. It takes 3 runs to
know how much equal runs differ; until then --accept takes runs in and compares nothing. Runs whose
fingerprints differ are refused, unless --across names the key. One that is void or was cut off is never
accepted.

examples:
  python -m instruments compare results/A1 results/A2 results/A3 --baseline main.json --accept
  python -m instruments compare results/B1 results/B2 --baseline main.json --across engine.version
  python -m instruments compare results/A results/B          (the first is the reference)
  python -m instruments compare results/by-hand/…-ab-1f2e    (what ab or capacity wrote, judged again)

exit codes:
    0  equivalent within the tolerance, or better; with --accept or --move-anchor also: these are the first
       runs of a baseline or of a new anchor, where nothing is to be compared yet
    2  what cannot be read, compared or accepted
   10  worse
   11  inconclusive; accepted all the same while the anchor has too few runs
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    rule = RegressionRule()
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN")
    beside = parser.add_mutually_exclusive_group()
    beside.add_argument("--baseline", type=Path, metavar="FILE.json", help="what was accepted before")
    beside.add_argument("--reference", type=Path, nargs="+", metavar="RUN", help="runs to compare with")
    add("--accept", action="store_true", help="make the runs the latest of the baseline, or its first")
    add("--move-anchor", metavar="REASON", help="make them its anchor too, whatever they are; kept with why")
    add("--across", action="append", default=[], metavar="KEY", help="fingerprints may differ here (globs)")
    add("--figure", action="append", metavar="NAME", help=f"may be repeated (default: {', '.join(FIGURES)})")
    told = f"a ratio less 1 (default: {rule.tolerance})"
    add("--tolerance", type=positive, default=rule.tolerance, metavar="X", help=told)
    told = f"a difference of shares (default: {rule.error_tolerance})"
    add("--error-tolerance", type=positive, default=rule.error_tolerance, metavar="X", help=told)
    told = f"probability that anything is called worse that is not (default: {rule.false_alarm})"
    add("--false-alarm", type=positive, default=rule.false_alarm, metavar="X", help=told)
    add("--json", action="store_true", help="one JSON document instead of a table")


def run(options: argparse.Namespace) -> int:
    """Compare, say what came of it, and accept where that was asked and may be."""
    if (options.accept or options.move_anchor is not None) and options.baseline is None:
        raise ConfigurationError("--accept and --move-anchor need --baseline FILE.json")
    if options.baseline is None and options.reference is None:
        if len(options.runs) == 1 and (status := _again(options.runs[0], options.json)) is not None:
            return status
        if len(options.runs) != 2:
            raise ConfigurationError(
                f"{len(options.runs)} runs and nothing to compare them with",
                expected="--baseline FILE.json, --reference RUN…, or two runs",
            )
        options.reference, options.runs = options.runs[:1], options.runs[1:]
    rule = _rule(options)
    runs = [read_run(path) for path in options.runs]
    if options.reference is not None:
        reference = runs_beside([read_run(path) for path in options.reference])
        return _tell(judge_runs(reference, runs, rule, options.across), as_json=options.json)
    return _beside(options, read_baseline(options.baseline), runs, rule)


def _beside(
    options: argparse.Namespace, baseline: Baseline | None, runs: list[SavedRun], rule: RegressionRule
) -> JudgedExit:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if baseline is None:
        if not options.accept:
            raise ConfigurationError(
                f"there is no baseline {options.baseline}", hint="--accept makes these runs the first"
            )
        made = first_baseline(runs, now, options.move_anchor or "")
        _accept(options.baseline, made, "its first runs", compared=False)
        return JudgedExit.GOOD
    if options.move_anchor is not None:
        made = baseline.rebased(runs, now, options.move_anchor)
        _accept(options.baseline, made, "its anchor moved", compared=False)
        return JudgedExit.GOOD
    regression = judge_runs(baseline, runs, rule, options.across)
    status = _tell(regression, as_json=options.json)
    if options.accept:
        # An anchor of too few runs is filled up; after that only what was judged good comes in.
        compared = not baseline.runs_missing
        if compared and status is not JudgedExit.GOOD:
            note(f"not accepted: {regression.change}")
            return status
        made = baseline.accepting(runs, now, options.across)
        _accept(
            options.baseline, made, "its latest runs" if compared else "its first runs", compared=compared
        )
    return status


def _accept(path: Path, baseline: Baseline, what: str, *, compared: bool) -> None:
    write_baseline(path, baseline)
    more = "" if compared else "; accepted, and compared with nothing"
    if baseline.runs_missing:
        more += f": {baseline.runs_missing} more runs are needed to compare"
    note(f"{path}: {what}: {', '.join(run.name for run in baseline.latest.runs)}{more}")


def _again(folder: Path, as_json: bool) -> JudgedExit | None:
    """What `ab` or `capacity` wrote, judged again from its journals; None where it is something else."""
    if (folder / interleaved.DOCUMENT).exists():
        comparison, document = interleaved.judge_saved(folder)
        return ab.tell(comparison, document, folder, as_json)
    if (folder / knee.DOCUMENT).exists():
        result, document = knee.judge_search(folder)
        return capacity.tell(result, document, folder, as_json)
    return None


def _rule(options: argparse.Namespace) -> RegressionRule:
    try:
        return RegressionRule(
            tuple(options.figure or FIGURES), options.tolerance, options.error_tolerance, options.false_alarm
        )
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            "this is no comparison", expected=f"figures such as {', '.join(FIGURES)}", seen=str(error)
        ) from None


def _tell(regression: Regression, *, as_json: bool) -> JudgedExit:
    if as_json:
        document: dict[str, Any] = {"kind": "regression", "schema": 1, **asdict(regression)}
        say_json(document)
    else:
        say("\n".join([f"{regression.change}: {regression.reason}", *map(_line, regression.rows)]))
    return OF_CHANGE[Change(regression.change)]


def _line(row: FigureChange) -> str:
    def told(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    ends = f"{told(row.value)} [{told(row.low)}, {told(row.high)}]"
    more = f"; about {row.runs_more} more runs would decide it" if row.runs_more else ""
    counts = f"{row.runs} runs, {row.failed} of {row.requests} requests failed"
    name = f"{row.workload} {row.figure} / {row.against}"
    return f"  {row.change:<12} {name}: {ends}: {row.reason}; {counts}{more}"
