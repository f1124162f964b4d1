"""Exit statuses of commands that judge: those of `python -m reports` and of pytest's runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from instruments.slo import State
from instruments.statistics.comparison import Change

SIMULATED = "SIMULATED: this says nothing of a real engine"


class JudgedExit(IntEnum):
    """What a shell or a pipeline sees; 2, for what cannot be read or asked, comes from the errors."""

    GOOD = 0
    VIOLATED = 10
    INCONCLUSIVE = 11
    NOTHING_MEASURED = 12


OF_CHANGE = {
    Change.WORSE: JudgedExit.VIOLATED,
    Change.INCONCLUSIVE: JudgedExit.INCONCLUSIVE,
    Change.EQUIVALENT: JudgedExit.GOOD,
    Change.BETTER: JudgedExit.GOOD,
}
OF_STATE = {
    State.MET: JudgedExit.GOOD,
    State.VIOLATED: JudgedExit.VIOLATED,
    State.INCONCLUSIVE: JudgedExit.INCONCLUSIVE,
}


def say(text: str) -> None:
    """On standard output, whatever it can spell."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))  # noqa: T201 - a command line speaks here


def say_json(document: Mapping[str, Any]) -> None:
    say(json.dumps(document, indent=2))


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command line speaks here
