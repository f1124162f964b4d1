"""`python -m benchmarks.scale`: what a concurrent stream costs our client, and the plan for very many.

Exit status: 0 when every round counts, 1 when one does not or there is no plan (then nothing is written),
2 for a command line that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import place
from benchmarks.saved import with_figures
from benchmarks.scale.page import NO_PLAN, report
from benchmarks.scale.points import POINTS, QUICK, START, Point
from benchmarks.scale.reading import QUICK_SIZES, SIZES, Read, read_all
from benchmarks.scale.streaming import Run, run_once

PAGE = Path(__file__).resolve().parents[1] / "SCALE.md"
FIGURES = place.HOME / "scale.json"
SEED = 8_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3, metavar="N", help="each point so often (3)")
    add(
        "--quick", action="store_true", help="one round of few streams, under a minute: to see that all works"
    )
    add("--write", action="store_true", help="put the tables into benchmarks/SCALE.md")
    add("--from", dest="source", type=Path, metavar="FILE", help="run nothing: take the figures saved there")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error("expected one round at least")
    if given.write and given.quick:
        parser.error("--quick is no basis for the page: leave out --write")
    return given


def main() -> int:
    given = _arguments()
    if sys.platform != "linux":
        print("what a process costs is read in /proc: this benchmark needs Linux", file=sys.stderr)
        return 2
    if given.source is not None:
        saved = json.loads(given.source.read_text())
    else:
        saved = _all(1 if given.quick else given.rounds, quick=given.quick)
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps(saved))
    runs, reads = [Run(**one) for one in saved["runs"]], [Read(**one) for one in saved["reads"]]
    text = report(saved, runs, reads)
    print(f"\n{text}")
    has_plan = NO_PLAN not in text
    if given.write and has_plan:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), text), "utf-8")
    return int(not has_plan or any(run.problem for run in runs) or any(read.problem for read in reads))


def _all(rounds: int, *, quick: bool) -> dict[str, object]:
    """Points take turns within a round: a machine's drift meets all alike."""
    told = {"machine": place.machine(), "rounds": rounds, "quick": quick, "load_before": os.getloadavg()[0]}
    runs = _stream((START, *(QUICK if quick else POINTS)), rounds)
    reads: list[Read] = []
    for read in read_all(QUICK_SIZES if quick else SIZES, rounds, SEED):
        reads.append(read)
        print(
            f"  {read.requests:,} requests read and merged: {read.problem or f'{read.seconds:.2f} s'}",
            flush=True,
        )
    return {**told, "runs": [asdict(run) for run in runs], "reads": [asdict(read) for read in reads]}


def _stream(points: Sequence[Point], rounds: int) -> list[Run]:
    runs = []
    for number in range(1, rounds + 1):
        for point in points:
            runs.append(run := run_once(point, number, SEED + number))
            share = "–" if run.client_share is None else f"{run.client_share:.1%} of a core"
            print(
                f"  {number}: {point.streams:6,} streams × {point.rate:g} tokens/s: {run.problem or share}",
                flush=True,
            )
    return runs


if __name__ == "__main__":
    sys.exit(main())
