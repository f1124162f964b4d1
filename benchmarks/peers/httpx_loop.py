"""A loop on httpx: what a test suite writes for itself."""

from benchmarks import place
from benchmarks.installer import environment
from benchmarks.peers import scripted
from benchmarks.peers.peer import Ask, Command, Peer

REQUIREMENTS = ["httpx==0.28.1"]


def install() -> None:
    environment("httpx-loop", REQUIREMENTS)


def command(ask: Ask) -> Command:
    python = str(place.HOME / "httpx-loop" / "bin" / "python")
    given = [word for name, value in scripted.arguments(ask).items() for word in (f"--{name}", value)]
    return Command([python, str(scripted.CLIENTS / "httpx_loop.py"), *given])


PEER = Peer(
    name="httpx-loop",
    title="a loop on httpx (asyncio)",
    how="the user's clock from before the request to the first `data:` line with content; gaps between these",
    install=install,
    command=command,
    read=scripted.read,
)
