"""The folder of a capture: which log is whose, where it is cut, and what is read back out of it."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

INDEX = "containers.jsonl"
EVENTS = "events.jsonl"
SUMMARY = "capture.json"
HEAD_BYTES = 25_000_000  # of each container, from its first line on
TAIL_BYTES = 12_500_000  # twice this much of its end, where that is not enough


@dataclass(frozen=True, slots=True)
class Container:
    """One life of one container, and the file with its log. `restart` counts its lives from 0."""

    pod: str
    uid: str  # of the Pod: its name may come again
    container: str
    restart: int = 0
    is_init: bool = False
    component: str = ""  # the Pod's label app.kubernetes.io/component

    @property
    def stem(self) -> str:
        again = f".restart-{self.restart}" if self.restart else ""
        return f"{self.pod}.{self.container}{again}"


@dataclass(slots=True)
class LogFile:
    """A container's log on the disk, cut in its middle where it is too long.

    `NAME.log` has its first bytes; what does not go in there is in `NAME.later.log` and, of two such files
    the older, `NAME.earlier.log`. Never more than `head_bytes` and twice `tail_bytes`. Written unbuffered:
    whoever is killed has left what he had read.
    """

    path: Path
    head_bytes: int = HEAD_BYTES
    tail_bytes: int = TAIL_BYTES
    lines: int = 0
    size_bytes: int = 0  # of the log, with what was cut out of it
    cut_bytes: int = 0
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, lines: list[bytes]) -> None:
        """Add whole lines; none after `close`, when nobody waits for them any more."""
        text = b"".join(lines)
        with self._lock:
            if self._closed or not text:
                return
            room = self._room(len(text))
            with room.open("ab", buffering=0) as out:
                out.write(text)
            self.lines += len(lines)
            self.size_bytes += len(text)

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def _room(self, more_bytes: int) -> Path:
        """The file that the next lines go into."""
        later, earlier = (self.path.with_suffix(f".{name}.log") for name in ("later", "earlier"))
        if not later.exists() and self.size_bytes + more_bytes <= self.head_bytes:
            return self.path
        if later.exists() and later.stat().st_size + more_bytes > self.tail_bytes:
            self.cut_bytes += earlier.stat().st_size if earlier.exists() else 0
            later.replace(earlier)
        return later


def note_container(folder: Path, container: Container, path: Path) -> None:
    """Add a log to the folder's index."""
    with (folder / INDEX).open("a", encoding="utf-8") as out:
        out.write(json.dumps({"file": path.name, **asdict(container)}) + "\n")


def logs_of(folder: Path, component: str) -> list[Path]:
    """The logs of a component's containers, init containers left out, in the order of their beginning."""
    return [
        folder / str(one["file"])
        for one in _indexed(folder)
        if one["component"] == component and not one["is_init"]
    ]


def pieces(path: Path) -> list[Path]:
    """A log's files, the oldest lines first."""
    names = (path, path.with_suffix(".earlier.log"), path.with_suffix(".later.log"))
    return [one for one in names if one.is_file()]


def written(path: Path) -> Iterator[str]:
    """The lines of a log as its container wrote them: whole ones, without the instants before them."""
    for piece in pieces(path):
        with piece.open(encoding="utf-8", errors="replace", newline="\n") as lines:
            yield from (line.rstrip("\n").partition(" ")[2] for line in lines if line.endswith("\n"))


def tail(folder: Path, component: str, lines: int = 20) -> str:
    """The last lines of each container of a component, whether it is still there or not; "" without any."""
    found = []
    for path in logs_of(folder, component):
        last = deque((line for piece in pieces(path) for line in _read(piece)), maxlen=lines)
        found += [f"{path.stem}:\n{''.join(last)}"] if last else []
    return "\n".join(found)


def _indexed(folder: Path) -> list[dict[str, object]]:
    """What the index has; its last line may be on its way."""
    path = folder / INDEX
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def _read(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        yield from lines
