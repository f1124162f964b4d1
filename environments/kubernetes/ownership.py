"""Whose an object is: a namespace of a run names its owner, so that a run that was killed is reaped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from environments.handoff import started_at
from environments.kubernetes.api import Document

RUN_LABEL = "vllm-slo.io/run"
PART_LABEL = "vllm-slo.io/part"  # stack or load
OWNER_NOTE = "vllm-slo.io/owner"
KEPT_NOTE = "vllm-slo.io/kept"  # --keep-environment: only `reap --kept` takes it
GOES_ON = "yes"  # what that note says until the run is over; then since when
LONGEST_S = 24 * 3600.0  # of a run that set itself no bound
LATE = timedelta(minutes=10)  # two machines' clocks may be apart, and taking down needs its time


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that a namespace belongs to."""

    machine: str
    pid: int
    began: str  # of the process: a number alone would soon be another's
    until: str  # ISO 8601: then it is over, for who cannot look at the process

    @classmethod
    def here(cls, bound_s: float | None) -> Owner:
        until = datetime.now(UTC) + timedelta(seconds=bound_s or LONGEST_S)
        pid = os.getpid()
        return cls(_machine(), pid, started_at(pid) or "", until.isoformat(timespec="seconds"))

    def note(self) -> str:
        return json.dumps(asdict(self))

    def why_gone(self, now: datetime) -> str | None:
        """In words, why this owner needs its namespace no more; None while it may.

        Where its process can be looked at, that alone counts: a run may take longer than it meant to.
        """
        if self.machine == _machine():
            return None if self._lives() else f"its process {self.pid} is gone"
        if now > datetime.fromisoformat(self.until) + LATE:
            return f"its time was over at {self.until}"
        return None

    def _lives(self) -> bool:
        if (began := started_at(self.pid)) is not None:
            return began == self.began
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True  # another user's, and /proc hides those here: it is believed
        except (ProcessLookupError, OverflowError):
            return False
        return False  # a zombie


def owner_of(namespace: Document) -> Owner | None:
    """The owner that a namespace names; None where it is nobody's of ours."""
    return owner_in((namespace["metadata"].get("annotations") or {}).get(OWNER_NOTE))


def owner_in(note: str | None) -> Owner | None:
    """The owner that a note names; None where it is not of the form that ours have."""
    try:
        found = Owner(**json.loads(note or ""))
        whole = isinstance(found.machine, str) and isinstance(found.pid, int) and isinstance(found.began, str)
        return found if whole and datetime.fromisoformat(found.until).tzinfo is not None else None
    except (ValueError, TypeError):
        return None


def marks(run_id: str, part: str, owner: Owner, *, kept: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of a namespace of ours."""
    notes = {OWNER_NOTE: owner.note(), **({KEPT_NOTE: GOES_ON} if kept else {})}
    labels = {RUN_LABEL: run_id, PART_LABEL: part, "app.kubernetes.io/managed-by": "vllm-slo"}
    return labels, notes


def _machine() -> str:
    """This machine since its last start, and nothing that names it.

    Containers on one host share its kernel, and their image's machine-id, but not what a process id means.
    """
    parts = [Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id")]
    read = [part.read_text().strip() for part in parts if part.is_file()]
    with contextlib.suppress(OSError):  # not Linux
        read.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("".join(read or [os.uname().nodename]).encode()).hexdigest()[:16]
