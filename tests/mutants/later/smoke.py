"""Faults of stacks that stand, for the smoke suite."""

import signal
import time

import httpx

from environments.provider import Stack
from tests.mutants.after import Later, part

SEEN_BOUND_S = 15.0


def signal_gateway(stack: Stack) -> None:
    """For patches that wait for the word."""
    part(stack, "gateway").signal(signal.SIGUSR1)


def kill_alertmanager(stack: Stack) -> None:
    """As the kernel does when memory runs out."""
    part(stack, "alertmanager").signal(signal.SIGKILL)


def take_metrics_away(stack: Stack) -> None:
    """Until Prometheus has seen it."""
    signal_gateway(stack)
    asked = {"query": 'up{job="gateway"}'}
    url = f"{stack.prometheus_url}/api/v1/query"
    until_s = time.monotonic() + SEEN_BOUND_S
    while time.monotonic() < until_s:
        found = httpx.get(url, params=asked, trust_env=False).json()["data"]["result"]
        if [one["value"][1] for one in found] == ["0"]:
            return
        time.sleep(0.2)
    raise AssertionError(f"Prometheus sees the gateway's metrics still, after {SEEN_BOUND_S:g} s")


LATER: dict[str, Later] = {
    "signal-gateway": signal_gateway,
    "alertmanager-killed": kill_alertmanager,
    "metrics-gone": take_metrics_away,
}
