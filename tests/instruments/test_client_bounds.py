"""How late stamps may be, and what makes a run void: each bound alone, just within and just beyond."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from instruments.records import ClientCheck
from instruments.statistics.client import KERNEL_ERROR_S, stamp_error_s, void_reasons

CALM = ClientCheck(0.001, 0.002, 0.0, 0.3, stamps="kernel", littles_ratio=1.0, littles_excess_s=0.02)


def reasons(check: ClientCheck | None = CALM, **numbers: Any) -> tuple[str, ...]:
    given: dict[str, Any] = {
        "open_loop": True,
        "send_lag_p99_s": 0.0,
        "offered_per_s": None,
        "achieved_per_s": None,
        "requests": 100,
    }
    return void_reasons(check, **given | numbers)


def test_a_calm_client_voids_nothing() -> None:
    assert reasons() == ()
    assert reasons(None) == ()


@pytest.mark.parametrize(
    ("within", "beyond", "said"),
    [
        ({"loop_lag_p99_s": 0.25}, {"loop_lag_p99_s": 0.3}, "loop was 0.3 s late at p99 (bound: 0.25 s)"),
        ({"gc_pause_max_s": 0.1}, {"gc_pause_max_s": 0.2}, "garbage collection paused the client for 0.2 s"),
        ({"cpu_share": 0.95}, {"cpu_share": 0.97}, "used 97% of a core (bound: 95%)"),
        ({"clock_steps": 0}, {"clock_steps": 1}, "was set 1 times"),
        ({"littles_ratio": 1.04}, {"littles_ratio": 1.06}, "1.06 times as many requests were in flight"),
        ({"littles_ratio": 0.96}, {"littles_ratio": 0.9}, "0.9 times as many requests were in flight"),
        ({"littles_ratio": None}, {"littles_ratio": 2.0}, "Little's law"),
        (
            {"littles_ratio": 1.2, "littles_excess_s": 0.004},  # of answers that take some milliseconds
            {"littles_ratio": 1.2, "littles_excess_s": 0.006},
            "1.2 times as many",
        ),
    ],
)
def test_each_bound_of_the_process(within: dict[str, Any], beyond: dict[str, Any], said: str) -> None:
    assert reasons(replace(CALM, **within)) == ()
    (reason,) = reasons(replace(CALM, **beyond))
    assert said in reason


@pytest.mark.parametrize(
    ("within", "beyond", "said"),
    [
        ({"send_lag_p99_s": 0.1}, {"send_lag_p99_s": 0.25}, "requests were sent 0.25 s late at p99"),
        (
            {"offered_per_s": 200.0, "achieved_per_s": 198.5},
            {"offered_per_s": 200.0, "achieved_per_s": 190.0},
            "190 requests a second were sent where 200 were due (bound: 1% apart)",
        ),
    ],
)
def test_each_bound_of_the_requests(within: dict[str, Any], beyond: dict[str, Any], said: str) -> None:
    assert reasons(**within) == ()
    (reason,) = reasons(**beyond)
    assert said in reason


def test_users_who_are_sent_late_think_a_little_longer_and_void_nothing() -> None:
    assert reasons(open_loop=False, send_lag_p99_s=0.25) == ()


def test_rates_of_a_handful_of_requests_say_nothing() -> None:
    off: dict[str, Any] = {"offered_per_s": 200.0, "achieved_per_s": 100.0}
    assert reasons(replace(CALM, littles_ratio=3.0), requests=49, **off) == ()
    assert len(reasons(replace(CALM, littles_ratio=3.0), requests=50, **off)) == 2


@pytest.mark.parametrize(
    ("stamps", "calibrated_s", "error_s"),
    [
        ("kernel", None, KERNEL_ERROR_S),
        ("kernel", 0.00004, 0.00004),
        ("user", None, 0.001),
        ("user", 0.02, 0.02),
        ("user", 0.00004, 0.001),  # calm then, and not now
        ("mixed", None, 0.001),
    ],
)
def test_what_a_stamp_is_worth(stamps: str, calibrated_s: float | None, error_s: float) -> None:
    assert stamp_error_s(replace(CALM, stamps=stamps), calibrated_s) == error_s
    assert stamp_error_s(None, calibrated_s) is None


@pytest.mark.parametrize(
    ("gap_s", "error_s"), [(0.02, KERNEL_ERROR_S), (0.0009, 0.001), (None, KERNEL_ERROR_S)]
)
def test_a_loop_later_than_the_chunks_are_apart_reads_several_with_one_stamp(
    gap_s: float | None, error_s: float
) -> None:
    assert stamp_error_s(CALM, None, gap_s=gap_s) == error_s  # its loop is a millisecond late
    unread = stamp_error_s(CALM, None, gap_s=gap_s, read_lag_s=0.03)
    assert unread == (KERNEL_ERROR_S if gap_s is None else 0.03)
