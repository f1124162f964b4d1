"""Runs mutants: the unbroken stack first, then the broken one, and what the difference proves."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .mutant import Mutant
from .session import CONTEXT, Claim, Ran, Sessions, profile_of


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one mutant. `seconds` are its own, without those of the unbroken stack."""

    mutant: Mutant
    seconds: float
    caught: tuple[Claim, ...] = ()
    survived: tuple[str, ...] = ()  # parts of `red` and `blind` that no claim shows
    unexpected: tuple[Claim, ...] = ()
    fault: str | None = None  # why nothing was proved
    skipped: str | None = None  # why nothing could be, here
    folder: Path | None = None  # kept where something is wrong

    @property
    def holds(self) -> bool:
        """Caught by all that should, and by nothing else."""
        return not (self.survived or self.unexpected or self.fault or self.skipped)


class Runner:
    """Runs mutants, each unbroken stack once. Safe for threads."""

    def __init__(self, sessions: Sessions, wanted: Iterable[Mutant] = ()) -> None:
        self._sessions = sessions
        self._wanted = list(wanted)
        self._controls: dict[str, Ran] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def prove(self, mutant: Mutant) -> Proof:
        """One mutant, after its control."""
        if mutant.kind == "cluster" and not os.environ.get(CONTEXT):
            return Proof(mutant, 0.0, skipped=f"it needs a cluster: {CONTEXT} names no context")
        control = self.control(mutant)
        if control.fault:
            return Proof(mutant, 0.0, fault=f"the unbroken stack: {control.fault}", folder=control.folder)
        if mutant.kind == "cluster" and (why := away(mutant, control)):  # on a host nothing is excused
            return Proof(mutant, 0.0, skipped=why)
        folder = Path(tempfile.mkdtemp(prefix=f"mutant-{mutant.name}-"))
        prepared = mutant.prepare(folder) if mutant.prepare else {}
        changes = (mutant.ground, mutant.profile, _fault(mutant), prepared)
        profile = profile_of(mutant.name, mutant.kind, *changes)
        after = ("-p", "tests.mutants.after", "--after", mutant.after) if mutant.after else ()
        ran = self._run(folder, profile, mutant.scope, (*_options(mutant), *after))
        proof = judged(mutant, control, ran)
        if proof.holds:
            shutil.rmtree(folder, ignore_errors=True)
        return proof

    def control(self, mutant: Mutant) -> Ran:
        """The same claims of the unbroken stack, run once for all mutants of the same files."""
        key = _ground(mutant)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._controls:
                scope = _united(one.scope for one in (*self._wanted, mutant) if _ground(one) == key)
                folder = Path(tempfile.mkdtemp(prefix="mutant-none-"))
                profile = profile_of("none", mutant.kind, mutant.ground)
                self._controls[key] = self._run(folder, profile, scope, _options(mutant))
                if not red_of(self._controls[key]):
                    shutil.rmtree(folder, ignore_errors=True)
            return self._controls[key]

    def _run(
        self, folder: Path, profile: Mapping[str, Any], scope: Sequence[str], options: Sequence[str]
    ) -> Ran:
        """A session, and another one where its stack did not stand: a port may have been taken meanwhile."""
        ran = self._sessions.run(folder, profile, scope, options)
        return ran if ran.stood else self._sessions.run(folder, profile, scope, options)

    def stop(self) -> None:
        """End what is under way."""
        self._sessions.stop()

    @property
    def controls(self) -> list[Ran]:
        """The unbroken stacks so far."""
        return list(self._controls.values())


def away(mutant: Mutant, control: Ran) -> str | None:
    """Why none of what should turn red can be asked here; None where something was."""
    parts = (*mutant.red, *mutant.blind)
    asked = [one for one in control.claims if _names(parts, one)]
    if not asked or any(one.outcome != "skipped" for one in asked):
        return None
    return asked[0].reason


def judged(mutant: Mutant, control: Ran, ran: Ran) -> Proof:
    """What the broken stack's claims prove, beside those of the unbroken one."""
    if ran.fault:
        return Proof(mutant, ran.seconds, fault=ran.fault, folder=ran.folder)
    # A claim that fails on the unbroken stack too proves nothing, for or against the mutant.
    anyway = {one.nodeid for one in control.claims if one.red}
    sound = {one.nodeid for one in control.claims if one.outcome == "passed" or one.undecided}
    sure = {one.nodeid for one in control.claims if one.outcome == "passed"}
    red = [one for one in ran.claims if one.red and one.nodeid in sound]
    dim = [one for one in ran.claims if (one.red or one.undecided) and one.nodeid in sure]
    expected = (*mutant.red, *mutant.blind, *mutant.also)
    caught = {one.nodeid: one for one in red if _names(mutant.red, one)}
    caught |= {one.nodeid: one for one in dim if _names(mutant.blind, one)}
    survived = [part for part in mutant.red if not any(part in one.nodeid for one in red)]
    survived += [part for part in mutant.blind if not any(part in one.nodeid for one in dim)]
    strange = [one for one in ran.claims if one.red and not _names(expected, one)]
    unexpected = [one for one in strange if one.nodeid not in anyway]
    return Proof(
        mutant,
        ran.seconds,
        tuple(caught.values()),
        tuple(survived),
        tuple(unexpected),
        folder=ran.folder,
    )


def _options(mutant: Mutant) -> tuple[str, ...]:
    """Of pytest: a stack in a cluster is told its context by name."""
    if mutant.kind != "cluster":
        return mutant.options
    return ("--context", os.environ[CONTEXT], *mutant.options)


def _fault(mutant: Mutant) -> dict[str, Any]:
    """What it lays over engine and gateway; a cluster's overlay says those itself."""
    if mutant.kind == "cluster":
        return {}
    return {"engine": dict(mutant.engine), "gateway": {"settings": dict(mutant.gateway)}}


def _names(parts: Iterable[str], claim: Claim) -> bool:
    return any(part in claim.nodeid for part in parts)


def red_of(control: Ran) -> list[str]:
    """What is wrong with the unbroken stack, a line each."""
    red = [f"{one.nodeid}: {one.reason}" for one in control.claims if one.red]
    return [control.fault] if control.fault else red


def _ground(mutant: Mutant) -> str:
    """Equal for mutants that can share a control: the same files, options and ground."""
    files = sorted({part.partition("::")[0] for part in mutant.scope})
    asked: list[Any] = [files, mutant.options, mutant.kind, dict(mutant.ground)]
    return json.dumps(asked, sort_keys=True, default=str)


def _united(scopes: Iterable[tuple[str, ...]]) -> list[str]:
    """All that is in one of them, without the node ids of files that are there as a whole."""
    parts = dict.fromkeys(part for scope in scopes for part in scope)
    return [part for part in parts if "::" not in part or part.partition("::")[0] not in parts]
