"""How much of a large run a page shows: below 2 MB, and what is left out is said on the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

MOST_BYTES = 1_950_000  # of a whole page: 2 MB less what a mail or a wiki adds


@dataclass(frozen=True, slots=True)
class Room:
    """Counts of things, and characters of texts."""

    objectives_open: int = 30
    objectives_folded: int = 90
    failed_open: int = 6
    failed_folded: int = 150
    details: int = 80
    details_characters: int = 260_000
    cases: int = 2_500
    files: int = 120
    laws: int = 60
    problems_open: int = 8
    problems_folded: int = 60
    incidents: int = 8
    logs_characters: int = 48_000
    clients_open: int = 8
    clients_folded: int = 160
    fingerprint: int = 120
    text: int = 13_000  # of any one text: more than of a log


FULL = Room()
# For a run that is large in every way at once.
LEAN = Room(
    objectives_open=20,
    objectives_folded=20,
    failed_folded=40,
    details=12,
    details_characters=36_000,
    cases=400,
    files=60,
    laws=20,
    problems_folded=20,
    incidents=3,
    logs_characters=12_000,
    clients_folded=30,
    fingerprint=60,
)
# For names and messages that are as long as nobody would write them.
BARE = replace(LEAN, details=0, text=240)
LONGEST_LINE = 240
LONGEST_DETAIL = 6_000
LONGEST_LOG = 12_000
LONGEST_REASON = 700
LONGEST_VALUE = 1_200


def cut(text: str, longest: int) -> str:
    """The beginning of a text, and how much is missing."""
    left_out = len(text) - longest
    return text if left_out <= 0 else f"{text[:longest]} … {left_out:,} characters left out"
