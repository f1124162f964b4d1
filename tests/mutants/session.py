"""One session of pytest against one stack: its profile, its process, and the claims that it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT
from environments.gateway import merged

PLACE = ROOT / "environments" / "profiles" / "host.yaml"
CLUSTER = PLACE.with_name("cluster.yaml")
CONTEXT = "KUBE_TEST_CONTEXT"  # the kubeconfig's context of the cluster that mutants may be stood up in
# Dictated timing: what turns red does so by the fault and not by a busy machine.
SIMULATOR: Mapping[str, Any] = {
    "kind": "simulator",
    "simulator_arguments": ["--ttft-ms", "5", "--itl-ms", "0.4"],
    "max_model_len": 1024,
}
SESSION_BOUND_S = 900.0
END_BOUND_S = 60.0
ENDS = signal.SIGTERM  # a session ends with it as with Ctrl-C, which a shell's background job is deaf to
JUDGED = (0, 1, 10, 11, 12)  # exit codes of a session that ran to its end
# How fixtures.reporting begins the reason of a claim that nothing could be said of …
INCONCLUSIVE = "INCONCLUSIVE"
# … and what a session says when its stack was not to be had.
NOT_STOOD = "nothing can be claimed without a stack"
# Of pytest's own: what this session was told is not for those that it starts.
NOT_HANDED_ON = ("PYTEST_", "COV_", "ALLURE_")


@dataclass(frozen=True, slots=True)
class Claim:
    """How one claim ended. `undecided`: it failed by being INCONCLUSIVE and by nothing else."""

    nodeid: str
    outcome: str
    reason: str
    undecided: bool

    @property
    def red(self) -> bool:
        """Whether it was found broken."""
        return self.outcome in ("failed", "error") and not self.undecided


@dataclass(frozen=True, slots=True)
class Ran:
    """One session. `fault` says why it judged nothing; None where it did."""

    claims: tuple[Claim, ...]
    seconds: float
    fault: str | None
    folder: Path
    stood: bool = True  # whether its stack did


def profile_of(name: str, kind: str, *changes: Mapping[str, Any]) -> dict[str, Any]:
    """The profile of the host, or of a cluster, with changes laid over it; "vllm": of the real engine."""
    place = CLUSTER if kind == "cluster" else PLACE
    found: dict[str, Any] = yaml.safe_load(place.read_text(encoding="utf-8"))
    if kind == "simulator":
        found["engine"] = dict(SIMULATOR)
    found |= {"name": f"mutant-{name}", "description": f"a stack to break: {name}"}
    for change in changes:
        found = merged(found, dict(change))
    return found


class Sessions:
    """Starts sessions; `stop` ends those that are under way, and with them their stacks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, folder: Path, profile: Mapping[str, Any], scope: Sequence[str], options: Sequence[str] = ()
    ) -> Ran:
        """Run a scope against the stack of a profile; bounded by SESSION_BOUND_S."""
        path = folder / "profile.yaml"
        path.write_text(yaml.safe_dump(dict(profile), sort_keys=False), encoding="utf-8")
        given = [f"--env={path}", f"--results={folder / 'results'}", *options]
        began = time.monotonic()
        output = folder / "output.txt"
        process = self._start([*scope, "-q", "-p", "no:cacheprovider", *given], output)
        try:
            code: int | None = process.wait(SESSION_BOUND_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            self._end(process)
        claims = _claims(folder / "results" / "latest" / "claims.jsonl")
        said = output.read_text(errors="replace")
        fault = _fault(code, claims, said)
        return Ran(claims, time.monotonic() - began, fault, folder, stood=NOT_STOOD not in said)

    def stop(self) -> None:
        """As Ctrl-C would: each session takes its stack down. None is started after this."""
        with self._lock:
            self._stopped = True
            running = list(self._running)
        for process in running:
            process.send_signal(ENDS)
        for process in running:
            self._end(process)

    def _start(self, arguments: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
        known = {k: v for k, v in os.environ.items() if not k.startswith(NOT_HANDED_ON)}
        with self._lock, output.open("wb") as file:
            if self._stopped:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *arguments],
                cwd=ROOT,
                env=known,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; what we started, we end in good order
            )
            self._running.add(process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(ENDS)
            try:
                process.wait(END_BOUND_S)
            except subprocess.TimeoutExpired:  # its wardens take the stack down without it
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with self._lock:
            self._running.discard(process)


def _claims(path: Path) -> tuple[Claim, ...]:
    if not path.exists():
        return ()
    found: dict[str, Claim] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        claim = Claim(
            one["nodeid"],
            one["outcome"],
            one["reason"],
            undecided=one["reason"].startswith(INCONCLUSIVE),
        )
        known = found.get(claim.nodeid)
        if known is None or not known.red:  # a claim that failed, and then its teardown too
            found[claim.nodeid] = claim
    return tuple(found.values())


def _fault(code: int | None, claims: Sequence[Claim], said: str) -> str | None:
    if code is None:
        return f"expected the session to end within {SESSION_BOUND_S:g} s; its last words: {_tail(said)}"
    if code not in JUDGED or not claims:
        return (
            f"expected claims and one of the exit codes {JUDGED}; seen {len(claims)}, {code}: {_tail(said)}"
        )
    if NOT_STOOD in said:
        return f"the stack did not stand: {claims[-1].reason}"
    return None


def _tail(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-300:]
