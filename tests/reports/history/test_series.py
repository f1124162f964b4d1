"""A value over runs: what counts, where it is cut, what it is called in words and drawn as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reports.history.drawing import trend_strip
from reports.history.drift import Move
from reports.history.entries import Entry
from reports.history.series import Series, known_names, series_of
from reports.history.text import spark
from reports.history.told import found_words, left_out
from tests.reports.history.shelves import FINGERPRINT, entry, load, objective

NEWER = FINGERPRINT | {"engine.version": "vllm 0.32.0"}


def history(folder: Path, values: Sequence[float | None], **changes: Any) -> list[Entry]:
    return [
        entry(folder, day, objective(value, **changes), **({} if day < 3 else {"fingerprint": NEWER}))
        for day, value in enumerate(values, 1)
    ]


def only(entries: list[Entry], name: str = "chat.ttft", across: tuple[str, ...] = ()) -> Series:
    (found,) = series_of(entries, name, across)
    return found


def test_runs_unlike_the_newest_are_shown_and_do_not_count(tmp_path: Path) -> None:
    series = only(history(tmp_path, [9.0, 9.1, 1.0, 1.1, 1.2]))
    assert [one.like for one in series.points] == [False, False, True, True, True]
    assert series.values == (1.0, 1.1, 1.2)
    assert [one.changed for one in series.points] == [(), (), ("engine.version",), (), ()]
    assert [len(one) for one in series.segments()] == [2, 3]
    assert next(iter(left_out(series))) == (
        "not counted, unlike the newest (engine.version): "
        "20261101T060000Z-local-0001, 20261102T060000Z-local-0002"
    )


def test_across_joins_them(tmp_path: Path) -> None:
    series = only(history(tmp_path, [9.0, 9.1, 1.0]), across=("engine.version",))
    assert (series.values, len(series.segments())) == ((9.0, 9.1, 1.0), 1)


def test_a_definition_that_changed_cuts_the_series_too(tmp_path: Path) -> None:
    entries = [
        entry(tmp_path, 1, objective(1.0)),
        entry(tmp_path, 2, objective(2.0, statistic="p99")),
    ]
    series = only(entries)
    assert [(one.like, one.changed) for one in series.points] == [(False, ()), (True, ("statistic",))]


def test_drift_is_asked_of_like_runs_alone(tmp_path: Path) -> None:
    # Two unlike runs at 9, then six in order: all 15 pairs rise, p = 2/720.
    entries = history(tmp_path, [9.0, 9.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
    series = only(entries)
    found = series.drift()
    assert found.move is Move.WORSE
    assert found.slow is not None
    assert found.slow.p == pytest.approx(2 / 720)
    # The median of all pairs' slopes is 0.1 s a run, and from the first to the last are five.
    assert found_words(series, found) == (
        "over 6 like runs: slowly, by +0.5 s (+50 %) from first to last, p = 0.0028"
    )
    assert only(entries[:-1]).drift().move is Move.NOT_ENOUGH


def test_less_is_worse_where_the_limit_is_from_below(tmp_path: Path) -> None:
    falling = [1.0 - day / 100 for day in range(8)]
    rate = {"indicator": "requests_per_s", "statistic": "rate", "at_most": None, "at_least": 0.5}
    assert only(history(tmp_path / "rate", falling, **rate)).drift().move is Move.WORSE
    assert only(history(tmp_path / "time", falling)).drift().move is Move.BETTER


def test_a_newest_run_without_a_value_is_not_enough_however_many_there_were(tmp_path: Path) -> None:
    series = only(history(tmp_path, [1.0] * 10 + [None]))
    assert series.drift().move is Move.NOT_ENOUGH
    assert "has no value" in found_words(series, series.drift())


def test_names_are_ids_indicators_and_rates(tmp_path: Path) -> None:
    entries = [
        entry(tmp_path, 1, objective(1.0), objective(2.0, id="chat.p50", statistic="p50"), loads=[load(7.0)])
    ]
    assert [one.name for one in series_of(entries, "ttft_s")] == ["chat.ttft", "chat.p50"]
    assert [one.name for one in series_of(entries, "chat.p50")] == ["chat.p50"]
    (rate,) = series_of(entries, "output_tokens_per_s")
    assert (rate.name, rate.values, rate.worse) == ("chat-10 output_tokens_per_s", (448.0,), -1)
    assert series_of(entries, "nothing") == []
    assert {"ttft_s", "chat.p50", "completed_per_s"} <= set(known_names(entries))


def test_a_line_of_blocks(tmp_path: Path) -> None:
    # From 1 to 8 a block each; the fingerprint changed before the third run; one run has no value.
    assert spark(only(history(tmp_path, [1.0, 8.0, 4.0, None, 2.0]))) == "▁█┊▄·▂"
    assert spark(only(history(tmp_path / "flat", [1.0, 1.0]))) == "▄▄"


def test_the_strip_by_hand(tmp_path: Path) -> None:
    # Five runs lie 37 apart from 6 to 154; values from 1 to 3 from the bottom (28) to the top (6): 2 is 17.
    series = only(history(tmp_path, [1.0, 3.0, 2.0, None, 3.0]))
    strip = trend_strip(series, limit=100.0)
    assert strip is not None
    assert [(one.x, one.y, one.like, one.now) for one in strip.marks] == [
        (6.0, 28.0, False, False),
        (43.0, 6.0, False, False),
        (80.0, 17.0, True, False),
        (154.0, 6.0, True, True),
    ]
    # Nothing is joined where the fingerprint changed, nor across the run without a value.
    assert strip.lines == ("6.0,28.0 43.0,6.0",)
    assert (strip.breaks, strip.limit) == ((61.5,), None)
    assert strip.words == (
        "TTFT p95 (chat), limit ≤ 1.2 s, the last 5 runs; 2 runs like this one: 2 s to 3 s; now 3 s; "
        "2 unlike, drawn hollow; the fingerprint changed 1 time; 1 without a value"
    )


def test_a_limit_near_the_values_is_drawn(tmp_path: Path) -> None:
    # Values 1 and 2, limit 3: from 28 for 1 over 17 for 2 to 6 for the limit.
    strip = trend_strip(only(history(tmp_path, [1.0, 2.0])), limit=3.0)
    assert strip is not None
    assert (strip.limit, [one.y for one in strip.marks]) == (6.0, [28.0, 17.0])


def test_one_value_is_no_strip(tmp_path: Path) -> None:
    assert trend_strip(only(history(tmp_path, [1.0])), limit=3.0) is None
