"""Locust: gevent users whose client the user writes; here FastHttpUser with a stream read line by line."""

from benchmarks import place
from benchmarks.installer import environment
from benchmarks.peers import scripted
from benchmarks.peers.peer import Ask, Command, Peer

REQUIREMENTS = ["locust==2.47.0"]


def install() -> None:
    environment("locust", REQUIREMENTS)


def command(ask: Ask) -> Command:
    streams = str(ask.scenario.streams)
    argv = [
        *[str(place.HOME / "locust" / "bin" / "locust"), "--headless", "--host", ask.base_url],
        *["-f", str(scripted.CLIENTS / "locustfile.py"), "-u", streams, "-r", streams],
        *["--only-summary", "--loglevel", "WARNING"],
    ]
    env = {
        "BENCH_" + name.upper().replace("-", "_"): value for name, value in scripted.arguments(ask).items()
    }
    return Command(argv, env)


PEER = Peer(
    name="locust",
    title="Locust (gevent)",
    how="the user's clock, in the user's own code: from before the request to the first `data:` line with "
    "content; gaps between such lines",
    install=install,
    command=command,
    read=scripted.read,
)
