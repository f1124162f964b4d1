"""python -m deploy.gateway --config FILE.yaml | keygen NAME | openapi --config FILE.yaml

SIGTERM and SIGINT drain; SIGHUP reads the keys_file anew.

Exit codes:
  0    drained after SIGTERM or SIGINT (streams that outlived drain_timeout_s were cut; the log says how many)
  1    a mistake of ours; the traceback is in the log
  2    the settings or the arguments cannot be used; each wrong field has a line on stderr
  3    a port cannot be bound
  128+N  a second signal N came during the drain: stopped at once
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable

from deploy.gateway.commands import arguments, run
from deploy.gateway.logs import bridge_standard_library, json_logger
from deploy.gateway.server import Gateway, PortTaken
from deploy.gateway.settings import Settings, SettingsError, load

EXIT_SETTINGS = 2
EXIT_PORT = 3
EXIT_SIGNAL = 128


def main() -> int:
    """Read the settings, serve, drain."""
    given = arguments()
    try:
        if given.command:
            return run(given)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(load(given.config)))
    except SettingsError as error:
        print(f"gateway: the settings in {given.config} cannot be used\n{error}", file=sys.stderr)
        return EXIT_SETTINGS
    except PortTaken as error:
        print(f"gateway: {error}", file=sys.stderr)
        return EXIT_PORT
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which is faster; where there is none of it, Python's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _allow_descriptors() -> None:
    """As many as this user may have: a stream takes two, and the usual 1024 are 500 streams."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings) -> None:
    log = json_logger(sys.stderr)
    bridge_standard_library(log)
    _allow_descriptors()
    gateway = Gateway(settings, os.environ, log)
    gateway.bind()
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def on_signal(number: signal.Signals) -> None:
        seen.append(number)
        if len(seen) > 1:
            log.warning("stopped_at_once", signal=number.name)
            os._exit(EXIT_SIGNAL + number)
        gateway.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload_keys)
    # All that was made so far stays: to search it for garbage now and then stops all streams for 16 ms.
    gc.collect()
    gc.freeze()
    await gateway.serve()


if __name__ == "__main__":
    sys.exit(main())
