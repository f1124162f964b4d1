"""Exit codes of a judged run: the same numbers whether pytest or `python -m reports` gives them."""

from __future__ import annotations

from enum import IntEnum


class VerdictExit(IntEnum):
    """What a shell or a pipeline sees. 0 to 2 agree with pytest's own; 10 and above are ours."""

    MET = 0
    CLAIMS_HOLD = 0  # every claim passed, and no objective was there to judge
    FAILED = 1  # a claim failed or ended in error, for another reason than an objective
    INTERRUPTED = 2  # the session never finished
    UNREADABLE = 2  # `python -m reports` was asked for what it cannot read, write or understand
    VIOLATED = 10
    INCONCLUSIVE = 11
    NOTHING_MEASURED = 12
