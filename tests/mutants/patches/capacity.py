"""Faults of the gateway for the capacity suite: its queue, and what it says of it."""

from collections.abc import Callable

from deploy.gateway import entrance
from deploy.gateway.admission import Admission, Gone
from deploy.gateway.settings import Queue
from tests.mutants.gateway import Patch


def queue_without_end() -> None:
    """Everybody waits for as long as it takes: nobody is refused."""
    honest = Admission.__init__

    def endless(self: Admission, queue: Queue, any_healthy: Callable[[], bool] = lambda: True) -> None:
        honest(self, Queue(queue.in_flight, 10**6, 3600.0), any_healthy)

    Admission.__init__ = endless  # type: ignore[method-assign]


def silent_refusal() -> None:
    """A 503 does not say when to come back."""
    entrance.RETRY_SOON = (b"x-later", b"1")  # before any other module takes it from there


def one_line_for_all() -> None:
    """Whose key it is does not matter: who asks for most gets most."""
    honest = Admission.enter

    async def crowded(self: Admission, who: str, gone: Gone) -> None:
        await honest(self, "everybody", gone)

    Admission.enter = crowded  # type: ignore[method-assign]


def slots_lost() -> None:
    """Each tenth slot that is given back is not free again."""
    honest = Admission.leave
    given = 0

    def leave(self: Admission) -> None:
        nonlocal given
        given += 1
        if given % 10:
            honest(self)

    Admission.leave = leave  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {
    "queue-without-end": queue_without_end,
    "silent-refusal": silent_refusal,
    "one-line-for-all": one_line_for_all,
    "slots-lost": slots_lost,
}
