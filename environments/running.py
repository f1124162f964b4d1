"""The stack that `make stack` keeps up, as a session of suites gets it: addresses, keys, capabilities."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from environments.fingerprint import machine_fingerprint
from environments.handoff import LISTS, MAPPINGS, PLAIN, profile_in, read_handoff, stack_place, started_at
from environments.holding import is_held
from environments.profile import Profile
from environments.provider import Say, Secret, Stack, StackDied
from instruments.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RunningPart:
    """A part that another process started, known by its process id and when it began."""

    name: str
    pid: int | None
    began: str | None
    log: Path

    def check(self) -> None:
        """Raise StackDied when it runs no more."""
        if self.pid is not None and started_at(self.pid) != self.began:
            raise StackDied(self.name, "its process is gone", self.log_tail(), hint=f"read {self.log}")

    def log_tail(self, lines: int = 20) -> str:
        try:
            text = self.log.read_bytes()[-20_000:].decode("utf-8", "replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"


def running_profile(place: Path | None = None) -> Profile:
    """The profile of the stack that is up, with the provider `running`; ConfigurationError when none is."""
    return replace(profile_in(_document(place or stack_place())), provider="running")


@contextmanager
def running_stack(say: Say, place: Path | None = None) -> Iterator[Stack]:
    """The stack that is up. It is neither started nor stopped; two sessions at once know of each other."""
    folder = place or stack_place()
    document = _document(folder)
    say(f"using the stack that is up: {document['base_url']}")
    with (folder / "in-use").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            document["missing"]["exclusive"] = "another session of suites runs against this stack"
        yield _stack(document)


def _document(place: Path) -> dict[str, Any]:
    if not is_held(place):
        left = (place / "stack.json").exists()
        raise ConfigurationError(
            "no stack is up",
            expected="one that `make stack` brought up",
            seen=f"{place}/stack.json of one that was killed" if left else f"no {place}/stack.json",
            hint="make stack; or --env local, which stands one up for this run alone",
        )
    return read_handoff(place)


def _stack(document: dict[str, Any]) -> Stack:
    limited = document["limited_key"]
    since = f"the stack is one that has been up since {document['began_at']}"
    known: dict[str, Any] = {name: document[name] for name in (*PLAIN, *MAPPINGS)}
    known |= {name: tuple(document[name]) for name in LISTS}
    known["notes"] = (since, *known["notes"])
    # The client is this session's own; the stack's programs are as they were when it came up.
    known["fingerprint"] = {
        **known["fingerprint"],
        **machine_fingerprint(),
        "stack.commit": known["fingerprint"]["client.commit"],
    }
    return Stack(
        **known,
        keys={name: Secret(value) for name, value in document["keys"].items()},
        ca_bundle=Path(document["ca_bundle"]),
        components=_parts(document["components"]),
        watchers=_parts(document["watchers"]),
        limited_key=tuple(limited) if limited else None,
    )


def _parts(entries: list[dict[str, Any]]) -> tuple[RunningPart, ...]:
    return tuple(RunningPart(one["name"], one["pid"], one["began"], Path(one["log"])) for one in entries)
