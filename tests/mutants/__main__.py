"""python -m tests.mutants: break stacks on purpose, and see which claims find it

Exit codes: 0 every fault was caught, by the right claims alone, and (of all mutants) every claim caught one,
those left out that only a cluster can show, where KUBE_TEST_CONTEXT names none; 1 not so; 2 the arguments are
wrong; 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TextIO

from .claims import claim_functions
from .mutant import Mutant
from .proofs import Kept, keep, kept, stale
from .roster import all_mutants, chosen
from .run import Proof, Runner, red_of
from .session import Sessions
from .table import PAGE, lines_of, page, uncaught


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove the chosen mutants, saying what came of each as it ends."""
    given = _parser().parse_args(arguments)
    try:
        mutants = chosen(given.only, given.suite)
        mutants = [one for one in mutants if not given.stale or stale(one, kept())]
    except LookupError as error:
        say(f"mutants: {error.args[0]}; try --list", sys.stderr)
        return 2
    if given.list:
        for mutant in mutants:
            say(f"{mutant.name:<32} {' '.join(mutant.scope)}: {mutant.why}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job is born deaf to the first
        signal.signal(number, signal.default_int_handler)
    sessions = Sessions()
    runner = Runner(sessions, mutants)
    proofs: list[Proof] = []
    try:
        for proof in _proved(runner, mutants, given.jobs):
            proofs.append(proof)
            say(f"[{len(proofs)}/{len(mutants)}] " + "\n".join(lines_of(proof)))
            if given.write:
                write(keep(proof))
    except KeyboardInterrupt:
        sessions.stop()
        say("mutants: interrupted; the stacks are down", sys.stderr)
        return 130
    return _concluded(proofs, runner, whole=not (given.only or given.suite or given.stale))


def write(found: Kept) -> None:
    """The page, of all that is kept."""
    known = all_mutants()
    again = [mutant.name for mutant in known if stale(mutant, found)]
    PAGE.write_text(page(found, {one.name: one.why for one in known}, again), encoding="utf-8")


def say(text: str, stream: TextIO | None = None) -> None:
    """A line, at once."""
    out = stream or sys.stdout
    out.write(f"{text}\n")
    out.flush()


def _proved(runner: Runner, mutants: Sequence[Mutant], jobs: int) -> Iterator[Proof]:
    if jobs == 1:
        yield from map(runner.prove, mutants)
        return
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(runner.prove, mutant) for mutant in mutants]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            runner.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _concluded(proofs: Sequence[Proof], runner: Runner, *, whole: bool) -> int:
    skipped = [proof for proof in proofs if proof.skipped]
    bad = [proof.mutant.name for proof in proofs if not (proof.holds or proof.skipped)]
    bare = uncaught(claim_functions(), proofs) if whole else []
    control_s = sum(one.seconds for one in runner.controls)
    seconds = sum(proof.seconds for proof in proofs)
    asked = len(proofs) - len(skipped)
    say(f"\n{asked} faults, {asked - len(bad)} caught by the right claims and no others")
    say(f"{seconds:.0f} s, and {control_s:.0f} s of unbroken stacks")
    for name in bad:
        say(f"  not proved: {name}")
    for proof in skipped:
        say(f"  not asked here: {proof.mutant.name}: {proof.skipped}")
    broken = [line for control in runner.controls for line in red_of(control)]
    for line in broken:
        say(f"  red on the unbroken stack: {line}")
    for nodeid in bare:
        say(f"  a claim without a fault: {nodeid}")
    return 1 if bad or broken or bare else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=(__doc__ or "").partition(":")[2]
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these mutants")
    parser.add_argument("--suite", nargs="+", default=[], metavar="SUITE", help="those of these suites")
    parser.add_argument("--jobs", type=int, default=1, help="sessions at a time; timings suffer (default: 1)")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--write", action="store_true", help=f"keep what is proved, and write {PAGE.name}")
    parser.add_argument("--stale", action="store_true", help="those that nothing is kept of, or old claims")
    return parser


if __name__ == "__main__":
    sys.exit(main())
