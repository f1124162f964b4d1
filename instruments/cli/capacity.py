"""`python -m instruments capacity`: the highest load at which objectives hold, with an interval."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from instruments.cli.arguments import add_run_arguments, count, positive
from instruments.cli.judged import OF_STATE, SIMULATED, JudgedExit, note, say, say_json
from instruments.cli.load import load_of
from instruments.cli.trial import endpoint_of, folder_of, refuse, seed_of, with_room
from instruments.errors import ConfigurationError
from instruments.results import RunFolder
from instruments.slo import ServiceLevelObjective, State
from instruments.slo.applies import Place
from instruments.slo.capacity import PROBES_MOST, CapacityResult, Probe
from instruments.slo.objective import load_objectives
from instruments.trials import KneeSearch, run_search
from instruments.trials.held import apart, check_held, objectives_of
from instruments.trials.knee import DOCUMENT
from instruments.workloads.synthetic import SyntheticWorkload

EPILOG = """\
One load a level, each until its objectives are decided: upwards from --from (or from --promise, where it is
given) until a level is violated, downwards until one is met, then by halves. --requests bounds each load.
What was not tried is not extrapolated: where all holds, the answer is "at least".

Held are the required objectives of one workload: of ID in --objectives FILE.yaml:ID, else of the workload
that --workload names, else the file has to be for one alone. The search sets users or rate itself. Refused
are objectives on the server, its GPUs or a price, which no probe decides, and those with applies.users; one
for another model is left out, with a word.

examples:
  python -m instruments capacity --base-url http://127.0.0.1:8000 --objectives slo.yaml --by users \\
      --from 1 --to 128 --promise 64
  python -m instruments capacity --base-url http://127.0.0.1:8000 --objectives slo.yaml:chat --to 32

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
    told = "all required ones have to hold; ID: those of this workload"
    add("--objectives", required=True, metavar="FILE.yaml[:ID]", help=told)
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
    asked = options.requests
    one = {"requests": None} if options.workload is not None else {"users": 1, "requests": 1}
    load = load_of(argparse.Namespace(**{**vars(options), **one}), seed)
    objectives = _objectives(options, load.workload.id)
    endpoint = endpoint_of(options, load)
    held, left_out = apart(objectives, Place(model=endpoint.model))
    workload = with_room(load, options, (endpoint,)).workload
    if not isinstance(workload, SyntheticWorkload):
        raise ConfigurationError("a search needs a workload of any size", expected="a synthetic one")
    for name, why in left_out.items():
        note(f"not held: {name}: {why}")
    plan = replace(_plan(options, workload, held, seed, asked), left_out=left_out)
    plan.search()
    result = run_search(endpoint, plan, None if options.quiet else _look)
    return tell(result, RunFolder(plan.folder).read_document(DOCUMENT) or {}, plan.folder, options.json)


def _objectives(options: argparse.Namespace, loaded: str) -> tuple[ServiceLevelObjective, ...]:
    """Those that the options ask to be held, checked."""
    path, _, wanted = options.objectives.partition(".yaml:")
    file = Path(f"{path}.yaml" if wanted else options.objectives)
    from_catalog = loaded if options.workload is not None else None
    found = objectives_of(load_objectives(file).values(), wanted or None, from_catalog, str(file))
    check_held(found)
    return found


def tell(result: CapacityResult, document: dict[str, Any], folder: Path, as_json: bool) -> JudgedExit:
    """Print what a search came to; returns the status that it deserves."""
    asked = document["asked"]
    if as_json:
        say_json(document)
    else:
        told = lines(result, asked["by"], asked["promise"])
        told += [f"not held: {name}: {why}" for name, why in document.get("left_out", {}).items()]
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
    told = [f"{_interval(result, by)} {unit} ({result.confidence:.3g}): {result.reason}"]
    if promise is not None:
        kept = result.promise(promise)
        low, high = result.headroom(promise)
        room = f"{'–' if low is None else f'{low:.3g}'} to {'–' if high is None else f'below {high:.3g}'}"
        told.append(f"{kept}: the promised {promise:g} {unit}; headroom {room} times")
        tried = any(math.isclose(probe.level, promise) for probe in result.probes)
        if kept is State.INCONCLUSIVE and not tried:
            told.append(f"  {promise:g} was not tried; a --resolution that it is a multiple of has it tried")
    return [*told, *(f"  {probe.level:g}: {probe.state}: {probe.evidence}" for probe in result.probes)]


def _interval(result: CapacityResult, by: str) -> str:
    """Between the levels that were tried; of whole users the last before the violated one is an end too."""
    if result.violated is None or result.high is None:
        return "capacity not known," if result.low is None else f"capacity at least {result.low:g}"
    whole = by == "users" and result.violated - result.high == 1
    end = f"{result.high:g}" if whole else f"below {result.violated:g}"
    if result.low is None:
        return f"capacity at most {end}" if whole else f"capacity {end}"
    return f"capacity {result.low:g} to {end}"


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
