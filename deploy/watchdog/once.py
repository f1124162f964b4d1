"""python -m deploy.watchdog.once --config FILE.yaml CHILD [--wait SECONDS]

The watchdog's checks of one child, done once, for another supervisor to act upon: with --wait until its
health page answers (a unit's start-up grace), else whether it fails its health or its probe as often in a row
as the settings say (a timer's hang detection). Starts and ends nothing itself.

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
    given = parser.parse_args()
    try:
        settings = load(given.config, os.environ, given.child)
    except SettingsError as error:
        print(f"once: the settings in {given.config} cannot be used\n{error}", file=sys.stderr)
        return EXIT_SETTINGS
    trouble = asyncio.run(_checked(settings, settings.children[given.child], given.wait))
    if trouble is not None:
        print(f"once: {given.child}: {trouble}", file=sys.stderr)
    return EXIT_ILL if trouble else 0


async def _checked(settings: Settings, child: Child, wait_s: float | None) -> str | None:
    checks = Checks(os.environ, settings.certificate_authority)
    health, probe = child.health, child.probe
    try:
        if wait_s is not None:
            return await _until_healthy(checks, child, wait_s)
        found = None
        if health is not None:
            found = await _in_a_row(lambda: checks.healthy(health), health.every_s, health.failures)
        if probe is not None and found is None:
            found = await _in_a_row(lambda: checks.generates(probe), probe.every_s, probe.failures)
        return found
    finally:
        await checks.aclose()


async def _until_healthy(checks: Checks, child: Child, wait_s: float) -> str | None:
    bound_s = time.monotonic() + wait_s
    while child.health is not None and (trouble := await checks.healthy(child.health)) is not None:
        if time.monotonic() >= bound_s:
            return f"not healthy in {wait_s:g} s: {trouble}"
        await asyncio.sleep(LOOK_S)
    return None


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
