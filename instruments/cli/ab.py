"""`python -m instruments ab`: two endpoints, interleaved, until their difference is decided."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from instruments.cli.arguments import add_run_arguments, count, positive, share
from instruments.cli.judged import OF_CHANGE, SIMULATED, JudgedExit, note, say, say_json
from instruments.cli.load import load_of
from instruments.cli.trial import endpoint_of, folder_of, refuse, seed_of, with_room
from instruments.errors import ConfigurationError
from instruments.results import RunFolder
from instruments.slo.comparison import Comparison, Figure
from instruments.statistics.comparison import CompareRule
from instruments.trials import Interleaved, run_interleaved
from instruments.trials.interleaved import DOCUMENT

EPILOG = """\
A is the endpoint of --base-url, the reference; B that of --candidate. Blocks of --requests requests are put
on both, in pairs, in an order drawn for each pair; after each pair the ratio of B to A has an interval that
holds at every look. A request that failed counts as slower than all others, and failures are compared too.

example:
  python -m instruments ab --base-url http://127.0.0.1:8000 --candidate http://127.0.0.1:8001 \\
      --users 16 --requests 200 --warmup 16 --statistic p50 --tolerance 0.05 --pairs 60

exit codes:
    0  equivalent within the tolerance, or better
    2  an option, a file or a server cannot be used
   10  worse
   11  inconclusive: the pairs are spent, or do not count
   12  nothing was measured
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.usage = "%(prog)s --base-url URL --candidate URL [options]"
    parser.epilog = EPILOG
    rule, figure = CompareRule(), Figure()
    add = parser.add_argument_group("comparison").add_argument
    add("--candidate", required=True, metavar="URL", help="B, which is compared with --base-url")
    add("--candidate-model", metavar="NAME", help="default: as for --base-url")
    add("--candidate-key-env", metavar="NAME", help="holds the key for B (default: --api-key-env)")
    add("--indicator", default=figure.indicator, metavar="NAME", help="default: ttft_s")
    add("--statistic", default=figure.statistic, metavar="pN|mean", help="of each block (default: p50)")
    told = f"equivalent when the interval lies within (default: {rule.tolerance}; 0: never)"
    add("--tolerance", type=share, default=rule.tolerance, metavar="X", help=told)
    told = "worse when slower by more than this, and better when faster (default: 0)"
    add("--margin", type=share, default=rule.margin, metavar="X", help=told)
    told = f"probability that an equal B is called worse (default: {rule.false_alarm})"
    add("--false-alarm", type=positive, default=rule.false_alarm, metavar="X", help=told)
    told = f"the most pairs of blocks (default: {rule.pairs_most})"
    add("--pairs", type=count, default=rule.pairs_most, metavar="N", help=told)
    add("--folder", type=Path, metavar="DIR", help="a new folder for all of it (default: below results/)")


def run(options: argparse.Namespace) -> int:
    """Run the comparison and say what it came to. ConfigurationError before anything was sent."""
    refuse(options, ("journal", "metrics_port"), "ab")
    seed = seed_of(options)
    load = load_of(options, seed)
    a = endpoint_of(options, load)
    b = endpoint_of(_candidate(options), load)
    plan = _plan(options, seed, with_room(load, options, (a, b)).workload, load.duration_s)
    comparison = run_interleaved(a, b, plan, None if options.quiet else _look)
    return tell(comparison, RunFolder(plan.folder).read_document(DOCUMENT) or {}, plan.folder, options.json)


def tell(comparison: Comparison, document: dict[str, Any], folder: Path, as_json: bool) -> JudgedExit:
    """Print what a comparison came to; returns the status that it deserves."""
    if as_json:
        say_json(document)
    else:
        simulated = [SIMULATED] if document["simulated"] else []
        say("\n".join([*lines(comparison), *simulated, str(folder / DOCUMENT)]))
    if not any(comparison.requests):
        return JudgedExit.NOTHING_MEASURED
    return OF_CHANGE[comparison.change]


def lines(comparison: Comparison) -> list[str]:
    """A comparison for a reader."""
    counts = comparison.requests
    told = [
        f"{comparison.change}: {comparison.reason}",
        comparison.measured(),
        f"requests: A {counts[0]}, B {counts[1]}, in {len(comparison.pairs)} pairs of blocks",
    ]
    if comparison.pairs_more is not None:
        told.append(f"about {comparison.pairs_more} more pairs would decide it")
    return told


def _candidate(options: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(
        **{
            **vars(options),
            "base_url": options.candidate,
            "model": options.candidate_model or options.model,
            "api_key_env": options.candidate_key_env or options.api_key_env,
        }
    )


def _plan(options: argparse.Namespace, seed: int, workload: Any, duration_s: float | None) -> Interleaved:
    try:
        figure = Figure(options.indicator, options.statistic)
        rule = CompareRule(
            false_alarm=options.false_alarm,
            tolerance=options.tolerance or None,
            margin=options.margin,
            pairs_most=options.pairs,
        )
    except ValueError as error:
        raise ConfigurationError("this is no comparison", seen=str(error)) from None
    plan = Interleaved(workload, folder_of(options, "ab"), seed, figure, rule, duration_s)
    plan.check()
    return plan


def _look(comparison: Comparison) -> None:
    value, low, high = comparison.state.ratio
    said = "–" if math.isnan(value) else f"{value:.4g} [{low:.4g}, {high:.4g}]"
    note(f"pair {len(comparison.pairs)}: B/A {said} {comparison.change}")
