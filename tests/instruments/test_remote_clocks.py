"""Clocks of several machines: known within half an exchange, and instants moved by what they differ."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from instruments.clock import NANOSECONDS
from instruments.merging import PartClock
from instruments.records import Outcome, Phase, RequestRecord, moved
from instruments.remote.clocks import Exchange, offset_of
from instruments.statistics.client import apart_reasons
from tests.instruments.shapes import CALM

MS = 1_000_000


def test_the_quickest_exchange_tells_the_offset_and_half_of_it_is_the_error() -> None:
    """Sent at 200, received at 240: the middle is 220; 1000 then is 780 ahead, 20 either way."""
    slow, quick = Exchange(100, 1_000, 180), Exchange(200, 1_000, 240)
    found = offset_of([slow, quick, slow])
    assert (found.offset_ns, found.error_ns, found.at_ns, found.exchanges) == (780, 20, 220, 3)


def test_the_true_offset_is_within_the_error_however_lopsided_the_ways_are() -> None:
    draw = Random(7)
    for _ in range(200):
        true_ns = draw.randrange(-(10**15), 10**15)
        exchanges = []
        for _ in range(25):
            there, back = round(draw.expovariate(1e-6)), round(draw.expovariate(1e-5))
            sent = draw.randrange(10**12)
            exchanges.append(Exchange(sent, sent + there + true_ns, sent + there + back))
        found = offset_of(exchanges)
        assert abs(found.offset_ns - true_ns) <= found.error_ns


def clock(before: tuple[int, int], after: tuple[int, int] | None, error_ns: int = 1_000) -> PartClock:
    """(at_ns, offset_ns) before and after."""

    def told(one: tuple[int, int]) -> dict[str, int]:
        return {"at_ns": one[0], "offset_ns": one[1], "error_ns": error_ns}

    part: dict[str, Any] = {"post": "p", "clock": told(before)}
    return PartClock.of(part if after is None else {**part, "arrived": {"clock": told(after)}})


def test_a_clock_that_drifts_is_ahead_by_its_share_of_the_way() -> None:
    """Ahead by 1,000 s at first and 10 ms more after 100 s: 5 ms more in the middle of that."""
    ahead = 1_000 * NANOSECONDS
    drifting = clock((0, ahead), (100 * NANOSECONDS, ahead + 10 * MS))
    assert drifting.ahead_ns(ahead) == ahead
    assert drifting.ahead_ns(ahead + 100 * NANOSECONDS + 10 * MS) == ahead + 10 * MS
    assert drifting.ahead_ns(ahead + 50 * NANOSECONDS + 5 * MS) == ahead + 5 * MS
    assert drifting.near_ns(ahead + 50 * NANOSECONDS + 5 * MS) == 50 * NANOSECONDS
    assert drifting.error_ns == 10 * MS + 1_000


def test_the_error_holds_whenever_the_clock_drifted() -> None:
    """It drifts one way between two exchanges, by fits and starts; told offsets are off by 1 µs at most."""
    draw = Random(8)
    for _ in range(500):
        way, error_ns = draw.choice((-1, 1)), 1_000
        steps = [draw.choice((0, 0, draw.randrange(MS))) for _ in range(10)]  # in each of ten seconds
        true_ns = [way * sum(steps[:second]) for second in range(11)]
        told = [true_ns[at] + draw.randrange(-error_ns, error_ns + 1) for at in (0, 10)]
        found = clock((0, told[0]), (10 * NANOSECONDS, told[1]), error_ns)
        for second, ahead_ns in enumerate(true_ns):
            off_ns = found.near_ns(second * NANOSECONDS + ahead_ns) - second * NANOSECONDS
            assert abs(off_ns) <= found.error_ns + 1  # a nanosecond of rounding


def test_a_part_that_was_cut_off_is_moved_by_what_was_known_before() -> None:
    cut = clock((500, 2_000), None)
    assert (cut.near_ns(9_000), cut.error_ns) == (7_000, 1_000)


def test_a_record_is_moved_as_a_whole() -> None:
    record = RequestRecord(
        3, "r", 1, Phase.MEASURED, Outcome.COMPLETED, 100, 110, 120, 130, 140, 160, 170,
        chunks_ns=(140, 150, 160), connect_ns=7, read_lag_ns=5, left_ns=None,
    )  # fmt: skip
    later = moved(record, 1_000)
    instants = (
        "due_ns",
        "sent_ns",
        "headers_ns",
        "first_data_ns",
        "first_token_ns",
        "last_token_ns",
        "done_ns",
    )
    assert [getattr(later, name) for name in instants] == [1_100, 1_110, 1_120, 1_130, 1_140, 1_160, 1_170]
    assert (later.chunks_ns, later.left_ns) == ((1_140, 1_150, 1_160), None)
    assert (later.connect_ns, later.read_lag_ns, later.index) == (7, 5, 3)  # spans are no instants
    assert moved(record, 0) is record


def test_every_instant_of_a_record_is_moved() -> None:
    """By the names of the fields: those of an instant end in _ns, and spans are named here."""
    spans = {"connect_ns", "tls_ns", "dns_ns", "read_lag_ns"}
    names = [name for name in RequestRecord.__slots__ if name.endswith("_ns") and name != "chunks_ns"]
    instants: dict[str, Any] = dict.fromkeys(names, 5)
    whole = RequestRecord(0, "r", 0, Phase.MEASURED, Outcome.COMPLETED, **instants)
    later = moved(whole, 100)
    assert {name for name in names if getattr(later, name) == 105} == set(names) - spans


@pytest.mark.parametrize(
    ("spread_s", "error_s", "window_s", "said"),
    [
        (0.04, 0.001, 10.0, ()),
        (0.06, 0.001, 10.0, ("the machines began 0.06 s apart (bound: 0.05 s)",)),
        (0.0, 0.051, 10.0, ("their starts and clocks leave 0.102 s of a window of 10 s open (bound: 1%)",)),
        (0.0, 0.049, 10.0, ()),
        (0.02, 0.0, 1.0, ("their starts and clocks leave 0.02 s of a window of 1 s open (bound: 1%)",)),
        (None, None, 1.0, ()),
    ],
)
def test_machines_too_far_apart_are_said(
    spread_s: float | None, error_s: float | None, window_s: float, said: tuple[str, ...]
) -> None:
    check = replace(CALM, start_spread_s=spread_s, clock_error_s=error_s)
    assert apart_reasons(check, window_s) == said
