"""Burn rates: over which windows, and how many times too fast, a budget may burn before somebody is told.

The table of the Google SRE workbook (chapter 5, "multiwindow, multi-burn-rate alerts"): an alert fires
when both a long window and a short one burn too fast; the short one lets it end soon after the trouble has.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from instruments.errors import ConfigurationError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
UNITS_S = {"d": DAY, "h": HOUR, "m": MINUTE, "s": 1.0}
SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 28 * DAY, 92 * DAY
# rate() needs two samples; with four intervals one scrape may be late and another one lost.
SCRAPES_LEAST = 4
# A rule is evaluated twenty times within the shortest window that it records, and at least every 30 s.
EVALUATIONS, SLOWEST_S = 20, 30.0
# An alert waits for traffic in which ten bad events stand at its threshold: with a true share of half
# the threshold more than ten are then seen in 1.4 % of windows (Poisson, mean 5).
BAD_LEAST = 10

Severity = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One alert: both windows burn the budget more than `factor` times as fast as it would just last."""

    severity: Severity
    factor: float
    long_s: float
    short_s: float

    def threshold(self, bad_share: float) -> float | None:
        """The share of bad events to be above; None where no share is: 14.4 times a budget of 10 %."""
        share = self.factor * bad_share
        return None if share >= 1 else share

    def events_least(self, bad_share: float) -> int:
        """How many events the long window must hold before a share above the threshold is news."""
        return math.ceil(round(BAD_LEAST / (self.factor * bad_share), 6))


# (severity, share of a period's budget that is gone by then, long window, short window)
WORKBOOK: tuple[tuple[Severity, float, float, float], ...] = (
    ("page", 0.02, HOUR, 5 * MINUTE),
    ("page", 0.05, 6 * HOUR, 30 * MINUTE),
    ("ticket", 0.10, DAY, 2 * HOUR),
    ("ticket", 0.10, 3 * DAY, 6 * HOUR),
)
QUICK_S = 2 * HOUR  # windows up to here are evaluated more often than longer ones


@dataclass(frozen=True, slots=True)
class Plan:
    """All windows and alerts of one rules file. Times in seconds."""

    title: str  # "a period of 30d"
    lasts_s: float  # how long a budget has to last
    trend_s: float  # over which the mean and the p95 of a gauge are taken
    scrape_s: float
    quick_s: float
    pairs: tuple[Pair, ...]
    dropped: tuple[str, ...] = ()  # alerts that there is no room for, and why

    @property
    def windows_s(self) -> tuple[float, ...]:
        """Every window that an alert looks at, shortest first."""
        return tuple(sorted({one for pair in self.pairs for one in (pair.short_s, pair.long_s)}))

    def is_quick(self, window_s: float) -> bool:
        """Whether a window belongs to the rules that are evaluated more often."""
        return window_s <= self.quick_s

    def every_s(self, *, quick: bool) -> float:
        """How often rules of the one kind or the other are evaluated: whole seconds."""
        windows = [one for one in self.windows_s if self.is_quick(one) is quick]
        wanted = min(windows, default=SLOWEST_S * EVALUATIONS) / EVALUATIONS
        return float(math.floor(min(max(wanted, self.scrape_s), max(SLOWEST_S, self.scrape_s))))


def for_period(period_s: float = 30 * DAY, scrape_s: float = 15.0) -> Plan:
    """The workbook's windows, and its shares of a budget: factors of 14.4, 6, 3 and 1 for 30 days."""
    _check_scrape(scrape_s)
    if not SHORTEST_PERIOD_S <= period_s <= LONGEST_PERIOD_S:
        raise ConfigurationError(
            "the windows of these alerts, up to 3 days, make sense for a period of about a month",
            expected=f"{duration(SHORTEST_PERIOD_S)} to {duration(LONGEST_PERIOD_S)}",
            seen=duration(period_s),
            hint="for one load that lasts for minutes, --scale",
        )
    shortest_s = WORKBOOK[0][3]
    if shortest_s < SCRAPES_LEAST * scrape_s:
        raise ConfigurationError(
            f"a window of {duration(shortest_s)} holds too few scrapes",
            expected=f"a scrape each {duration(shortest_s / SCRAPES_LEAST)} or more often",
            seen=f"one each {duration(scrape_s)}",
        )
    pairs = tuple(
        Pair(severity, round(share * period_s / long_s, 6), long_s, short_s)
        for severity, share, long_s, short_s in WORKBOOK
    )
    return Plan(f"a period of {duration(period_s)}", period_s, HOUR, scrape_s, QUICK_S, pairs)


def for_run(run_s: float, scrape_s: float = 1.0) -> Plan:
    """The same alerts for one load: the longest window, 3 days, becomes the run, others in proportion.

    Factors stay 14.4, 6, 3, 1, so the last alert says that the run as a whole is over its objective. (To
    take the run for the period would make 5 minutes 0.07 s of a run of ten.) A window is never shorter than
    four scrapes, and is rounded up to whole seconds; an alert whose long window would be no longer than that
    is left out, as two equal windows say nothing that one does not. ConfigurationError for a run that leaves
    too few of them.
    """
    _check_scrape(scrape_s)
    scale = run_s / (3 * DAY)
    floor_s = math.ceil(SCRAPES_LEAST * scrape_s)
    shortest_run_s = floor_s * 3 * DAY / (6 * HOUR)
    if not shortest_run_s < run_s < SHORTEST_PERIOD_S:
        raise ConfigurationError(
            f"a run of {duration(run_s)} cannot be scaled to",
            expected=f"longer than {duration(shortest_run_s)} at a scrape each {duration(scrape_s)}, "
            f"and shorter than {duration(SHORTEST_PERIOD_S)}",
            seen=duration(run_s),
            hint="scrape more often (--scrape-interval), or let the objectives judge the run's own records",
        )

    def scaled(window_s: float) -> float:
        return float(max(floor_s, math.ceil(round(window_s * scale, 6))))

    pairs, dropped = [], []
    for severity, share, long_s, short_s in WORKBOOK:
        factor = round(share * 30 * DAY / long_s, 6)
        if scaled(long_s) > floor_s:
            pairs.append(Pair(severity, factor, scaled(long_s), scaled(short_s)))
        else:
            dropped.append(
                f"{factor:g} times over {duration(long_s)} and {duration(short_s)}: no longer than "
                f"{SCRAPES_LEAST} scrapes"
            )
    title = f"a run of {duration(run_s)}"
    return Plan(title, run_s, run_s, scrape_s, scaled(QUICK_S), tuple(pairs), tuple(dropped))


def _check_scrape(scrape_s: float) -> None:
    if scrape_s < 1 or scrape_s != int(scrape_s):
        raise ConfigurationError(
            "scrapes are whole seconds apart", expected="1s or more", seen=f"{scrape_s:g} s"
        )


def duration(seconds: float) -> str:
    """As Prometheus writes it: 3m20s. Fractions of a second in milliseconds."""
    rest, words = round(seconds, 3), ""
    for unit, size in UNITS_S.items():
        whole, rest = divmod(rest, size)
        words += f"{whole:.0f}{unit}" if whole else ""
    milliseconds = round(rest * 1000)
    return words + (f"{milliseconds}ms" if milliseconds else "") or "0s"


def seconds_of(words: str) -> float:
    """30d, 10m, 1h30m in seconds. ValueError for anything else, and for nothing at all."""
    found = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", words)
    numbers = [int(one or 0) for one in found.groups()] if found else []
    if not any(numbers):
        raise ValueError(f"a duration is written like 30d, 10m or 1h30m, got {words!r}")
    return sum(number * size for number, size in zip(numbers, UNITS_S.values(), strict=True))
