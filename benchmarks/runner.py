"""The runner: each client in turn through each scenario, a fresh server a run, each wait bounded."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import place
from benchmarks.asking import write_bodies
from benchmarks.certificates import write_certificates
from benchmarks.figures import Run, figures_of
from benchmarks.installer import Unavailable
from benchmarks.meter import Usage
from benchmarks.metered import run_metered, tail
from benchmarks.peers.peer import Ask, Peer, Reading
from benchmarks.scenarios import ONE, Scenario
from benchmarks.server import TRACE, Truth, serving, truth_of

SEED = 20_260


@dataclass(slots=True)
class Turn:
    """One client with the scenarios that it goes through in every round, and what it has taken so far."""

    peer: Peer
    scenarios: Sequence[Scenario]
    spent_s: float = 0.0
    out: bool = False  # cannot be had, or cannot do even one request: not asked again

    def fits(self, number: int, budget_s: float) -> bool:
        """Whether round `number` will end within the budget, as those before it went; the first may."""
        return number == 1 or self.spent_s * number / (number - 1) <= budget_s


@dataclass(slots=True)
class Session:
    """One benchmark under way. Clients take turns within a round: a machine's drift meets all alike."""

    turns: Sequence[Turn]
    rounds: int
    budget_s: float  # of one turn, over all rounds
    runs: list[Run] = field(default_factory=list)

    def run(self) -> None:
        """All rounds; each run is told on the terminal and kept in `runs`."""
        for turn in self.turns:
            self._install(turn)
        for number in range(1, self.rounds + 1):
            for turn in self.turns:
                if not turn.out and turn.fits(number, self.budget_s):
                    self._take(turn, number)

    def _install(self, turn: Turn) -> None:
        try:
            turn.peer.install()
        except Unavailable as reason:
            turn.out = True
            self._keep(Run(turn.peer.name, ONE.name, 1, problem=f"not available: {reason}"))

    def _take(self, turn: Turn, number: int) -> None:
        began = time.monotonic()
        for scenario in turn.scenarios:
            self._keep(run := run_once(turn.peer, scenario, number))
            if run.problem is not None and scenario.name == ONE.name:
                turn.out = True
                break
        turn.spent_s += time.monotonic() - began

    def _keep(self, run: Run) -> None:
        self.runs.append(run)
        wall = "" if run.wall_s is None else f"{run.wall_s:6.2f} s, {run.cpu_s:6.2f} s CPU"
        error = "" if run.ttft_error_ms is None else f", TTFT p99 {run.ttft_error_ms:+.3f} ms"
        void = "" if run.void is None else ", VOID by its own self-check"
        print(
            f"  {run.round}: {run.peer:13} {run.scenario:17} {run.problem or wall + error + void}", flush=True
        )


def run_once(peer: Peer, scenario: Scenario, number: int) -> Run:
    """One run of one client; whatever goes wrong with it is in the Run's `problem`."""
    argv: list[str] = []
    with _folder(peer, scenario) as folder:
        try:
            certificate, authority = write_certificates(folder) if scenario.tls else (None, None)
            bodies = folder / "bodies.jsonl"
            write_bodies(bodies, scenario, SEED + number)
            with serving(scenario, folder, certificate) as base_url:
                ask = Ask(scenario, base_url, folder, bodies, SEED + number, authority)
                command = peer.command(ask)
                argv = command.argv
                usage = run_metered(
                    argv,
                    command.env,
                    folder,
                    cores=place.client_cores(scenario.processes),
                    limit_s=scenario.limit_s,
                )
            truth = truth_of((folder / TRACE).read_text(), scenario)
            problem, reading = _reading(peer, ask, usage, truth)
            void = (tail(folder, "VOID") or tail(folder)) if usage.status else None
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            return _failed(peer, scenario, number, argv, f"{type(error).__name__}: {error}")
    if reading is None:
        return _failed(peer, scenario, number, argv, problem)
    shown = [word.replace(str(place.ROOT), ".") for word in argv]
    figures = figures_of(usage, truth, reading) | {"asked": scenario.requests, "argv": shown}
    return Run(peer.name, scenario.name, number, void=void, **figures)


def _reading(peer: Peer, ask: Ask, usage: Usage, truth: Truth) -> tuple[str, Reading | None]:
    """What the client reports; without it, why its run counts for nothing."""
    said = tail(ask.folder)
    if usage.timed_out:
        return f"not done within {ask.scenario.limit_s:.0f} s and ended; it said: {said}", None
    if usage.status not in (0, peer.void_status):
        return f"exit status {usage.status}; it said: {said}", None
    reading = peer.read(ask)
    if reading.completed < ask.scenario.requests or truth.requests < ask.scenario.requests:
        counts = f"{reading.completed} by its own count, {truth.requests} by the server's"
        return f"of {ask.scenario.requests} requests completed: {counts}; it said: {said}", None
    return "", reading


def _failed(peer: Peer, scenario: Scenario, number: int, argv: Sequence[str], problem: str) -> Run:
    shown = [word.replace(str(place.ROOT), ".") for word in argv]
    text = " ".join(problem.replace(str(place.ROOT), ".").split())
    return Run(peer.name, scenario.name, number, problem=text, asked=scenario.requests, argv=shown)


@contextmanager
def _folder(peer: Peer, scenario: Scenario) -> Iterator[Path]:
    """A folder for one run, gone after it: a run at 10,000 streams leaves tens of megabytes."""
    runs = place.HOME / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{peer.name}-{scenario.name}-", dir=runs))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
