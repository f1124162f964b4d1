"""When burn-rate alerts begin and end: both windows of a month and of a run, in Prometheus' own evaluator."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.slo.burn_rate import Plan, seconds_of
from tests.instruments.rule_stories import (
    EXACT,
    MONTH,
    MONTHS,
    RUN,
    RUNS,
    TTFT,
    Grown,
    Story,
    burns,
    check,
    histogram,
)

M = 'model_name="m"'


# Of 1000 first tokens a step so many are late; 14.4, 6, 3 and 1 times 5 % are 720, 300, 150 and 50 of them.
ALERTS_AT = {0: 0, 49: 0, 51: 1, 149: 1, 151: 2, 299: 2, 301: 3, 719: 3, 721: 4, 1000: 4}


@pytest.mark.parametrize(
    ("plan", "step", "windows"), [(MONTH, "1m", MONTHS), (RUN, "1s", RUNS)], ids=["month", "run"]
)
def test_an_alert_fires_above_its_threshold_and_not_below(
    tmp_path: Path, plan: Plan, step: str, windows: tuple[str, ...]
) -> None:
    """The same share all the time is the share of each window, however much of it there has been."""
    grows: dict[str, Grown] = {}
    firing: dict[str, float] = {}
    for late, alerts in ALERTS_AT.items():
        within = {"0.25": [(40, 1000 - late)], "all": [(40, 1000)]}
        grows |= histogram(TTFT, within, f'model_name="{late}"')
        firing |= {f'{{model_name="{late}", window="{one}"}}': 1 for one in windows[len(windows) - alerts :]}
    asked = 'count by (model_name, window) (ALERTS{alertname="SloBurnRate", alertstate="firing"})'
    when = f"{40 * seconds_of(step):.0f}s"
    check(tmp_path, Story(plan, step, grows, said=[(asked, when, firing)]), EXACT)


def test_within_a_run_alerts_begin_and_end_with_both_windows(tmp_path: Path) -> None:
    """80 % of 100 a second are late from 600 s to 700 s; k seconds later a window of w s holds 0.8 k / w.

    Begin: 14.4 times needs 72 % of 9 s (k > 8.1); 6 times 30 % of 50 s (k > 18.75); 3 times 15 % of 200 s
    and once 5 % of 600 s (both k > 37.5). End, k seconds after 700: the window of 4 s is clean at k = 4, that
    of 5 s at 5; of 17 s, 0.8 (17 − k) / 17 falls to 15 % at k = 13.8; of 50 s to 5 % at k = 46.9.
    """
    grows = histogram(
        TTFT,
        {"0.25": [(600, 100), (100, 20), (100, 100)], "all": [(800, 100)]},
        M,
    )
    fires = {
        "600s": set(),
        "606s": set(),
        "611s": burns("exact", "9s"),
        "615s": burns("exact", "9s"),
        "625s": burns("exact", "9s", "50s"),
        "633s": burns("exact", "9s", "50s"),
        "645s": burns("exact", *RUNS),
        "700s": burns("exact", *RUNS),
        "706s": burns("exact", "3m20s", "10m"),  # 50 s still hold 0.8 × 44 / 50 = 70 %; 5 s hold nothing
        "711s": burns("exact", "3m20s", "10m"),  # 17 s hold 0.8 × 6 / 17 = 28 %
        "720s": burns("exact", "10m"),  # 50 s hold 0.8 × 30 / 50 = 48 %
        "755s": set(),  # 600 s still hold 0.8 × 100 / 600 = 13 %; 50 s hold nothing
    }
    check(tmp_path, Story(RUN, "1s", grows, fires), EXACT)


def test_within_a_month_alerts_begin_and_end_with_both_windows(tmp_path: Path) -> None:
    """The same in minutes: 80 % late for 6 h after three good days; a window of w min holds 0.8 k / w.

    Begin: 72 % of 60 min (k > 54), 30 % of 360 (k > 135), 15 % of 1440 and 5 % of 4320 (both k > 270).
    End: 5 min are clean at k = 5; 30 min fall to 30 % at k = 18.75, 120 to 15 % at 97.5, 360 to 5 % at 337.5.
    """
    day = 24 * 60 // 4  # steps of 4 min: 5 min hold two samples
    within = [(3 * day, 100), (90, 20), (90, 100)]
    grows = histogram(TTFT, {"0.25": within, "all": [(3 * day + 180, 100)]}, M)

    def at(minutes: int) -> str:
        return f"{3 * 24 * 60 + minutes}m"

    fires = {
        at(0): set(),
        at(44): set(),
        at(76): burns("exact", "1h"),
        at(120): burns("exact", "1h"),
        at(152): burns("exact", "1h", "6h"),
        at(252): burns("exact", "1h", "6h"),
        at(300): burns("exact", *MONTHS),
        at(360): burns("exact", *MONTHS),
        at(372): burns("exact", "6h", "1d", "3d"),  # 30 min hold 0.8 × 18 / 30 = 48 %
        at(404): burns("exact", "1d", "3d"),  # 120 min hold 0.8 × 76 / 120 = 51 %
        at(480): burns("exact", "3d"),  # 360 min hold 0.8 × 240 / 360 = 53 %
        at(720): set(),
    }
    check(tmp_path, Story(MONTH, "4m", grows, fires), EXACT)


@pytest.mark.parametrize(
    ("requests", "windows"),
    [(8, ()), (25, ("1h",)), (50, ("1h", "6h")), (120, ("1h", "6h", "1d")), (260, MONTHS)],
)
def test_few_bad_requests_are_no_alert(tmp_path: Path, requests: int, windows: tuple[str, ...]) -> None:
    """All are late. Ten bad ones must be expected at the threshold: 14, 34, 67 and 200 requests."""
    grows = histogram(TTFT, {"0.25": [(13, 0)], "all": [(13, requests / 13)]}, M)
    check(tmp_path, Story(MONTH, "1m", grows, {"13m": burns("exact", *windows)}), EXACT)


@pytest.mark.parametrize(("requests", "fires"), [(10, False), (30, True)])
@pytest.mark.parametrize(
    ("plan", "step", "windows"), [(MONTH, "1m", MONTHS), (RUN, "1s", RUNS)], ids=["month", "run"]
)
def test_a_bad_share_of_too_few_requests_is_silent(
    tmp_path: Path, plan: Plan, step: str, windows: tuple[str, ...], requests: int, fires: bool
) -> None:
    """80 % are late, more than the 72, 30, 15 and 5 % of all four alerts: 10 requests are too few for each of
    them, 30 enough for the quickest, which needs 14 (the next one 34)."""
    within: dict[str, Grown] = {"0.25": [(8, 0.2 * requests / 8)], "all": [(8, requests / 8)]}
    firing = burns("exact", windows[0]) if fires else set()
    check(tmp_path, Story(plan, step, histogram(TTFT, within, M), {f"8{step[-1]}": firing}), EXACT)


def test_traffic_that_stops_takes_its_alerts_with_it(tmp_path: Path) -> None:
    """All late for 30 s, then nobody comes: the short windows empty one after the other."""
    grows = histogram(TTFT, {"0.25": [(150, 0)], "all": [(30, 100), (120, 0)]}, M)
    fires = {"30s": burns("exact", *RUNS), "40s": burns("exact", "3m20s", "10m"), "90s": set()}
    check(tmp_path, Story(RUN, "1s", grows, fires), EXACT)
