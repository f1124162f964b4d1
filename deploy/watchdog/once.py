"""python -m deploy.watchdog.once --config FILE.yaml CHILD [--wait SECONDS [--pid PID]]

The watchdog's checks of one child, done once, for another supervisor to act upon: with --wait until its
health page answers (a unit's start-up grace) or, with --pid, that process is gone, else whether it fails its
health or its probe as often in a row as the settings say (a timer's hang detection). Starts and ends nothing
itself.

Exit codes: 0 it is well, 1 it is not (stderr says why), 2 the settings or the arguments cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from deploy.watchdog.checks import Checks
from deploy.watchdog.settings import Child, Settings, SettingsError, load

EXIT_ILL, EXIT_SETTINGS = 1, 2
LOOK_S = 0.5


def main() -> int:
    """Check one child."""
    parser = argparse.ArgumentParser(prog="python -m deploy.watchdog.once", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.yaml")
    parser.add_argument("child")
    parser.add_argument("--wait", type=float, metavar="SECONDS")
    parser.add_argument("--pid", metavar="PID", help="with --wait: in vain once this process is gone")
    given = parser.parse_args()
    try:
        settings = load(given.config, os.environ, given.child)
    except SettingsError as error:
        print(f"once: the settings in {given.config} cannot be used\n{error}", file=sys.stderr)
        return EXIT_SETTINGS
    trouble = asyncio.run(_checked(settings, settings.children[given.child], given.wait, given.pid))
    if trouble is not None:
        print(f"once: {given.child}: {trouble}", file=sys.stderr)
    return EXIT_ILL if trouble else 0


async def _checked(settings: Settings, child: Child, wait_s: float | None, pid: str | None) -> str | None:
    checks = Checks(os.environ, settings.certificate_authority)
    health, probe = child.health, child.probe
    try:
        if wait_s is not None:
            return await _until_healthy(checks, child, wait_s, pid)
        found = None
        if health is not None:
            found = await _in_a_row(lambda: checks.healthy(health), health.every_s, health.failures)
        if probe is not None and found is None:
            found = await _in_a_row(lambda: checks.generates(probe), probe.every_s, probe.failures)
        return found
    finally:
        await checks.aclose()


async def _until_healthy(checks: Checks, child: Child, wait_s: float, pid: str | None) -> str | None:
    """A process that crashed at its start will not answer: its supervisor is to hear of it at once."""
    bound_s = time.monotonic() + wait_s
    while child.health is not None and (trouble := await checks.healthy(child.health)) is not None:
        if pid is not None and not _lives(pid):
            return "its process has ended"
        if time.monotonic() >= bound_s:
            return f"not healthy in {wait_s:g} s: {trouble}"
        await asyncio.sleep(LOOK_S)
    return None


def _lives(pid: str) -> bool:
    """Whether a process is there. systemd gives no number once the main process has ended."""
    if not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


async def _in_a_row(check: Callable[[], Awaitable[str | None]], every_s: float, failures: int) -> str | None:
    """The last trouble after so many failures; None at the first success."""
    trouble = None
    for number in range(failures):
        await asyncio.sleep(every_s if number else 0)
        trouble = await check()
        if trouble is None:
            return None
    return f"{failures} in a row: {trouble}"


if __name__ == "__main__":
    sys.exit(main())
