"""The server: listens, answers until it is told to stop, lets open answers end, and goes."""

import asyncio
import contextlib
import gc
import os
import signal
import sys

from .connection import Connection, Visitors
from .engine import Engine
from .law import Law
from .routes import Routes
from .settings import Settings
from .tally import Tally
from .trace import Trace

DRAIN_S = 10.0


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status: 0, or 1 when the address cannot be had."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    tally = Tally(settings.max_model_len)
    trace = Trace(settings.trace)
    law = Law(settings.ttft_ns, settings.itl_ns, settings.jitter_ns, settings.seed)
    engine = Engine(law, settings.slots, settings.tokens_per_chunk, tally, trace)
    routes = Routes(settings, tally, engine)
    visitors = Visitors()
    try:
        server = await loop.create_server(
            lambda: Connection(routes, engine, settings.model, visitors),
            settings.host,
            settings.port,
            backlog=2048,
        )
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        seen = (
            os.strerror(error.errno) if error.errno and error.errno > 0 else error
        )  # asyncio's text repeats the address
        print(
            f"expected {where} to be free; seen: {seen}; try --port 0, or stop what has it",
            file=sys.stderr,
        )
        return 1
    port = server.sockets[0].getsockname()[1]
    print(f"vllm-slo-simulator: {settings.model} on http://{settings.host}:{port}", flush=True)
    gc.collect()
    gc.freeze()  # what lives as long as the server need not be walked while tokens are due
    await stop.wait()
    server.close()
    await drain(visitors, DRAIN_S)
    trace.close()
    return 0


async def drain(visitors: Visitors, bound_s: float) -> None:
    """Let answers that have begun end, for at most `bound_s` seconds, then cut what is left and say how
    many.
    """
    for connection in [*visitors.present]:
        connection.retire()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(bound_s):
            while visitors.present:
                visitors.left.clear()
                await visitors.left.wait()
    if visitors.present:
        print(f"after {bound_s:g} s {len(visitors.present)} answers were still open: cut", file=sys.stderr)
    for connection in [*visitors.present]:
        connection.cut()
    await asyncio.sleep(0)  # the cut sockets close in the loop's next pass
