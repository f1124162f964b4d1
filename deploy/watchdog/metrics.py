"""Metrics of the watchdog: restarts by reason, who is up, how long the last restart took."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """A registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.restarts = Counter(
            "watchdog_restarts", "Starts after a failure", ["child", "reason"], registry=self.registry
        )
        self.up = Gauge(
            "watchdog_child_up", "Whether the last check was well", ["child"], registry=self.registry
        )
        self.down_seconds = Gauge(
            "watchdog_last_outage_seconds",
            "From the failure until the child was healthy again",
            ["child"],
            registry=self.registry,
        )
        self.gave_up = Gauge(
            "watchdog_gave_up", "Whether the child is given up on", ["child"], registry=self.registry
        )
