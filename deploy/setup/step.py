"""A step of the set-up: says what begins, shows that it lives, bounds it, and says what it took."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.setup import clone
from deploy.setup.errors import SetupError

Words = list[str | Path]

HEARTBEAT_S = 10.0
TAIL_LINES = 15


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print `title`, then the seconds its body took."""
    print(f"  {title} ...", flush=True)
    began = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - began:.1f} s", flush=True)


def run(
    argv: Sequence[str | Path], *, log: str, hint: str, limit_s: float, env: Mapping[str, str] | None = None
) -> None:
    """Run `argv` in the clone's root with its output in .cache/logs/`log`.log.

    Raises SetupError with the end of that output when it fails, or when `limit_s` seconds are over.
    """
    path = clone.CACHE / "logs" / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [str(word) for word in argv]
    with path.open("w") as out:
        child = subprocess.Popen(
            command,
            cwd=clone.ROOT,
            env=dict(env or clone.environment()),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = _watch(child, path, limit_s)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    if code != 0:
        state = f"not finished after {limit_s:.0f} s" if code is None else f"exit status {code}"
        seen = f"{state}; the end of {clone.shown(path)}:\n{_indented(_tail(path, TAIL_LINES))}"
        raise SetupError(f"`{shlex.join(command)}` to succeed", seen, hint)


def output(
    argv: Sequence[str | Path], *, limit_s: float = 60.0, extra: Mapping[str, str] | None = None
) -> str | None:
    """What `argv` prints, or None when it cannot run, fails, or takes over `limit_s` seconds.

    `extra` is added to its environment. What goes to standard error is not part of it.
    """
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=clone.ROOT,
            env=clone.environment() | dict(extra or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def _watch(child: subprocess.Popen[bytes], log: Path, limit_s: float) -> int | None:
    """The child's exit status, or None when it was still running after `limit_s`."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < limit_s:
        try:
            return child.wait(timeout=min(HEARTBEAT_S, limit_s - spent))
        except subprocess.TimeoutExpired:
            last = "".join(_tail(log, 1)).strip()[:90]
            print(f"    {time.monotonic() - began:4.0f} s  {last}", flush=True)
    return None


def _tail(path: Path, lines: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-lines:]


def _indented(lines: list[str]) -> str:
    return "\n".join(f"    | {line}" for line in lines)
