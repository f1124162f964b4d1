"""Faults of the gateway that grow with every request."""

import os
import threading

from deploy.gateway import metrics
from deploy.gateway.account import Account
from tests.mutants.gateway import Patch

LEAKED = 4 * 1024 * 1024  # bytes a request

_kept: list[object] = []


def leak() -> None:
    """Each request leaves memory, a file and a thread behind."""
    honest = metrics.Metrics.record
    never = threading.Event()

    def leaking(self: metrics.Metrics, account: Account, duration_s: float) -> None:
        honest(self, account, duration_s)
        _kept.append(os.urandom(LEAKED))
        _kept.append(os.open(os.devnull, os.O_RDONLY))
        threading.Thread(target=never.wait, daemon=True).start()

    metrics.Metrics.record = leaking  # type: ignore[method-assign]


PATCHES: dict[str, Patch] = {"leaks-all": leak}
