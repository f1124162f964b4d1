"""`python -m instruments rules OBJECTIVES.yaml`: Prometheus rules and Grafana thresholds from objectives."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from instruments.errors import ConfigurationError
from instruments.slo.applies import Applies, Place
from instruments.slo.burn_rate import DAY, Plan, duration, for_period, for_run, seconds_of
from instruments.slo.grafana import with_thresholds
from instruments.slo.objective import ServiceLevelObjective, load_objectives
from instruments.slo.rule_file import RuleFile, rules_text
from instruments.slo.rules import rules_of
from instruments.slo.server_metrics import ServerMetrics, read_bounds, read_version

Read = TypeVar("Read")
# What changes the rules, in the order in which a file's first line tells it.
TOLD = (
    "window",
    "scale",
    "scrape_interval",
    "vllm",
    "custom_histogram_buckets",
    "job",
    "gateway_job",
    "environment",
    "workload",
)
EPILOG = """\
The server's metrics know nothing of workloads: every objective is judged on all traffic. Where objectives of
several workloads differ, --workload chooses those that the traffic is like.

examples:
  rules for a month, for servers of any version:
    python -m instruments rules objectives.yaml -o slo.yml
  the same alerts within a load of ten minutes, scraped each second:
    python -m instruments rules objectives.yaml --scale 10m -o slo-run.yml
  lines on a dashboard, in place:
    python -m instruments rules objectives.yaml --dashboard overview.json -o overview.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("objectives", type=Path, metavar="OBJECTIVES.yaml")
    span = parser.add_mutually_exclusive_group()
    span.add_argument(
        "--window", type=_read(seconds_of), metavar="30d", help="for how long a budget lasts (default: 30d)"
    )
    span.add_argument(
        "--scale", type=_read(seconds_of), metavar="10m", help="for one load that lasts so long, instead"
    )
    add = parser.add_argument
    add(
        "--scrape-interval",
        type=_read(seconds_of),
        metavar="15s",
        help="how often Prometheus asks (default: 15s, with --scale 1s); no window is shorter than four",
    )
    add(
        "--vllm",
        type=_read(_version_words),
        default="any",
        metavar="VERSION",
        help="ask for the names of this version alone (default: any, old and new names joined by `or`)",
    )
    add(
        "--custom-histogram-buckets",
        type=_read(_bounds_words),
        metavar="JSON",
        help="what vLLM was given under the same name",
    )
    add("--job", metavar="NAME", help="Prometheus' job of the engines (default: any)")
    add("--gateway-job", metavar="NAME", help="Prometheus' job of the gateway (default: any)")
    add(
        "--environment",
        metavar="NAME",
        help="where the rules are for, of objectives that say where they apply",
    )
    add(
        "--workload",
        action="append",
        metavar="NAME",
        help="only objectives of this workload; may be repeated",
    )
    add("--dashboard", type=Path, metavar="JSON", help="lay lines on this Grafana dashboard instead of rules")
    add("-o", "--output", type=Path, metavar="FILE", help="default: standard output")


def run(options: argparse.Namespace) -> int:
    """Returns 0. ConfigurationError for objectives that cannot be read, watched or laid on a dashboard."""
    objectives = _objectives(options)
    if options.dashboard is not None:
        laid = with_thresholds(_dashboard(options.dashboard), objectives)
        _put(json.dumps(laid, indent=2, ensure_ascii=False) + "\n", options.output)
        return 0
    plan = _plan(options)
    file = rules_of(objectives, plan, _server(options), options.environment)
    _put(rules_text(file, plan, _made(options)), options.output)
    if options.output is not None:
        _tell(file, options.output)
    _warn(objectives, options.environment)
    return 0


def _objectives(options: argparse.Namespace) -> list[ServiceLevelObjective]:
    found = list(load_objectives(options.objectives).values())
    if options.workload is None:
        return found
    known = sorted({one.workload for one in found})
    for name in options.workload:
        if name not in known:
            raise ConfigurationError(
                f"no objective is on the workload {name!r}", expected=" or ".join(known), seen=name
            )
    return [one for one in found if one.workload in options.workload]


def _plan(options: argparse.Namespace) -> Plan:
    if options.scale is not None:
        return for_run(options.scale, options.scrape_interval or 1.0)
    return for_period(options.window or 30 * DAY, options.scrape_interval or 15.0)


def _server(options: argparse.Namespace) -> ServerMetrics:
    bounds = options.custom_histogram_buckets
    return ServerMetrics(
        version=read_version(options.vllm),
        job=options.job,
        gateway_job=options.gateway_job,
        custom_bounds_s=read_bounds(bounds) if bounds is not None else {},
    )


def _made(options: argparse.Namespace) -> str:
    """The command that makes the rules again, from the clone's root; of an absolute path only the name."""
    source: Path = options.objectives
    words = [
        "python",
        "-m",
        "instruments",
        "rules",
        source.name if source.is_absolute() else source.as_posix(),
    ]
    for name in TOLD:
        value = getattr(options, name)
        if value is None or (name == "vllm" and value == "any"):
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", duration(one) if isinstance(one, float) else one]
    return shlex.join(words)


def _dashboard(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        seen = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read {path}", expected="a dashboard's JSON", seen=seen) from None
    if not isinstance(document, dict) or not isinstance(document.get("panels"), list):
        raise ConfigurationError(
            f"{path} is no dashboard of Grafana's classic form", expected="an object with a list of panels"
        )
    return document


def _put(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}", seen=error.strerror) from None


def _tell(file: RuleFile, output: Path) -> None:
    rules = [rule for group in file.groups for rule in group.rules]
    alerts = sum(rule.is_alert for rule in rules)
    told = [f"{output}: {len(rules) - alerts} recording rules, {alerts} alerts"]
    told += [f"  left out: {name}: {why}" for name, why in file.left_out]
    sys.stderr.write("\n".join(told) + "\n")


def _warn(objectives: Iterable[ServiceLevelObjective], environment: str | None) -> None:
    """Say which are left out for an environment's sake: a name that is misspelt would silence them unseen."""
    place = Place(environment=environment)
    out = [
        one
        for one in objectives
        if one.applies.environments
        and (environment is None or Applies(one.applies.environments).excludes(place) is not None)
    ]
    if not out:
        return
    where = "no --environment is given" if environment is None else f"--environment {environment}"
    named = sorted({name for one in out for name in one.applies.environments})
    sys.stderr.write(
        f"warning: {where}: no rules for {', '.join(one.id for one in out)}, for {', '.join(named)} alone\n"
    )


def _version_words(words: str) -> str:
    read_version(words)
    return words


def _bounds_words(words: str) -> str:
    read_bounds(words)
    return words


def _read(of: Callable[[str], Read]) -> Callable[[str], Read]:
    """A type of argparse's whose message is the reader's own."""

    def read(words: str) -> Read:
        try:
            return of(words)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
