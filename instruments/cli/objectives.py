"""`python -m instruments objectives`: check files of objectives, and turn them into OpenSLO v1 and back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.contradictions import check_together, placed
from instruments.slo.feasibility import (
    BOUNDS_FLAG,
    check_feasible,
    check_told,
    least_requests,
    looks_of,
    off_bounds,
    server_of,
)
from instruments.slo.objective import load_objectives
from instruments.slo.openslo import load_openslo, openslo_yaml, yaml_text
from instruments.slo.server_metrics import ServerMetrics
from instruments.statistics.shares import Looks
from instruments.workloads.catalog import AnyWorkload, read_catalog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="check|openslo|from-openslo")
    check = kinds.add_parser("check", help="say whether they can be judged together", allow_abbrev=False)
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="objectives as YAML")
    check.add_argument(
        "--workloads",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE",
        help="files of workloads: says besides whether each load is large enough",
    )
    check.add_argument(
        BOUNDS_FLAG, metavar="JSON", help="what vLLM was given under the same name (default: its own bounds)"
    )
    export = kinds.add_parser("openslo", help="write them as OpenSLO v1", allow_abbrev=False)
    export.add_argument("file", type=Path, metavar="FILE", help="objectives as YAML")
    back = kinds.add_parser("from-openslo", help="read OpenSLO v1, write our YAML", allow_abbrev=False)
    back.add_argument("file", type=Path, metavar="FILE", help="a stream of OpenSLO v1 documents")
    back.add_argument("--workload", metavar="NAME", help="what those are judged on that name none")


def run(options: argparse.Namespace) -> int:
    """Returns 0. ConfigurationError, which is exit status 2, for what cannot be read or judged."""
    if options.kind == "openslo":
        text = openslo_yaml(load_objectives(options.file).values())
    elif options.kind == "from-openslo":
        text = catalog_yaml(load_openslo(options.file, options.workload).values())
    else:
        text = _checked(options.files, options.workloads, _server(options))
    sys.stdout.write(text)
    return 0


def catalog_yaml(objectives: Iterable[ServiceLevelObjective]) -> str:
    """A file of objectives, without what is as it is by default."""
    return yaml_text([{"objectives": [_told(objective) for objective in objectives]}])


def _told(objective: ServiceLevelObjective) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields(objective):
        value = getattr(objective, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if value == default:
            continue
        if one.name == "applies":
            value = {name: list(told) for name, told in asdict(value).items() if told}
        found[one.name] = value
    return found


def _server(options: argparse.Namespace) -> ServerMetrics:
    told = options.custom_histogram_buckets
    return server_of(() if told is None else (BOUNDS_FLAG, told))


def _checked(files: Iterable[Path], workload_files: Iterable[Path], server: ServerMetrics) -> str:
    """A line for each objective; ConfigurationError where something is wrong."""
    objectives = {where: one for path in files for where, one in placed(path, load_objectives(path)).items()}
    check_together(objectives)
    workloads = {workload.id: workload for path in workload_files for workload in read_catalog(path)}
    lines = []
    for where, objective in objectives.items():
        if workloads:
            _check_load(where, objective, workloads)
        check_told(where, objective, server)
        looks = looks_of(workloads[objective.workload]) if workloads else Looks.PLANNED
        needed, roughly = least_requests(objective, looks), off_bounds(objective, server)
        facts = [f"needs {needed} requests" if needed else "", f"only roughly: {roughly}" if roughly else ""]
        word = "required" if objective.required else "advisory"
        lines.append("; ".join([f"{objective.id}: {objective}, {word}", *filter(None, facts)]) + "\n")
    return "".join(lines)


def _check_load(where: str, objective: ServiceLevelObjective, workloads: dict[str, AnyWorkload]) -> None:
    if objective.workload not in workloads:
        raise ConfigurationError(
            f"{where}.workload: unknown workload {objective.workload!r}",
            expected=f"one of {', '.join(workloads)}",
        )
    check_feasible(where, objective, workloads[objective.workload])
