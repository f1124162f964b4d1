"""A part of a stack that runs as a process under a warden, with a log of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from environments.provider import MissingBinary, Secret, StackDied

WARDEN = Path(__file__).with_name("warden.py")
# What a process of ours may know of the caller's environment; keys and proxies are not among it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR")
LEFT_BOUND_S = 2.0


@dataclass(frozen=True, slots=True)
class _Launch:
    """All that it takes to start a program, and to start it again."""

    name: str
    command: tuple[str, ...]
    log: Path
    cwd: Path
    environment: Mapping[str, str | Secret]

    def warden(self) -> subprocess.Popen[bytes]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.cwd.mkdir(parents=True, exist_ok=True)
        pid_file = self.log.with_suffix(".pid")
        pid_file.unlink(missing_ok=True)  # of the one before: nobody is to be sent its signals
        known = {key: os.environ[key] for key in INHERITED if key in os.environ}
        given = self.environment.items()
        with self.log.open("ab") as output:
            try:
                return subprocess.Popen(
                    [sys.executable, "-I", "-S", WARDEN, pid_file, *self.command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.cwd,
                    env=known | {k: v.reveal() if isinstance(v, Secret) else v for k, v in given},
                    start_new_session=True,  # Ctrl-C is for us; what we started, we end in good order
                )
            except OSError as error:
                raise MissingBinary(
                    f"cannot start {self.name}", seen=f"{self.command[0]}: {error.strerror}"
                ) from None


class Process:
    """One program, started by `start` and ended by `stop`; it never outlives this process."""

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch
        self._name = launch.name
        self._log = launch.log
        self._pid_file = launch.log.with_suffix(".pid")
        self._warden = launch.warden()
        self._stopped = False

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path,
        environment: Mapping[str, str | Secret] | None = None,
    ) -> Process:
        """Start a program in `cwd`, its output going to `log`. Secrets belong in the environment, and are
        revealed only where they are handed over: a traceback shows the arguments of every call on its way."""
        return cls(_Launch(name, tuple(map(str, command)), log, cwd, dict(environment or {})))

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None

    @property
    def ended(self) -> str | None:
        """How the program ended, in words; None while it runs."""
        status = self._warden.poll()
        if status is None:
            return None
        if status < 0:
            return f"its warden was killed by signal {-status}"
        names = {int(number): number.name for number in signal.Signals}
        name = names.get(status - 128)  # 255 and the like are exit codes
        return f"killed by signal {status - 128} ({name})" if name else f"exit code {status}"

    def check(self) -> None:
        ended = self.ended
        if ended is not None and not self._stopped:
            raise StackDied(self.name, ended, self.log_tail(), hint=f"read {self._log}")

    def signal(self, number: int) -> None:
        """Send the program itself a signal, on purpose: what comes of that is no death of the stack's own.

        Nothing where it has ended already. `again` takes the purpose back.
        """
        self._stopped = True
        pid = self.pid
        if pid is not None and self._warden.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def again(self) -> None:
        """Start the program anew, with the same arguments, environment and log, when the old one has ended.

        One that still runs is stopped first.
        """
        if self._warden.poll() is None:
            self.stop()
        if self._warden.stdin is not None:
            self._warden.stdin.close()
        self._warden = self._launch.warden()
        self._stopped = False

    def log_tail(self, lines: int = 20) -> str:
        try:
            text = self._log.read_bytes()[-20_000:].decode("utf-8", "replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"

    def stop(self, grace_s: float = 5.0) -> None:
        """End the program and all its descendants: SIGTERM, SIGKILL after the grace."""
        self._stopped = True
        stdin = self._warden.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):  # it has ended already
                stdin.write(b"stop %f\n" % grace_s)
                stdin.flush()
        bound = time.monotonic() + grace_s + 6.0
        while self._warden.poll() is None and time.monotonic() < bound:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warden.wait(0.2)
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.close()
        if self._warden.poll() is None:
            self._warden.kill()
            self._warden.wait(5.0)
        if (self._warden.returncode or 0) < 0 and self.pid is not None:
            _end_session(self.pid)


def _end_session(leader: int) -> None:
    """Kill what a program left whose warden was killed: the kernel ended the program, and not its children.

    While the leader lives nobody is touched: ours died with its warden, so it would be somebody else.
    """
    bound = time.monotonic() + LEFT_BOUND_S
    while (left := _session(leader)) and time.monotonic() < bound:
        for pid in left if leader not in left else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _session(leader: int) -> list[int]:
    """The living processes of a session; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in ("Z", "X"):
                found.append(int(entry.parent.name))
    return found
