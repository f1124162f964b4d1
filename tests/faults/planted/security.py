"""Faults of engines for the security suite."""

from dataclasses import replace

from tests.faults.planting import Asked, Planted

_seen: list[bytes] = []


def let_in(asked: Asked) -> Asked:
    """Whoever shows no key, or a wrong one, is let in with the one that the gateway has shown last."""
    shown = asked.head.get(b"authorization")
    if b"sk-engine-" in shown:
        _seen[:] = [shown]
    if not _seen:
        return asked
    head = asked.head.without(b"authorization").plus(b"Authorization", _seen[0])
    return replace(asked, head=head)


FAULTS = [Planted("security-engine-open", request=let_in)]
