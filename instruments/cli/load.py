"""The load that options ask for: a workload with its arrivals, how many requests it has, and for how long."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments.arrivals import (
    ArrivalProcess,
    Arrivals,
    Burst,
    ClosedLoop,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Stage,
    Stages,
)
from instruments.arrivals.ramps import Spacing
from instruments.clock import NANOSECONDS
from instruments.errors import ConfigurationError
from instruments.workloads.lengths import Uniform
from instruments.workloads.synthetic import SyntheticWorkload

if TYPE_CHECKING:
    from instruments.workloads.catalog import AnyWorkload

BY_HAND = "by-hand"
PROMPT_TOKENS, OUTPUT_TOKENS = 24, 32
ALONE = ("mooncake", "azure")  # formats of traces without conversations
ENDLESS = 1_000_000_000  # requests of users who ask until the time is over
# What each kind of arrivals needs, and what it may have, beyond --rate.
BELONGS = {
    "constant": ((), ()),
    "poisson": ((), ()),
    "gamma": (("burstiness",), ()),
    "burst": (("burst_size",), ()),
    "ramp": (("rate_to", "duration"), ("ramp_shape", "spacing")),
    "stages": (("stages",), ("spacing",)),
}
ARRIVAL_OPTIONS = ("burstiness", "burst_size", "rate_to", "ramp_shape", "stages", "spacing")
PACE = ("users", "rate", "think", "user_ramp", "arrivals", *ARRIVAL_OPTIONS)
CONTENT = ("prompt_tokens", "output_tokens", "requests", "warmup", "api", "no_stream")


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked. `total` is the number of requests, warm-up included; None where nobody knows it."""

    workload: AnyWorkload
    total: int | None
    duration_s: float | None


def load_of(options: argparse.Namespace, seed: int) -> Load:
    """The load. ConfigurationError for options that do not go together."""
    try:
        if options.workload is not None:
            return _from_catalog(options, seed)
        _only_with(options, "--trace", options.trace is not None, ("trace_format", "speed"))
        return _from_trace(options, seed) if options.trace is not None else _synthetic(options, seed)
    except ValueError as error:  # a workload's or an arrival process's own bounds
        raise ConfigurationError("the options do not make a load", seen=str(error)) from None


def _synthetic(options: argparse.Namespace, seed: int) -> Load:
    arrivals = _arrivals(options) or _closed(options, options.users or 1)
    warmup = options.warmup or 0
    ends = isinstance(arrivals, Ramp | Stages) or options.duration is not None
    if options.requests is None and not ends:
        raise ConfigurationError("nothing says when the load ends", expected="--requests N or --duration S")
    asked = None if options.requests is None else options.requests + warmup
    total = _within(arrivals, seed, options.duration, asked)
    _enough(total, warmup, asked, arrivals)
    measured = options.requests or (ENDLESS if total is None else total - warmup)
    workload = SyntheticWorkload(
        id=BY_HAND,
        description="asked for on the command line",
        requests_measured=measured,
        requests_warmup=warmup,
        prompt_tokens=_length(options.prompt_tokens, PROMPT_TOKENS),
        output_tokens=_length(options.output_tokens, OUTPUT_TOKENS),
        api=options.api or "chat",
        stream=not options.no_stream,
        arrival_process=arrivals,
    )
    return Load(workload, total, options.duration)


def _from_trace(options: argparse.Namespace, seed: int) -> Load:
    from instruments.workloads.files import FileWorkload

    if options.trace_format is None:
        raise ConfigurationError("--trace needs --trace-format", expected="what the file is written in")
    if options.prompt_tokens is not None:
        raise ConfigurationError(
            "--prompt-tokens does not go with --trace: its lines say how long prompts are"
        )
    if options.output_tokens is not None and options.trace_format != "jsonl":
        raise ConfigurationError(
            f"--output-tokens does not go with --trace-format {options.trace_format}: "
            "its lines say how long answers are"
        )
    if options.users is None:
        _only_with(options, "--users", False, ("user_ramp",))
        if options.trace_format in ALONE:
            _only_with(options, "--users or a trace of conversations", False, ("think",))
    workload = FileWorkload(
        id=BY_HAND,
        description="recorded requests, asked for on the command line",
        path=str(options.trace),
        format=options.trace_format,
        first=None if options.requests is None else options.requests + (options.warmup or 0),
        speed=options.speed or 1.0,
        requests_warmup=options.warmup or 0,
        output_tokens=None if options.output_tokens is None else _length(options.output_tokens, 1),
        think_s=options.think or 0.0,
        api=options.api or "chat",
        stream=not options.no_stream,
        arrival_process=_arrivals(options),
    )
    return _of_workload(workload, options.duration, seed, exactly=options.requests is not None)


def _from_catalog(options: argparse.Namespace, seed: int) -> Load:
    """A workload of a file; what the file says cannot be said here too."""
    from instruments.catalog import load_yaml
    from instruments.workloads.catalog import CatalogWorkload

    for name in (*PACE, *CONTENT, "trace_format", "speed"):
        if getattr(options, name) not in (None, False):
            raise ConfigurationError(f"{_flag(name)} does not go with --workload: the file says it")
    path, _, wanted = options.workload.partition(".yaml:")
    file = Path(f"{path}.yaml" if wanted else options.workload)
    found: list[AnyWorkload] = load_yaml(file, CatalogWorkload, under="workloads")  # type: ignore[arg-type]
    ids = [workload.id for workload in found]
    chosen = [workload for workload in found if wanted in ("", workload.id)]
    if len(chosen) != 1:
        raise ConfigurationError(
            f"{file} has no workload {wanted!r}" if wanted else f"{file} has more than one workload",
            expected=f"--workload {file}:ID with one of {', '.join(ids)}",
        )
    return _of_workload(chosen[0], options.duration, seed, exactly=False)


def _of_workload(workload: AnyWorkload, duration_s: float | None, seed: int, *, exactly: bool) -> Load:
    """With the number of its requests, where no conversation makes it unknown."""
    sessions = workload.check()
    if isinstance(workload, SyntheticWorkload):
        alone = all(recipe.turns == 1 for recipe in workload.recipes())
    else:
        alone = workload.api != "chat" or workload.format in ALONE
    total = _within(workload.arrivals, seed, duration_s, sessions)
    _enough(total, workload.requests_warmup, sessions if exactly else None, workload.arrivals)
    return Load(workload, total if alone else None, duration_s)


def _arrivals(options: argparse.Namespace) -> Arrivals | None:
    """The arrival process that is asked for; None where nothing is said of it."""
    kind = options.arrivals or ("stages" if options.stages else "constant")
    opened = options.arrivals is not None or options.stages is not None or options.rate is not None
    if options.stages is not None and (options.users is not None or options.rate is not None):
        other = "rate" if options.users is None else "users"
        raise ConfigurationError(f"--stages does not go with {_flag(other)}: each stage has its own rate")
    if options.users is not None:
        _only_with(options, "--rate", False, ("arrivals", *ARRIVAL_OPTIONS))
        return _closed(options, options.users)
    _only_with(options, "--rate", opened, ARRIVAL_OPTIONS)
    if not opened:
        return None
    if options.trace is None:
        _only_with(options, "--users", False, ("think", "user_ramp"))
    needed, also = BELONGS[kind]
    for name in (*needed, *(("rate",) if kind != "stages" else ())):
        if getattr(options, name) is None:
            raise ConfigurationError(f"--arrivals {kind} needs {_flag(name)}")
    strange = tuple(name for name in ARRIVAL_OPTIONS if name not in (*needed, *also))
    _only_with(options, "another kind of --arrivals", False, strange)
    return _process(kind, options)


def _process(kind: str, options: argparse.Namespace) -> Arrivals:
    rate: float = options.rate
    spacing: Spacing = options.spacing or "even"
    match kind:
        case "poisson":
            return Poisson(rate)
        case "gamma":
            return Gamma(rate, options.burstiness)
        case "burst":
            return Burst(options.burst_size, every_s=options.burst_size / rate)
        case "ramp":
            return Ramp(rate, options.rate_to, options.duration, options.ramp_shape or "linear", spacing)
        case "stages":
            return Stages(tuple(Stage(*one) for one in options.stages), spacing)
    return Constant(rate)


def _closed(options: argparse.Namespace, users: int) -> ClosedLoop:
    return ClosedLoop(users, options.think or 0.0, options.user_ramp or 0.0)


def _within(arrivals: ArrivalProcess, seed: int, duration_s: float | None, asked: int | None) -> int | None:
    """How many sessions become due of those `asked`, or of any number; None where nobody knows before."""
    if isinstance(arrivals, ClosedLoop):
        return asked
    bound_ns = float("inf") if duration_s is None else duration_s * NANOSECONDS
    return sum(1 for _ in takewhile(lambda due_ns: due_ns < bound_ns, islice(arrivals.due_ns(seed), asked)))


def _enough(total: int | None, warmup: int, asked: int | None, arrivals: ArrivalProcess) -> None:
    """ConfigurationError where there is nothing to measure, or a schedule yields less than was asked for."""
    if total is None:
        return
    if total <= warmup:
        raise ConfigurationError(
            "the load has no request to measure",
            expected="more requests within the time, or in the file, than the warm-up takes",
            seen=f"{total} requests, {warmup} of them warm-up",
        )
    if asked is not None and total < asked and isinstance(arrivals, Ramp | Stages):
        raise ConfigurationError(
            f"--requests {asked - warmup} is more than the arrivals yield",
            expected=f"at most {total - warmup}, or longer stages or a longer ramp",
            seen=f"{total} arrivals" + (f", {warmup} of them warm-up" if warmup else ""),
        )


def _length(given: int | tuple[int, int] | None, default: int) -> int | Uniform:
    if given is None:
        return default
    return given if isinstance(given, int) else Uniform(given)


def _only_with(options: argparse.Namespace, what: str, there: bool, names: tuple[str, ...]) -> None:
    for name in names:
        if not there and getattr(options, name) is not None:
            raise ConfigurationError(f"{_flag(name)} goes with {what} only")


def _flag(name: str) -> Any:
    return "--" + name.replace("_", "-")
