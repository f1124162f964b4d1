"""One started program under its guard: its process id, its end, and how it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.watchdog.settings import Child

GUARD = Path(__file__).with_name("guard.py")
# What a child may know of our environment beside what is named for it.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
STARTED_BOUND_S = 10.0
KILLED_BOUND_S = 8.0


class Process:
    """A child's program, running or ended."""

    def __init__(self, guard: asyncio.subprocess.Process, pid: int | None) -> None:
        self._guard = guard
        self.pid = pid

    @classmethod
    async def start(cls, child: Child, environment: Mapping[str, str]) -> Process:
        """Start it. One that cannot be run has ended with status 127."""
        given = {name: environment[name] for name in INHERITED if name in environment}
        given |= {**child.environment, **{name: environment[name] for name in child.environment_from}}
        told, tell = os.pipe()
        with contextlib.ExitStack() as files:
            files.callback(os.close, tell)
            log = files.enter_context(child.log.open("ab")) if child.log else None
            guard = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(GUARD), str(tell), *child.command,
                stdin=asyncio.subprocess.PIPE, stdout=log or sys.stderr, stderr=log or sys.stderr,
                cwd=child.folder, env=given, pass_fds=(tell,), start_new_session=True,
            )  # fmt: skip
        return cls(guard, await _number(told))

    async def ended(self) -> int:
        """Wait for the end; its exit status, 128 + n for signal n."""
        status = await self._guard.wait()
        if status < 0:
            self._sweep()
        return status if status >= 0 else 128 - status

    async def stop(self, timeout_s: float) -> int:
        """SIGTERM to the program, SIGKILL to its whole group and all descendants after `timeout_s`."""
        stdin = self._guard.stdin
        assert stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(OSError):  # it has ended already
            stdin.write(b"stop %f\n" % timeout_s)
            await stdin.drain()
        try:
            async with asyncio.timeout(timeout_s + KILLED_BOUND_S):
                status = await self.ended()
        except TimeoutError:
            self._guard.kill()
            status = await self.ended()
        stdin.close()
        return status

    def _sweep(self) -> None:
        """Where somebody killed the guard, what is left of the group."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


async def _number(descriptor: int) -> int | None:
    """The process id that the guard tells; None where it could start nothing."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    with open(descriptor, "rb", buffering=0) as file:  # noqa: ASYNC230 - a descriptor has no path
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        try:
            async with asyncio.timeout(STARTED_BOUND_S):
                line = await reader.readline()
        except TimeoutError:
            line = b""
        finally:
            transport.close()
    return int(line) if line.strip() else None
