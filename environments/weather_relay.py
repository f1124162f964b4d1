"""The relay that makes network weather: a way in whose two halves meet inside a network namespace of its own.

    python -m environments.weather_relay --listen PORT --control PORT --upstream HOST:PORT [--loss-share X] …

client ── front ══ link ══ back ── upstream: the link is a TCP connection over the loopback of a namespace
that this process alone has, and that ends with it. Packets are lost there by the kernel, and its rate is
bound there; delay is netem's where the kernel has it, else it is added here. Bytes are passed on as they
are: TLS goes through.

The control port takes lines and answers each with one of JSON: `told` (what the weather is, and how many
packets it took), `dark` (every packet is lost from now on), `light` (no longer), `cut` (the connections of
all clients are reset, at either end; how many).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import sys

from environments.network_namespace import Conditions, Namespace, NoNamespace

HOST = "127.0.0.1"
PIECE = 64 * 1024
PIECES_DELAYED = 1024  # more on their way, and the reading waits
RESET = struct.pack("ii", 1, 0)  # linger for no second: to close is to reset
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """All connections through one link. Front and back know of each other by what comes over it."""

    def __init__(self, namespace: Namespace, upstream: tuple[str, int]) -> None:
        self._namespace = namespace
        self._upstream = upstream
        self._link: tuple[str, int] = (HOST, 0)
        self._outer: set[asyncio.StreamWriter] = set()  # towards clients and upstream

    async def open(self, port: int) -> None:
        """Listen for the front inside the namespace, and for clients outside."""
        inside = self._namespace.socket()
        inside.bind(self._link)
        self._link = inside.getsockname()
        await asyncio.start_server(self._back, sock=inside, limit=PIECE, backlog=4096)
        await asyncio.start_server(self._front, HOST, port, limit=PIECE, backlog=4096)

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what the lines say, one after the other."""
        async for line in reader:
            writer.write(json.dumps(self._do(line.decode().strip())).encode() + b"\n")
        writer.close()

    def _do(self, what: str) -> dict[str, object]:
        cut = 0
        if what == "dark":
            self._namespace.dark()
        elif what == "light":
            self._namespace.light()
        elif what == "cut":
            cut = len(self._outer)
            _reset(*self._outer)
        return {"weather": self._namespace.words, "lost": self._namespace.lost(), "cut": cut}

    async def _front(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = self._namespace.socket()
        try:
            await asyncio.get_running_loop().sock_connect(wire, self._link)
            near = await asyncio.open_connection(sock=wire, limit=PIECE)
        except OSError:
            wire.close()
            _reset(writer)
            return
        await self._bridge((reader, writer), near, outer=writer)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up = await asyncio.open_connection(*self._upstream, limit=PIECE)
        except OSError:
            _reset(writer)
            return
        await self._bridge(up, (reader, writer), outer=up[1])

    async def _bridge(self, outside: Ends, link: Ends, *, outer: asyncio.StreamWriter) -> None:
        """Both directions until both have ended. What comes from outside is late; a reset is passed on."""
        self._outer.add(outer)
        pumps = [
            asyncio.create_task(_pump(outside[0], link[1], self._namespace.delay_s)),
            asyncio.create_task(_pump(link[0], outside[1], 0.0)),
        ]
        try:
            await asyncio.gather(*pumps)
        except OSError:
            _reset(outside[1], link[1])
        finally:
            self._outer.discard(outer)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            outside[1].close()
            link[1].close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass each piece on `delay_s` after it came, in order, and then the end."""
    clock = asyncio.get_running_loop().time
    late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PIECES_DELAYED)

    async def read() -> None:
        while piece := await reader.read(PIECE):
            await late.put((clock() + delay_s, piece))
        await late.put((clock() + delay_s, b""))

    async def write() -> None:
        while True:
            due_s, piece = await late.get()
            await asyncio.sleep(max(0.0, due_s - clock()))
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()

    halves = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        await asyncio.gather(*halves)
    finally:
        for half in halves:
            half.cancel()
        await asyncio.gather(*halves, return_exceptions=True)


def _reset(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        if not writer.transport.is_closing():
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m environments.weather_relay")
    add = parser.add_argument
    add("--check", action="store_true", help="only say whether this machine can make weather")
    add("--listen", type=int, default=0, metavar="PORT")
    add("--control", type=int, default=0, metavar="PORT")
    add("--upstream", default=f"{HOST}:0", metavar="HOST:PORT")
    add("--loss-share", type=float, default=0.0)
    add("--round-trip-s", type=float, default=0.0)
    add("--rate-bps", type=float)
    return parser.parse_args()


async def _serve(given: argparse.Namespace, namespace: Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    host, _, port = given.upstream.rpartition(":")
    relay = Relay(namespace, (host, int(port)))
    await relay.open(given.listen)
    await asyncio.start_server(relay.control, HOST, given.control)
    sys.stdout.write(f"weather: {namespace.words}\n")
    sys.stdout.flush()
    await stop.wait()


def main() -> int:
    """Serve until SIGTERM or SIGINT; 1, with the reason on stderr, where no weather can be made."""
    given = _arguments()
    try:
        namespace = Namespace(Conditions(given.loss_share, given.round_trip_s, given.rate_bps))
    except NoNamespace as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not given.check:
        asyncio.run(_serve(given, namespace))
    return 0


if __name__ == "__main__":
    sys.exit(main())
