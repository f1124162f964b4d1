"""What a fault may touch of one exchange between a client and an engine, and where faults are found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from .message import Head
from .rewriting import Edit

FOLDER = Path(__file__).resolve().parent / "planted"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `delay_s` is what the saboteur's command line says, for faults of timing."""

    head: Head
    body: bytes
    delay_s: float = 0.0

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.head.start.split(b" ")[1].partition(b"?")[0]

    def with_body(self, body: bytes) -> Asked:
        """The same request with another body and a length that fits."""
        head = self.head.without(b"content-length", b"transfer-encoding")
        return replace(self, head=head.plus(b"Content-Length", b"%d" % len(body)), body=body)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer on its way to the client: `body` is to be delivered, `asked` is what the client sent."""

    asked: Asked
    head: Head
    body: AsyncIterator[bytes]

    @property
    def streamed(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.head.get(b"content-type").startswith(b"text/event-stream")


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault: what is not given is left as it is.

    `request` changes what goes to the engine. `head` changes status and headers of an answer. `whole` gives
    the edit of an answer's whole body, `event` that of each server-sent event of one stream (b"" drops it),
    both anew for each request, so that an edit may remember within its stream; None leaves that answer alone.
    What streams must share belongs in the fault's module.
    `timing` hands on the body, after all edits, when it likes; ConnectionError in it cuts the connection.
    `leaks`: the request goes on at the engine when its client has left.
    """

    name: str
    request: Callable[[Asked], Asked] | None = None
    head: Callable[[Asked, Head], Head] | None = None
    whole: Callable[[Asked], Edit | None] | None = None
    event: Callable[[Asked], Edit | None] | None = None
    timing: Callable[[Answer], AsyncIterator[bytes]] | None = None
    leaks: bool = False


def at(suffix: bytes, edit: Edit) -> Callable[[Asked], Edit | None]:
    """For `whole` or `event`: one edit, of answers to paths that end in `suffix`."""
    return lambda asked: edit if asked.path.endswith(suffix) else None


def planted(name: str) -> Planted:
    """The fault called `name`.

    Only a module that writes the name in quotes is imported, as a stack waits for this.
    Raises LookupError unless there is exactly one.
    """
    modules = [path.stem for path in sorted(FOLDER.glob("[!_]*.py")) if f'"{name}"' in path.read_text()]
    found = [fault for module in modules for fault in _of(module) if fault.name == name]
    if len(found) != 1:
        raise LookupError(f"expected one fault called {name} in {FOLDER}/*.py; seen: {len(found)}")
    return found[0]


def all_planted() -> list[Planted]:
    """Every fault of every module."""
    return [fault for path in sorted(FOLDER.glob("[!_]*.py")) for fault in _of(path.stem)]


def _of(module: str) -> list[Planted]:
    faults: list[Planted] = import_module(f"tests.faults.planted.{module}").FAULTS
    return faults
