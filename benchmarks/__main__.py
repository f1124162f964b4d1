"""`python -m benchmarks`: our client and its peers, in turn; a table of their cost and their truth.

Exit status: 0 however the figures came out (goals are said, not asserted), 2 for a command line or a machine
that cannot be used, 130 when interrupted; what was measured until then is saved.
"""

import argparse
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from benchmarks import place, scenarios
from benchmarks.goals import OURS
from benchmarks.roster import PEERS
from benchmarks.runner import Session, Turn
from benchmarks.saved import DEFAULT, rendered, save, write_readme
from benchmarks.scenarios import ONE, Scenario

INTERRUPTED = 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [peer.name for peer in PEERS]
    known = [scenario.name for scenario in (*scenarios.FOR_ALL, *scenarios.FOR_OURS)]
    add = parser.add_argument
    add("--runs", type=int, default=3, metavar="N", help="rounds of all scenarios a client (3)")
    add(
        "--budget-s",
        type=float,
        default=75.0,
        metavar="S",
        help="a client starts no further round past this (75)",
    )
    add("--only", default="", metavar="PEER,…", help=f"these clients only: {', '.join(names)}")
    add("--scenarios", default="", metavar="NAME,…", help=f"these loads only: {', '.join(known)}")
    add("--quick", action="store_true", help="one round of few requests: to see that all works")
    add("--json", type=Path, default=DEFAULT, metavar="FILE", help="where every run's raw figures go")
    add("--write", action="store_true", help="put the tables into benchmarks/README.md")
    add("--from", dest="source", type=Path, metavar="FILE", help="run nothing: take the figures saved there")
    given = parser.parse_args()
    given.only = _chosen(parser, "--only", given.only, names)
    given.scenarios = _chosen(parser, "--scenarios", given.scenarios, known)
    if given.runs < 1:
        parser.error("argument --runs: expected a whole number from 1 up")
    if given.write and given.quick:
        parser.error("argument --write: figures of --quick say nothing, and are not written")
    if given.source is not None and not given.source.is_file():
        parser.error(f"argument --from: expected a saved output, seen no file at {given.source}")
    return given


def _chosen(parser: argparse.ArgumentParser, flag: str, text: str, known: Sequence[str]) -> list[str]:
    chosen = [name for name in text.split(",") if name]
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"argument {flag}: expected names from {', '.join(known)}; seen {', '.join(unknown)}")
    return chosen or list(known)


def _turns(given: argparse.Namespace) -> Iterator[Turn]:
    """The clients with what each is to do; every one begins with one request, what its start costs."""
    for peer in PEERS:
        if peer.name in given.only:
            yield Turn(peer, [ONE, *_wanted(given, scenarios.FOR_ALL)])
            if peer.name == OURS and (more := _wanted(given, scenarios.FOR_OURS)):
                yield Turn(peer, more)


def _wanted(given: argparse.Namespace, offered: Sequence[Scenario]) -> list[Scenario]:
    chosen = [scenario for scenario in offered if scenario.name in given.scenarios and scenario is not ONE]
    return [scenarios.quick(scenario) for scenario in chosen] if given.quick else chosen


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # 10,000 streams need as many, on either side


def _interrupt(signum: int, _: FrameType | None) -> None:
    """SIGTERM and SIGHUP end it as Ctrl-C does: the server and the client under way are ended in order."""
    signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _measure(given: argparse.Namespace) -> int:
    """Run what was asked for and save it, interrupted or not."""
    _raise_file_limit()
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    session = Session([*_turns(given)], 1 if given.quick else given.runs, given.budget_s)
    print(place.pinning(), flush=True)
    began = time.monotonic()
    try:
        session.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        save(given.json, session.runs, rounds=session.rounds, quick=given.quick)
        print(
            f"{len(session.runs)} runs in {time.monotonic() - began:.0f} s, saved in {given.json}\n",
            flush=True,
        )
    return 0


def main() -> int:
    given = _arguments()
    if sys.platform != "linux":
        print(
            "expected Linux, whose cores and process trees can be told apart; seen",
            sys.platform,
            file=sys.stderr,
        )
        return 2
    status = 0 if given.source is not None else _measure(given)
    source = given.source or given.json
    print(rendered(source))
    if given.write and status == 0:
        write_readme(source)
        print(f"\nwritten into {place.ROOT.name}/benchmarks/README.md")
    return status


if __name__ == "__main__":
    sys.exit(main())
