"""What the server says of itself: samples at an instant, from whichever source a stack has."""

from __future__ import annotations

from typing import Protocol

from instruments.telemetry.counters import Growth, growth, increase
from instruments.telemetry.snapshot import Labels, Snapshot

__all__ = ["Growth", "Labels", "Snapshot", "Telemetry", "growth", "increase"]


class Telemetry(Protocol):
    """A source of snapshots."""

    @property
    def source(self) -> str:
        """Where the numbers come from, in words for the report."""
        ...

    def snapshot(self) -> Snapshot:
        """The component's samples, none older than this call. Raises TelemetryError."""
        ...
