"""Measuring the client's error: loads of rising numbers of streams on a server of known timing."""

from __future__ import annotations

import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from instruments.calibration.truth import ClientError, compared, read_truths
from instruments.errors import ConfigurationError, SloError
from instruments.fleet import LoadSpec, run_load
from instruments.journal import whole_run
from instruments.limits import RunLimits
from instruments.records import ClientCheck
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload

START_BOUND_S = 20.0
STOP_BOUND_S = 10.0
OUTPUT_TOKENS = 32
PROMPT_TOKENS = 32
# A server of known timing on one core hands out so many tokens a second with time to spare; more
# streams get a longer gap between their tokens.
TOKENS_PER_S = 20_000
SHORTEST_GAP_MS = 10.0
MODEL = "tiny"
ROOT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_READY = re.compile(r"on (https?://\S+)")


@dataclass(frozen=True, slots=True)
class TimingProfile:
    """How the server times its tokens; the gap is that of one stream, widened for many."""

    name: str
    description: str
    ttft_ms: float
    in_steps: bool  # all streams' tokens leave together, as engines emit them

    def arguments(self, streams: int) -> list[str]:
        """The server's command line."""
        gap_ms = max(SHORTEST_GAP_MS, streams / TOKENS_PER_S * 1e3)
        said = ["--ttft-ms", f"{self.ttft_ms:g}", "--itl-ms", f"{gap_ms:g}", "--jitter-ms", "0"]
        return [*said, "--step-ms", f"{gap_ms:g}"] if self.in_steps else said


PROFILES = (
    TimingProfile("paced", "each stream at its own pace, first token after 50 ms", 50, in_steps=False),
    TimingProfile(
        "steps", "all streams' tokens leave together, first token after 200 ms", 200, in_steps=True
    ),
)


@dataclass(frozen=True, slots=True)
class Level:
    """The client's error at one number of streams."""

    profile: str
    streams: int
    error: ClientError
    client: ClientCheck | None
    processes: int


@dataclass
class KnownServer:
    """A server of known timing as a child process, for as long as the context lasts.

    `command` starts it; it takes --port 0 and prints its address, and --trace FILE. `cores` are those
    that it may use, where the system lets us say so.
    """

    command: Sequence[str]
    arguments: Sequence[str]
    trace: Path
    cores: frozenset[int] = frozenset()
    url: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _said: IO[bytes] | None = field(default=None, repr=False)

    def __enter__(self) -> KnownServer:
        argv = [*self.command, "--port", "0", "--model", MODEL, "--slots", "100000"]
        argv += ["--trace", str(self.trace), *self.arguments]
        self._said = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            self._said.close()
            raise ConfigurationError(
                "the server of known timing cannot be started",
                expected=f"a program: {argv[0]}",
                seen=str(error.strerror),
            ) from None
        if self.cores:
            with suppress(OSError):
                os.sched_setaffinity(self._process.pid, self.cores)
        try:
            self.url = self._address()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is not None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_BOUND_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._said is not None:
            self._said.close()

    def _address(self) -> str:
        assert self._process is not None  # noqa: S101 - narrows a type
        assert self._process.stdout is not None  # noqa: S101 - narrows a type
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline().decode() if selector.select(START_BOUND_S) else ""
        found = _READY.search(line)
        if found is None:
            assert self._said is not None  # noqa: S101 - narrows a type
            self._said.seek(0)
            raise SloError(
                "the server of known timing did not start",
                expected=f"a line with its address within {START_BOUND_S:g} s",
                seen=(line + self._said.read().decode("utf-8", "replace")).strip()[-2_000:] or "nothing",
            )
        return found[1]


def calibrated(
    command: Sequence[str],
    streams: Sequence[int],
    *,
    folder: Path,
    profiles: Sequence[TimingProfile] = PROFILES,
    processes: int = 1,
    rounds: int = 2,
    seed: int = 0,
) -> Iterator[Level]:
    """The client's error at each number of streams, profile by profile; a level as soon as it is known.

    Where the machine has two cores or more, the server has the first one to itself.
    """
    for profile in profiles:
        for number in streams:
            with _apart() as cores:
                yield _level(command, profile, number, folder, processes, rounds, seed, cores)


def _level(
    command: Sequence[str],
    profile: TimingProfile,
    streams: int,
    folder: Path,
    processes: int,
    rounds: int,
    seed: int,
    cores: frozenset[int],
) -> Level:
    name = f"calibration-{profile.name}-{streams}"
    trace, journal = folder / f"{name}.server.jsonl", folder / f"{name}.jsonl"
    trace.parent.mkdir(parents=True, exist_ok=True)
    for old in (trace, *(part for part in folder.glob("*.jsonl") if whole_run(part) == journal)):
        old.unlink(missing_ok=True)
    workload = SyntheticWorkload(
        id=name,
        description=profile.description,
        requests_warmup=0,
        requests_measured=max(16, rounds * streams),
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        users=streams,
    )
    with KnownServer(command, profile.arguments(streams), trace, cores) as server:
        spec = LoadSpec(
            name,
            workload,
            Target(server.url),
            MODEL,
            seed,
            journal,
            limits=RunLimits(duration_s=120),
            processes=processes,
        )
        run = run_load(spec)
    # The server writes its log to the end before it goes.
    return Level(profile.name, streams, compared(run, read_truths(trace)), run.client, processes)


def _end_with_parent() -> None:
    """In the child: ask the kernel for SIGTERM when the parent is gone, however it went."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _apart() -> Iterator[frozenset[int]]:
    """Cores for the server that the client does not use; none where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        yield frozenset()
        return
    ours = os.sched_getaffinity(0)
    if len(ours) < 2:
        yield frozenset()
        return
    first = min(ours)
    os.sched_setaffinity(0, ours - {first})
    try:
        yield frozenset({first})
    finally:
        os.sched_setaffinity(0, ours)
