"""Faults of the gateway for claims about clients that leave and queues that are full."""

from collections.abc import Callable, Coroutine
from typing import Any

from deploy.gateway import account, admission, metrics
from deploy.gateway.account import Account
from tests.mutants.gateway import Patch

Gone = Callable[[], Coroutine[Any, Any, None]]


def without_outcome(outcome: str) -> Patch:
    """Requests of one outcome are in no counter of outcomes."""

    def plant() -> None:
        honest = metrics.Metrics._record_outcome

        def blind(self: metrics.Metrics, account: Account) -> None:
            if account.outcome != outcome:
                honest(self, account)

        metrics.Metrics._record_outcome = blind  # type: ignore[method-assign]

    return plant


def leavers_are_errors() -> None:
    """Who leaves before the answer is a 500."""

    def status(self: account.Account) -> int:
        return 500 if self.status is None else self.status

    account.Account.final_status = property(status)  # type: ignore[assignment,method-assign]


def admit_everybody() -> None:
    """There is no admission."""

    async def enter(self: admission.Admission, who: str, gone: Gone) -> None:
        self.in_flight += 1

    admission.Admission.enter = enter  # type: ignore[method-assign]


def keep_slots() -> None:
    """A slot is handed on to who waits, and never given back."""
    honest = admission.Admission.leave

    def leave(self: admission.Admission) -> None:
        if self._lines:
            honest(self)

    admission.Admission.leave = leave  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {
    "disconnects-uncounted": without_outcome("client_left"),
    "sheds-uncounted": without_outcome("shed"),
    "leavers-are-500": leavers_are_errors,
    "admission-off": admit_everybody,
    "slots-kept": keep_slots,
}
