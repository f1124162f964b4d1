"""python -m deploy.gateway --config FILE.yaml

Exit codes:
  0    drained after SIGTERM or SIGINT (streams that outlived drain_timeout_s were cut; the log says how many)
  1    a mistake of ours; the traceback is in the log
  2    the settings or the arguments cannot be used; each wrong field has a line on stderr
  3    a port cannot be bound
  128+N  a second signal N came during the drain: stopped at once
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.gateway.logs import bridge_standard_library, json_logger
from deploy.gateway.server import Gateway, PortTaken
from deploy.gateway.settings import Settings, SettingsError, load

EXIT_SETTINGS = 2
EXIT_PORT = 3
EXIT_SIGNAL = 128


def main() -> int:
    """Read the settings, serve, drain."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.gateway", description="The gateway before a vLLM engine."
    )
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.yaml")
    arguments = parser.parse_args()
    try:
        asyncio.run(_serve(load(arguments.config)))
    except SettingsError as error:
        print(f"gateway: the settings in {arguments.config} cannot be used\n{error}", file=sys.stderr)
        return EXIT_SETTINGS
    except PortTaken as error:
        print(f"gateway: {error}", file=sys.stderr)
        return EXIT_PORT
    return 0


async def _serve(settings: Settings) -> None:
    log = json_logger(sys.stderr)
    bridge_standard_library(log)
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
    await gateway.serve()


if __name__ == "__main__":
    sys.exit(main())
