"""`python -m benchmarks.gate`: the judge judged, in simulated gates; the table that the repo carries.

Exit status: 0 when the goals are reached and the figures are those of the carried table, 1 when not, 2 for a
command line that cannot be used.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.gate.carried import FILE, Table, load, save
from benchmarks.gate.plan import QUICK, REPETITIONS, experiments, figures
from benchmarks.gate.trials import repeat

SEED = 4


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    add = parser.add_argument
    add("--repetitions", type=int, metavar="N", help=f"gates of an unchanged system ({REPETITIONS})")
    add("--seed", type=int, metavar="S", help=f"of all chance ({SEED})")
    add("--quick", action="store_true", help=f"{QUICK} repetitions: to see that all works")
    add("--check", action="store_true", help="a quick run of another seed, held against the carried table")
    add("--write", action="store_true", help="carry this table: benchmarks/gate/table.json and GATE.md")
    add("--json", type=Path, metavar="FILE", help="save the figures there as well")
    add("--processes", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="one a core")
    given = parser.parse_args()
    if given.write and (given.quick or given.check):
        parser.error("argument --write: the table is carried of a full run only")
    if given.repetitions is None:
        given.repetitions = QUICK if given.quick or given.check else REPETITIONS
    if given.repetitions < 1 or given.processes < 1:
        parser.error("expected a whole number from 1 up of repetitions and processes")
    if given.seed is None:
        given.seed = SEED + given.check
    return given


def main() -> int:
    given = _arguments()
    carried = load()
    if given.check and carried is None:
        print(f"nothing to check against: no {FILE.name}; --write makes it", file=sys.stderr)
        return 2
    began = time.monotonic()
    trials = repeat(experiments(given.repetitions), given.seed, given.processes)
    made = Table(given.seed, given.repetitions, tuple(figures(trials)))
    print(f"{made}\n\ntook {time.monotonic() - began:.0f} s on {given.processes} processes")
    if given.json is not None:
        save(made, given.json, page=None)
    if given.write:
        save(made)
        return int(bool(made.missed()))
    return _compared(made, carried, check=given.check)


def _compared(made: Table, carried: Table | None, *, check: bool) -> int:
    wrong = [f"MISSED: {line}" for line in made.missed()]
    if check and carried is not None:
        wrong += [f"MISSED in the carried table: {line}" for line in carried.missed()]
    if carried is not None:
        wrong += [f"DIFFERS: {line}" for line in carried.differs(made)]
        same = "the carried table, figure by figure" if made == carried else "what the carried table says"
        print(f"\nthis is {same}" if not wrong else "")
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
