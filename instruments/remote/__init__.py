"""Load from other machines: a worker there that looks, to the fleet here, like a process of its own.

    fleet ── a worker's protocol ──► near ── frames ──► far ── a worker's protocol ──► worker
    (here)                          (here)   a command  (there)                        (there)

`near` is a process of this machine, `far` one of the other: whatever command starts it and joins its standard
input and output to ours will do (`kubectl exec -i POD -- …`, `ssh HOST …`). The engine over there is the very
same worker, with a journal of its own; the journal comes over while the load goes, and whole at its end.
Nothing but this package knows that a part was written elsewhere: the fleet reads files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Post:
    """A place from which load is sent: a name for errors, and the command that runs `far` there."""

    name: str
    command: tuple[str, ...]
