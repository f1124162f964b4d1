"""`python -m benchmarks.proxies`: what our gateway adds to the time to first token, beside its peers.

Exit status: 0 when every run counts, 1 when one does not, 2 for a command line that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks import place
from benchmarks.installer import Unavailable
from benchmarks.proxies.arms import ARMS, DIRECT, Arm
from benchmarks.proxies.loads import LOADS, Load, quick
from benchmarks.proxies.measured import Run, run_once
from benchmarks.proxies.page import report
from benchmarks.saved import with_figures

PAGE = Path(__file__).resolve().parents[1] / "GATEWAY.md"
FIGURES = place.HOME / "proxies.json"
SEED = 5_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxies", description=__doc__)
    add, names = parser.add_argument, [arm.name for arm in ARMS]
    add("--rounds", type=int, default=3, metavar="N", help="each arm through each load so often (3)")
    add("--only", default="", metavar="ARM,…", help=f"these arms only, and direct: {', '.join(names)}")
    add("--streams", default="", metavar="N,…", help="these loads only: 1, 16, 64, 256")
    add("--quick", action="store_true", help="one round of few requests: to see that all works")
    add("--write", action="store_true", help="put the tables into benchmarks/GATEWAY.md")
    add("--from", dest="source", type=Path, metavar="FILE", help="run nothing: take the figures saved there")
    given = parser.parse_args()
    given.arms = [arm for arm in ARMS if arm is DIRECT or not given.only or arm.name in given.only.split(",")]
    given.loads = [
        load for load in LOADS if not given.streams or str(load.streams) in given.streams.split(",")
    ]
    if unknown := set(filter(None, given.only.split(","))) - set(names):
        parser.error(f"argument --only: no arm is called {', '.join(sorted(unknown))}")
    if not given.loads or given.rounds < 1:
        parser.error("expected one load at least, and one round")
    return given


def main() -> int:
    given = _arguments()
    if given.source is not None:
        saved = json.loads(given.source.read_text())
        runs = [Run(**{**one, "ttft_ms": tuple(one["ttft_ms"])}) for one in saved["runs"]]
    else:
        rounds = 1 if given.quick else given.rounds
        runs = _all(_at_hand(given.arms), [quick(one) if given.quick else one for one in given.loads], rounds)
        saved = {"machine": place.machine(), "rounds": rounds, "quick": given.quick}
        FIGURES.parent.mkdir(parents=True, exist_ok=True)
        FIGURES.write_text(json.dumps({**saved, "runs": [asdict(run) for run in runs]}))
    text = report(saved, runs)
    print(f"\n{text}")
    if given.write:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), text), "utf-8")
    return int(any(run.problem for run in runs))


def _at_hand(arms: list[Arm]) -> list[Arm]:
    found = []
    for arm in arms:
        try:
            arm.install()
            found.append(arm)
        except Unavailable as reason:
            print(f"  {arm.name}: not available: {reason}", file=sys.stderr)
    return found


def _all(arms: list[Arm], loads: list[Load], rounds: int) -> list[Run]:
    """Arms take turns within a round and load: a machine's drift meets all alike."""
    runs = []
    for number in range(1, rounds + 1):
        for load in loads:
            for arm in arms:
                runs.append(run := run_once(arm, load, number, SEED + number))
                said = run.problem or f"{run.wall_s:6.2f} s, {run.cpu_s:6.2f} s CPU of the proxy"
                print(f"  {number}: {load.streams:4} streams, {arm.name:8} {said}", flush=True)
    return runs


if __name__ == "__main__":
    sys.exit(main())
