"""`python -m instruments capacity`: the highest load at which objectives hold, with an interval."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from instruments.cli.arguments import add_run_arguments, count, positive
from instruments.cli.judged import OF_STATE, SIMULATED, JudgedExit, note, say, say_json
from instruments.cli.load import load_of
from instruments.cli.trial import endpoint_of, folder_of, refuse, seed_of, with_room
from instruments.errors import ConfigurationError
from instruments.results import RunFolder
from instruments.slo import ServiceLevelObjective
from instruments.slo.capacity import PROBES_MOST, CapacityResult, Probe
from instruments.slo.objective import load_objectives
from instruments.trials import KneeSearch, run_search
from instruments.trials.knee import DOCUMENT
from instruments.workloads.synthetic import SyntheticWorkload

EPILOG = """\
One load a level, each until its objectives are decided: upwards from --from (or from --promise, where it is
given) until a level is violated, downwards until one is met, then by halves. --requests bounds each load.
What was not tried is not extrapolated: where all holds, the answer is "at least".

example:
  python -m instruments capacity --base-url http://127.0.0.1:8000 --objectives slo.yaml --by users \\
      --from 1 --to 128 --promise 64

exit codes:
    0  the promise is kept, or none was asked about and the knee was found
    2  an option, a file or the server cannot be used
   10  the promise is not kept
   11  inconclusive
"""
NOT_HERE = ("journal", "metrics_port", "users", "rate", "arrivals", "stages", "duration", "trace", "think")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.usage = "%(prog)s --base-url URL --objectives FILE --to N [options]"
    parser.epilog = EPILOG
    add = parser.add_argument_group("search").add_argument
    add("--objectives", type=Path, required=True, metavar="FILE.yaml", help="all required ones have to hold")
    add("--by", choices=("users", "rate"), default="users", help="rate: Poisson arrivals (default: users)")
    add("--from", type=positive, default=1.0, dest="lowest", metavar="N", help="lowest level (default: 1)")
    add("--to", type=positive, required=True, dest="highest", metavar="N", help="highest level")
    add("--resolution", type=positive, default=1.0, metavar="X", help="levels are multiples (default: 1)")
    add("--promise", type=positive, metavar="N", help="the load that was promised; the search starts there")
    told = f"the most loads (default: {PROBES_MOST})"
    add("--probes", type=count, default=PROBES_MOST, metavar="N", help=told)
    add("--confidence", type=positive, default=0.95, metavar="X", help="of the interval (default: 0.95)")
    add("--confirm", action="store_true", help="try a level above the first violated one: is it monotone?")
    add("--folder", type=Path, metavar="DIR", help="a new folder for all of it (default: below results/)")


def run(options: argparse.Namespace) -> int:
    """Search, and say where the knee lies. ConfigurationError before anything was sent."""
    refuse(options, NOT_HERE, "capacity")
    seed = seed_of(options)
    objectives = tuple(one for one in load_objectives(options.objectives).values() if one.required)
    asked = options.requests
    one = {"requests": None} if options.workload is not None else {"users": 1, "requests": 1}
    load = load_of(argparse.Namespace(**{**vars(options), **one}), seed)
    endpoint = endpoint_of(options, load)
    workload = with_room(load, options, (endpoint,)).workload
    if not isinstance(workload, SyntheticWorkload):
        raise ConfigurationError("a search needs a workload of any size", expected="a synthetic one")
    plan = _plan(options, workload, objectives, seed, asked)
    plan.search()
    result = run_search(endpoint, plan, None if options.quiet else _look)
    return tell(result, RunFolder(plan.folder).read_document(DOCUMENT) or {}, plan.folder, options.json)


def tell(result: CapacityResult, document: dict[str, Any], folder: Path, as_json: bool) -> JudgedExit:
    """Print what a search came to; returns the status that it deserves."""
    asked = document["asked"]
    if as_json:
        say_json(document)
    else:
        told = lines(result, asked["by"], asked["promise"])
        say("\n".join([*told, *([SIMULATED] if document["simulated"] else []), str(folder / DOCUMENT)]))
    return status(result, asked["promise"])


def status(result: CapacityResult, promise: float | None) -> JudgedExit:
    """Of the promise where there is one; else whether any level was met."""
    if promise is not None:
        return OF_STATE[result.promise(promise)]
    return JudgedExit.INCONCLUSIVE if result.low is None else JudgedExit.GOOD


def lines(result: CapacityResult, by: str, promise: float | None) -> list[str]:
    """A search for a reader."""
    unit = "users" if by == "users" else "requests per second"
    told = [f"{_interval(result)} {unit} ({result.confidence:.3g}): {result.reason}"]
    if promise is not None:
        low, high = result.headroom(promise)
        room = f"{'–' if low is None else f'{low:.3g}'} to {'–' if high is None else f'{high:.3g}'}"
        told.append(f"{result.promise(promise)}: the promised {promise:g} {unit}; headroom {room} times")
    return [*told, *(f"  {probe.level:g}: {probe.state}: {probe.evidence}" for probe in result.probes)]


def _interval(result: CapacityResult) -> str:
    if result.low is None:
        return "capacity not known," if result.high is None else f"capacity at most {result.high:g}"
    if result.high is None:
        return f"capacity at least {result.low:g}"
    return f"capacity {result.low:g} to {result.high:g}"


def _plan(
    options: argparse.Namespace,
    workload: SyntheticWorkload,
    objectives: tuple[ServiceLevelObjective, ...],
    seed: int,
    requests_most: int | None,
) -> KneeSearch:
    return KneeSearch(
        workload=workload,
        objectives=objectives,
        folder=folder_of(options, "capacity"),
        seed=seed,
        by=options.by,
        lowest=options.lowest,
        highest=options.highest,
        start=options.promise,
        resolution=options.resolution,
        probes_most=options.probes,
        confidence=options.confidence,
        confirm=options.confirm,
        promise=options.promise,
        requests_most=requests_most,
    )


def _look(probe: Probe, result: CapacityResult) -> None:
    note(f"{probe.level:g}: {probe.state}: {probe.evidence}; {result.reason}")
