"""The record of a server around a load: what a file gives back is what was put in, or a told problem."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from instruments.telemetry import Snapshot
from instruments.telemetry.exposition import parse_exposition
from instruments.telemetry.histograms import between
from instruments.telemetry.record import Series, ServerRecord, nothing_known
from tests.instruments.exposing import v1

RECORD = ServerRecord(
    source="Prometheus",
    before=parse_exposition(v1(tokens=10)),
    after=parse_exposition(v1(tokens=250, ttft=(3, 7, 9)) + v1(engine=1, tokens=1)),
    series={"running": Series((1.25, 2.25), (3.0, 4.0)), "gpu0.power_w": Series()},
    every_s=1.0,
    clock_error_s=0.0025,
    problems=("Prometheus did not answer",),
    clock_offset_s=-0.5,
)
OLD = {"before": {"vllm:generation_tokens_total": 1.0}, "after": {"error": "cannot be scraped"}}


def through_a_file(record: ServerRecord) -> ServerRecord:
    return ServerRecord.from_document(json.loads(json.dumps(record.document(), allow_nan=False)))


def test_a_file_gives_back_what_was_put_in_labels_and_buckets_included() -> None:
    read = through_a_file(RECORD)
    assert read == RECORD
    assert read.before is not None
    assert read.after is not None
    found = between(read.before, read.after, "vllm:time_to_first_token_seconds", engine="0")
    assert found is not None
    assert found.cumulative == (3, 7)


def test_a_record_of_nothing_goes_through_a_file_too() -> None:
    assert through_a_file(nothing_known("no metrics here")) == ServerRecord(
        "none", problems=("no metrics here",)
    )


def test_what_is_no_number_or_infinite_survives_strict_json() -> None:
    samples = {
        ("a", frozenset({("x", "1")})): math.nan,
        ("a", frozenset({("x", "2")})): math.inf,
        ("a", frozenset[tuple[str, str]]()): -math.inf,
    }
    read = through_a_file(
        ServerRecord("direct scrape", Snapshot(samples), series={"a": Series((1,), (math.nan,))})
    )
    assert read.before is not None
    assert {key: str(value) for key, value in read.before.samples.items()} == {
        key: str(value) for key, value in samples.items()
    }
    assert str(read.series["a"].values) == "(nan,)"


def test_a_file_of_an_earlier_version_is_a_problem_and_no_crash() -> None:
    read = ServerRecord.from_document(OLD)
    assert (read.before, read.after, dict(read.series)) == (None, None, {})
    assert len(read.problems) == 1
    assert "earlier version" in read.problems[0]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (None, "cannot be read"),
        ([], "cannot be read"),
        ({}, "schema None"),
        ({**RECORD.document(), "schema": 99}, "schema 99"),
        ({"schema": 1}, "KeyError: 'source'"),
        ({**RECORD.document(), "series": {"running": {"at_s": [1], "values": ["many"]}}}, "ValueError"),
        ({**RECORD.document(), "before": {"samples": {"a": [1]}, "families": {}}}, "TypeError"),
        ({**RECORD.document(), "before": 3}, "TypeError"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_crash(document: Any, words: str) -> None:
    read = ServerRecord.from_document(document)
    assert (read.before, read.after) == (None, None)
    assert words in read.problems[0]


def test_a_window_of_a_series_has_its_ends() -> None:
    series = Series((1, 2, 3, 4), (10, math.nan, 30, 40))
    assert series.within(1, 3).at_s == (1, 2, 3)
    assert series.numbers() == Series((1, 3, 4), (10, 30, 40))
    assert series.within(5, 6) == Series()


def test_the_time_between_samples_is_that_of_most_of_them() -> None:
    assert Series((0, 1, 2, 9, 10), (0,) * 5).every_s() == 1
    assert Series((0,), (0,)).every_s() is None
