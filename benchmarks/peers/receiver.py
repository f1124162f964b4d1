"""The C program that only receives: receiver.c, compiled on the spot. The floor of what a client can cost."""

import shutil
import subprocess
from array import array
from itertools import pairwise
from urllib.parse import urlsplit

from benchmarks import place
from benchmarks.installer import Unavailable
from benchmarks.peers.peer import Ask, Command, Peer, Reading

SOURCE = place.ROOT / "benchmarks" / "receiver.c"
PROGRAM = place.HOME / "receiver" / "receiver"
SAMPLES = "samples.bin"
FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror"]
LIMIT_S = 60.0


def install() -> None:
    """Compile it when it is not there yet, or older than its source."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable("no C compiler: expected `cc` on PATH; try `apt-get install gcc libc6-dev`")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    argv = [compiler, *FLAGS, "-o", str(PROGRAM), str(SOURCE)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"cc did not end within {LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        raise Unavailable(f"cc failed: {' '.join(done.stderr.split())[:200]}")


def command(ask: Ask) -> Command:
    where = urlsplit(ask.base_url)
    given = [ask.scenario.streams, ask.bodies, ask.folder / SAMPLES, int(ask.scenario.limit_s)]
    return Command([str(PROGRAM), str(where.hostname), str(where.port), *map(str, given)])


def read(ask: Ask) -> Reading:
    return parse((ask.folder / SAMPLES).read_bytes())


def parse(data: bytes) -> Reading:
    """Native int64s, per request: the instant of sending, how many pieces, the instant of each; in ns."""
    numbers = array("q", data)
    ttft: list[float] = []
    itl: list[float] = []
    at = 0
    while at < len(numbers):
        sent, count = numbers[at : at + 2]
        pieces = numbers[at + 2 : at + 2 + count]
        ttft.append((pieces[0] - sent) / 1e6)
        itl.extend((b - a) / 1e6 for a, b in pairwise(pieces))
        at += 2 + count
    return Reading(completed=len(ttft), ttft_ms=tuple(ttft), itl_ms=tuple(itl))


PEER = Peer(
    name="receiver",
    title="a C program that only receives",
    how="the user's clock just before send and just after recv, on one epoll loop; it parses nothing",
    install=install,
    command=command,
    read=read,
)
