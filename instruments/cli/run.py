"""`python -m instruments run`: a load by hand, watched while it goes, and summed up when it is over."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from instruments.arrivals import ArrivalProcess, ClosedLoop, Replay
from instruments.cli.arguments import add_run_arguments
from instruments.cli.load import Load, load_of
from instruments.cli.room import room_of
from instruments.cli.server import Served, ask, target_of
from instruments.cli.summary import say
from instruments.errors import ConfigurationError, JournalError
from instruments.fleet import LoadSpec, Progress, processes_for, run_load
from instruments.journal import load_run, whole_run
from instruments.limits import RunLimits
from instruments.live import live_view
from instruments.live.due import DueByNow
from instruments.records import LoadRun
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload

DEFAULT_FOLDER = Path("results") / "by-hand"
ANY_NUMBER = 1_000_000_000
LONGEST_S = 3600.0  # of a run, where nothing is said of it
STANDS_BACK = 10  # nice: a tenth of the processor time that the one which sends may have

add_arguments = add_run_arguments


class Stopped(KeyboardInterrupt):
    """SIGTERM: ends a run in the same good order as Ctrl-C does."""


def run(options: argparse.Namespace) -> int:
    """Run one load. ConfigurationError before anything was sent."""
    seed = int.from_bytes(os.urandom(4)) if options.seed is None else options.seed
    load = load_of(options, seed)
    target = target_of(options)
    journal = _new_journal(options.journal)
    if options.insecure:
        _warn("WARNING: the server's certificate is NOT verified; a key that is sent may be read by others")
    due = _due(load, seed)
    with ExitStack() as stack:
        watchers: list[Callable[[Progress], None]] = []
        if options.metrics_port is not None:
            watchers.append(_metrics(stack, journal.stem, options, due))
        served = ask(target, options.model, load.workload.api, lengths=not _carries_prompts(load))
        load = _with_room(load, options, served)
        spec = _spec(options, load, target, served, seed, journal)
        if not options.quiet:
            view = live_view(journal.stem, load.total, load.duration_s, sys.stderr, due=due)
            stack.callback(view.close)
            watchers.append(view.update)
        stack.enter_context(_terminated_as_interrupted())
        try:
            finished, interrupted = (
                run_load(spec, _all(watchers) if watchers else None, spawned=options.spawned),
                0,
            )
        except KeyboardInterrupt as stop:
            finished, interrupted = _what_there_is(journal), 143 if isinstance(stop, Stopped) else 130
    exit_status = say(finished, journal, as_json=options.json)
    return interrupted or exit_status


def _due(load: Load, seed: int) -> DueByNow | None:
    """What is due by now. None for an open loop of conversations, whose later turns wait for answers."""
    if load.total is None and not isinstance(load.workload.arrivals, ClosedLoop):
        return None
    return DueByNow(load.workload.arrivals, seed, load.total, load.duration_s)


def _with_room(load: Load, options: argparse.Namespace, served: Served) -> Load:
    """The load with prompts that can differ. ConfigurationError where those that were asked for cannot."""
    if not isinstance(load.workload, SyntheticWorkload):
        return load
    given = options.prompt_tokens is not None or options.workload is not None
    workload = room_of(load.workload, served.vocabulary, given=given)
    if workload.prompt_tokens != load.workload.prompt_tokens:
        # Said in any case: --quiet is about progress, and this is about what is measured.
        _warn(
            f"prompts of {workload.prompt_tokens} tokens: the fewest that the chat template leaves room for"
        )
    return replace(load, workload=workload)


def _spec(
    options: argparse.Namespace, load: Load, target: Target, served: Served, seed: int, journal: Path
) -> LoadSpec:
    longest_s = options.time_bound or max(LONGEST_S, (load.duration_s or 0.0) + target.timeouts.total_s)
    return LoadSpec(
        name=journal.stem,
        workload=load.workload,
        target=target,
        model=served.model,
        seed=seed,
        journal=journal,
        vocabulary=served.vocabulary,
        limits=RunLimits(
            duration_s=longest_s,
            consecutive_failures=options.failures_in_a_row or ANY_NUMBER,
            error_share=options.error_share,
            in_flight=options.in_flight,
        ),
        duration_s=load.duration_s,
        processes=processes_for(options.load_processes, load.workload),
        description=_description(options, load, served, seed),
    )


def _description(options: argparse.Namespace, load: Load, served: Served, seed: int) -> dict[str, Any]:
    """What the journal says of the load. No secret is among it: the key is in the target alone."""
    workload, arrivals = load.workload, load.workload.arrivals
    return {
        "base_url": options.base_url,
        "api": workload.api,
        "model": served.model,
        "simulated": served.simulated,
        "seed": seed,
        "workload": asdict(workload),
        "workload_sha256": workload.fingerprint(),
        "open_loop": not isinstance(arrivals, ClosedLoop),
        "arrivals": _arrivals(arrivals),
        "duration_s": load.duration_s,
        "vocabulary": None if _carries_prompts(load) else _vocabulary(served),
        "tls_verified": not options.insecure if options.base_url.startswith("https:") else None,
        "proxy": options.proxy,
    }


def _arrivals(arrivals: ArrivalProcess) -> Mapping[str, Any]:
    """As YAML would have it; of recorded times, only how many there are."""
    if isinstance(arrivals, Replay):
        return {"kind": arrivals.kind, "speed": arrivals.speed, "times": len(arrivals.times_s)}
    return asdict(arrivals)  # type: ignore[arg-type]  # all of them are dataclasses


def _vocabulary(served: Served) -> Mapping[str, Any]:
    vocabulary = served.vocabulary
    return {
        "source": vocabulary.source,
        "exact": vocabulary.exact,
        "prompt_overhead_tokens": vocabulary.prompt_overhead,
        "chat_overhead_tokens": vocabulary.chat_overhead,
        "sha256": vocabulary.fingerprint(),
    }


def _carries_prompts(load: Load) -> bool:
    """Whether a file says what is asked word by word, so that nobody needs to know what words cost."""
    return not isinstance(load.workload, SyntheticWorkload) and load.workload.format in ("jsonl", "sharegpt")


def _new_journal(asked: Path | None) -> Path:
    """A journal that is not there yet. ConfigurationError: what was measured is never written over."""
    if asked is None:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        asked = DEFAULT_FOLDER / f"{now}-{os.urandom(2).hex()}.jsonl"
    if asked.suffix != ".jsonl" or whole_run(asked) != asked:
        raise ConfigurationError(
            f"--journal {asked} is not a run's name",
            expected="a name that ends in .jsonl, and not in 1of4.jsonl as the parts of a run do",
        )
    there = [asked] if asked.exists() else []
    there += [part for part in asked.parent.glob("*.jsonl") if part != asked and whole_run(part) == asked]
    if there:
        raise ConfigurationError(
            f"the journal {there[0]} is there already",
            expected="a new file: nothing that was measured is written over",
            hint=f"give another name, or look at it with `python -m instruments show {asked}`",
        )
    return asked


def _metrics(
    stack: ExitStack, name: str, options: argparse.Namespace, due: DueByNow | None
) -> Callable[[Progress], None]:
    from instruments.export import MetricsPort

    port = stack.enter_context(MetricsPort(name, options.metrics_port, due))
    if not options.quiet:
        _warn(f"metrics of this load: {port.url}")
    return port.update


def _all(watchers: list[Callable[[Progress], None]]) -> Callable[[Progress], None]:
    """One watcher of many. This process only looks on: from now on it stands back where cores are few."""

    def watch(progress: Progress) -> None:
        _stand_back()
        for watcher in watchers:
            watcher(progress)

    return watch


@cache
def _stand_back() -> None:
    """Once a process: who has stood back cannot come forward again, and need not go further."""
    os.nice(STANDS_BACK)


def _what_there_is(journal: Path) -> LoadRun:
    try:
        return load_run(journal)
    except JournalError:  # interrupted before the first line was written
        raise KeyboardInterrupt from None


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _warn(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command line speaks here
