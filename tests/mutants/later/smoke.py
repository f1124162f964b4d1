"""Faults of stacks that stand, for the smoke suite."""

import signal

from environments.provider import Stack
from tests.mutants.after import Later, part


def signal_gateway(stack: Stack) -> None:
    """For patches that wait for the word."""
    part(stack, "gateway").signal(signal.SIGUSR1)


def kill_alertmanager(stack: Stack) -> None:
    """As the kernel does when memory runs out."""
    part(stack, "alertmanager").signal(signal.SIGKILL)


LATER: dict[str, Later] = {"signal-gateway": signal_gateway, "alertmanager-killed": kill_alertmanager}
