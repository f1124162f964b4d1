"""One planted fault: how a stack is broken, which claims are asked of it, and which of them must turn red."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Prepare = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault, and the claims that must find it.

    `scope` are files or node ids that are run against the broken stack. Each part in `red` must be seen in
    the node id of a claim that failed, each in `blind` in one that failed or was INCONCLUSIVE, as where a
    fault takes away what would have to be seen. Each claim that failed must contain one of these or of
    `also`, which are consequences that a machine may show or not.
    """

    name: str
    scope: tuple[str, ...]
    red: tuple[str, ...]
    why: str = ""  # what was planted, in a line
    also: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    ground: Mapping[str, Any] = field(default_factory=dict)  # of the profile, of the unbroken stack too
    profile: Mapping[str, Any] = field(default_factory=dict)  # laid over the profile of the stack
    engine: Mapping[str, Any] = field(default_factory=dict)  # the same, of its engine
    gateway: Mapping[str, Any] = field(default_factory=dict)  # the same, of the gateway's settings
    options: tuple[str, ...] = ()  # further ones of pytest
    kind: Literal["simulator", "vllm", "cluster"] = "simulator"
    after: str = ""  # what is done once the stack stands: a name in tests/mutants/later/
    prepare: Prepare | None = None  # makes files in a folder of the run: further changes of the profile


def behind(fault: str, *more: str) -> dict[str, Any]:
    """For `engine`: a fault of the saboteur, between the engine and all that talks to it."""
    return {"interposer": [sys.executable, "-m", "tests.faults.saboteur", "--fault", fault, *more]}


def patched(fault: str) -> dict[str, Any]:
    """For `profile`: the gateway with a fault of tests/mutants/patches/ in it."""
    return {"gateway": {"program": [sys.executable, "-m", "tests.mutants.gateway", "--fault", fault]}}
