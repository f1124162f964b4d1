"""python -m deploy.watchdog --config FILE.yaml

Keeps engine, gateway and exporter running where nothing better does (see deploy/systemd/README.md). Logs are
JSON lines on stderr.

Exit codes:
  0    all children stopped after SIGTERM or SIGINT
  1    a mistake of ours; the traceback is on stderr
  2    the settings or the arguments cannot be used; each wrong field has a line on stderr
  3    the port of the metrics cannot be bound
  4    a child failed too often and was given up on; the others were stopped
  128+N  a second signal N came meanwhile: all killed at once
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from prometheus_client import start_http_server

from deploy.watchdog.backoff import Backoff
from deploy.watchdog.checks import Checks
from deploy.watchdog.metrics import Metrics
from deploy.watchdog.settings import Settings, SettingsError, load
from deploy.watchdog.supervisor import GaveUp, Supervisor

EXIT_SETTINGS, EXIT_PORT, EXIT_GAVE_UP, EXIT_SIGNAL = 2, 3, 4, 128


def main() -> int:
    """Supervise until told to stop, or until a child is given up on."""
    parser = argparse.ArgumentParser(prog="python -m deploy.watchdog", description="Keeps programs running.")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.yaml")
    path = parser.parse_args().config
    try:
        settings = load(path, os.environ)
    except SettingsError as error:
        print(f"watchdog: the settings in {path} cannot be used\n{error}", file=sys.stderr)
        return EXIT_SETTINGS
    metrics = Metrics()
    if settings.metrics is not None:
        try:
            server, _ = start_http_server(settings.metrics.port, settings.metrics.host, metrics.registry)
        except OSError as error:
            print(f"watchdog: metrics: expected a free port; seen: {error}", file=sys.stderr)
            return EXIT_PORT
        say("metrics", port=server.server_port)
    return asyncio.run(_supervise(settings, metrics))


async def _supervise(settings: Settings, metrics: Metrics) -> int:
    checks = Checks(os.environ, settings.certificate_authority)
    chance = random.Random(settings.restarts.seed)  # noqa: S311 - seeded on purpose: a schedule can be repeated
    supervisors = [
        Supervisor(
            name,
            child,
            Backoff(settings.restarts, chance),
            environment=os.environ,
            checks=checks,
            metrics=metrics,
            say=say,
        )
        for name, child in settings.children.items()
    ]
    stopping = _stop_on_signals()
    tasks = [asyncio.create_task(one.run()) for one in supervisors]
    told = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait({*tasks, told}, return_when=asyncio.FIRST_COMPLETED)
        failed = [task.exception() for task in done if task is not told]
    finally:
        await _stop_all(supervisors, [*tasks, told])
        await checks.aclose()
    for error in failed:
        if not isinstance(error, GaveUp):
            raise error or AssertionError("a supervisor has no end of its own")
    return EXIT_GAVE_UP if failed else 0


async def _stop_all(supervisors: list[Supervisor], tasks: list[asyncio.Task[Any]]) -> None:
    """One after the other, the last first: the gateway ends its streams while the engine still answers."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in reversed(supervisors):
        await one.stop()


def _stop_on_signals() -> asyncio.Event:
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stopping.is_set():
            say("stopped_at_once", signal=number.name, level="warning")
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(EXIT_SIGNAL + number)  # the guards see that we are gone, and kill
        say("stopping", signal=number.name)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stopping


def say(event: str, *, level: str = "info", **facts: Any) -> None:
    """One line of the log."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"ts": moment, "level": level, "event": event, **facts}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
