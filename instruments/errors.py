"""The exception tree of the project.

    SloError                      every error that is ours to explain
    ├── ConfigurationError        an option, a profile or a catalog file is wrong: nothing was started
    ├── JournalError              a journal cannot be written or read
    ├── TelemetryError            the server's own numbers cannot be had
    ├── WorkerDied                a process that sent load ended by itself, or said nothing for too long
    ├── StackError                a stack did not start, or died            (environments.provider)
    │   ├── MissingBinary         a program the stack needs is not on this machine
    │   ├── PortTaken             a port that the profile asks for is in use
    │   ├── StackNotReady         a bounded wait ran out
    │   └── StackDied             a part of the stack ended by itself
    └── VerdictError              an objective was not met                  (instruments.slo.verdict)
        ├── ObjectiveViolated
        └── ObjectiveInconclusive

A request that fails is not an exception but an Outcome: it is data.
"""

from __future__ import annotations


class SloError(Exception):
    """An error with what a reader needs at three in the morning: expected, seen, and what to try."""

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        seen: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.expected = expected
        self.seen = seen
        self.hint = hint
        super().__init__(message)

    def facts(self) -> dict[str, str | None]:
        """What was expected, seen, and may be tried, as the arguments that they were."""
        return {"expected": self.expected, "seen": self.seen, "hint": self.hint}

    def __str__(self) -> str:
        facts = (("expected", self.expected), ("seen", self.seen), ("try", self.hint))
        return "\n".join([self.message, *(f"  {name + ':':<10}{fact}" for name, fact in facts if fact)])


class ConfigurationError(SloError):
    """An option, a profile or a catalog file is wrong; nothing was started."""


class JournalError(SloError):
    """A journal cannot be written or read."""


class TelemetryError(SloError):
    """The server's own numbers cannot be had."""


class WorkerDied(SloError):
    """A process that sent load ended by itself, or said nothing for too long."""
