"""What the commands that run trials share: an endpoint out of options, a workload, a folder."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from instruments.cli.load import Load
from instruments.cli.room import room_of
from instruments.cli.server import ask, target_of
from instruments.errors import ConfigurationError
from instruments.limits import RunLimits
from instruments.trials import Endpoint
from instruments.workloads.synthetic import SyntheticWorkload

LONGEST_S = 3600.0  # of one load, where nothing is said of it
ANY_NUMBER = 1_000_000_000


def refuse(options: argparse.Namespace, names: Iterable[str], command: str) -> None:
    """ConfigurationError for an option of `run` that this command cannot follow."""
    for name in names:
        if getattr(options, name) is not None:
            raise ConfigurationError(f"--{name.replace('_', '-')} does not go with {command}")


def endpoint_of(options: argparse.Namespace, load: Load) -> Endpoint:
    """The server that options name, asked what it serves. ConfigurationError where it cannot be asked."""
    target = target_of(options)
    words = isinstance(load.workload, SyntheticWorkload)
    served = ask(target, options.model, load.workload.api, lengths=words)
    limits = RunLimits(
        duration_s=options.time_bound or max(LONGEST_S, (load.duration_s or 0.0) + target.timeouts.total_s),
        consecutive_failures=options.failures_in_a_row or ANY_NUMBER,
        error_share=options.error_share,
        in_flight=options.in_flight,
    )
    return Endpoint(target, served.model, served.vocabulary, served.simulated, limits, options.load_processes)


def with_room(load: Load, options: argparse.Namespace, endpoints: Iterable[Endpoint]) -> Load:
    """The load with prompts that differ from each other on every endpoint."""
    workload = load.workload
    if isinstance(workload, SyntheticWorkload):
        given = options.prompt_tokens is not None or options.workload is not None
        for endpoint in endpoints:
            workload = room_of(workload, endpoint.vocabulary, given=given)
    return replace(load, workload=workload)


def seed_of(options: argparse.Namespace) -> int:
    return int.from_bytes(os.urandom(2)) if options.seed is None else options.seed


def folder_of(options: argparse.Namespace, command: str) -> Path:
    """The folder that was asked for, or a new one below results/."""
    if options.folder is not None:
        return Path(options.folder)
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Path("results") / "by-hand" / f"{now}-{command}-{os.urandom(2).hex()}"
