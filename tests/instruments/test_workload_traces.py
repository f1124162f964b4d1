"""Workloads from traces: Mooncake's and Azure's lengths and times, in prompts of our own words."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from instruments.arrivals import Replay
from instruments.errors import ConfigurationError
from instruments.records import Request
from instruments.workloads.entries import Entry
from instruments.workloads.files import FileWorkload
from instruments.workloads.traces import read_azure, read_mooncake
from instruments.workloads.vocabulary import WORDS_AS_TOKENS, Vocabulary


class Tracked(Entry):
    """One that can be asked whether it is still there."""

    __slots__ = ("__weakref__",)


def mooncake(folder: Path, *lines: object, **fields: Any) -> FileWorkload:
    path = folder / "trace.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    told = {"block_tokens": 8, **fields}
    return FileWorkload(id="t", description="d", path=str(path), format="mooncake", **told)


def azure(folder: Path, *lines: str, **fields: Any) -> FileWorkload:
    path = folder / "trace.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return FileWorkload(id="t", description="d", path=str(path), format="azure", **fields)


def requests(made: FileWorkload, vocabulary: Vocabulary = WORDS_AS_TOKENS) -> list[Request]:
    return list(made.requests("m", 1, vocabulary))


def words(one: Request) -> list[str]:
    return str(one.body["messages"][0]["content"]).split()


def refused(made: FileWorkload) -> str:
    with pytest.raises(ConfigurationError) as caught:
        made.check()
    return str(caught.value)


def line(timestamp: float, tokens: int, output: int, *hash_ids: int) -> dict[str, object]:
    return {
        "timestamp": timestamp,
        "input_length": tokens,
        "output_length": output,
        "hash_ids": list(hash_ids),
    }


def test_a_mooncake_trace_gives_times_and_lengths(tmp_path: Path) -> None:
    made = mooncake(tmp_path, line(27_000, 20, 5, 1, 2, 3), line(30_500, 8, 6, 9), line(28_000, 9, 7, 1, 4))
    assert made.arrivals == Replay((0.0, 1.0, 3.5))
    assert [one.body["max_tokens"] for one in requests(made)] == [5, 7, 6]
    assert [one.prompt_tokens_asked for one in requests(made)] == [20, 9, 8]
    assert [len(words(one)) for one in requests(made)] == [20, 9, 8]


def test_equal_hash_ids_are_equal_blocks_and_others_are_others(tmp_path: Path) -> None:
    made = mooncake(
        tmp_path,
        line(0, 24, 1, 1, 2, 3),
        line(1, 24, 1, 1, 2, 4),
        line(2, 20, 1, 1, 2, 3),
        line(3, 24, 1, 5, 6, 7),
    )
    one, two, short, other = (words(request) for request in requests(made))
    assert one[:16] == two[:16]
    assert one[16:] != two[16:]
    assert short == one[:20]
    assert other[1:8] != one[1:8]


def test_blocks_begin_where_the_servers_begin_whatever_the_template_takes(tmp_path: Path) -> None:
    vocabulary = Vocabulary(WORDS_AS_TOKENS.words, WORDS_AS_TOKENS.costs, 2, 5, "by hand", exact=True)
    made = mooncake(tmp_path, line(0, 24, 1, 1, 2, 3), line(1, 24, 1, 1, 8, 9))
    one, two = (words(request) for request in requests(made, vocabulary))
    assert [len(one), len(two)] == [24 - 5 + 1] * 2  # the opening's one word costs five tokens
    assert one[:4] == two[:4]  # the rest of the first block of eight
    assert one[4:] != two[4:]


def test_a_trace_without_hash_ids_shares_nothing(tmp_path: Path) -> None:
    lines = [{"timestamp": 0, "input_length": 24, "output_length": 1} for _ in range(50)]
    made = requests(mooncake(tmp_path, *lines))
    assert len({tuple(words(one)[:8]) for one in made}) == 50


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"input_length": 8, "output_length": 1, "hash_ids": [1]}, "'timestamp': a number of at least 0"),
        (line(-1, 8, 1, 1), "'timestamp': a number"),
        (line(0, -1, 1, 1), "'input_length': a whole number of at least 0"),
        (line(0, 8, -1, 1), "'output_length': a whole number"),
        (line(0, 8, 1, 1, 2), "1 hash ids for 8 tokens in blocks of 8"),
        (line(0, 9, 1, 1), "2 hash ids for 9 tokens in blocks of 8"),
        ({**line(0, 8, 1), "hash_ids": ["a"]}, "'hash_ids': a list of whole numbers"),
        (line(10**400, 8, 1, 1), "'timestamp': a number of at least 0, and at most 1e+18"),
        (line(1e19, 8, 1, 1), "'timestamp': a number of at least 0, and at most 1e+18"),
        (line(0, 10_000_001, 1), "'input_length': at most 10,000,000 tokens"),
        (line(0, 10**400, 1), "'input_length': at most 10,000,000 tokens"),
        (line(0, 8, 10_000_001, 1), "'output_length': at most 10,000,000 tokens"),
        ({**line(0, 8, 1), "hash_ids": 5}, "'hash_ids': a list of whole numbers"),
        ([1], "a JSON object"),
    ],
)
def test_a_bad_line_of_a_mooncake_trace_is_refused_with_its_number(
    tmp_path: Path, bad: object, expected: str
) -> None:
    made = mooncake(tmp_path, line(0, 8, 1, 1), bad)
    assert f"{made.path}:2 cannot be a request" in refused(made)
    assert expected in refused(made)


HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"


def test_an_azure_trace_keeps_its_seven_digits(tmp_path: Path) -> None:
    made = azure(
        tmp_path,
        "\ufeff" + HEADER,
        "2023-11-16 18:17:03.9799600,4808,10",
        "2023-11-16 18:17:04.0319601,110,27",
        "2023-11-16 18:18:03.9799600,3,0",
    )
    assert made.arrivals == Replay((0.0, 0.0520001, 60.0))
    assert list(made.arrivals.due_ns(1)) == [0, 52_000_100, 60_000_000_000]
    assert [one.body["max_tokens"] for one in requests(made)] == [10, 27, 1]
    assert [one.prompt_tokens_asked for one in requests(made)] == [4808, 110, 3]
    assert [len(words(one)) for one in requests(made)] == [4808, 110, 3]


def test_an_azure_trace_may_name_its_time_zone_and_leave_out_a_fraction(tmp_path: Path) -> None:
    made = azure(
        tmp_path,
        HEADER,
        "2024-05-10 00:00:00.009930+00:00,10,1",
        "2024-05-10 02:00:01+02:00,20,1",
        "2024-05-10 00:00:00+00:00,30,1",
    )
    assert made.arrivals == Replay((0.0, 0.00993, 1.0))
    assert [one.prompt_tokens_asked for one in requests(made)] == [30, 10, 20]


def test_speed_and_a_number_of_first_requests_hold_of_traces(tmp_path: Path) -> None:
    rows = [f"2023-11-16 18:00:0{second}.0000000,5,5" for second in (3, 1, 2, 0)]
    made = azure(tmp_path, HEADER, *rows, speed=2.0, first=3)
    assert made.arrivals == Replay((0.0, 1.0, 2.0), 2.0)
    assert made.check() == len(requests(made)) == 3


@pytest.mark.parametrize(
    ("rows", "number", "expected"),
    [
        (["TIME,ContextTokens,GeneratedTokens"], 1, "the columns TIMESTAMP, ContextTokens"),
        ([HEADER, "2023-11-16 18:00:00.0000000,5"], 2, "3 cells"),
        ([HEADER, "", "16.11.2023,5,5"], 3, "TIMESTAMP: as 2023-11-16"),
        ([HEADER, "2023-11-16 18:00:00.00x,5,5"], 2, "TIMESTAMP: as 2023-11-16"),
        ([HEADER, "2023-11-16 18:00:00.0000000,-5,5"], 2, "ContextTokens: a whole number"),
        ([HEADER, "2023-11-16 18:00:00.0000000,5,5.5"], 2, "GeneratedTokens: a whole number"),
        ([HEADER, "2023-11-16 18:00:00.0000000,5,٥"], 2, "GeneratedTokens: a whole number"),
        ([HEADER, f"2023-11-16 18:00:00.0000000,{'9' * 5_000},5"], 2, "ContextTokens: at most 10,000,000"),
        ([HEADER, "2023-11-16 18:00:00.0000000,5,10000001"], 2, "GeneratedTokens: at most 10,000,000"),
    ],
)
def test_a_bad_line_of_an_azure_trace_is_refused_with_its_number(
    tmp_path: Path, rows: list[str], number: int, expected: str
) -> None:
    made = azure(tmp_path, *rows)
    assert f"{made.path}:{number} cannot be a request" in refused(made)
    assert expected in refused(made)


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refused(azure(tmp_path, ""))
    assert "holds no request" in refused(azure(tmp_path, HEADER))
    assert "holds no request" in refused(mooncake(tmp_path))


def test_lengths_may_have_zeros_before_them_and_reach_the_bound(tmp_path: Path) -> None:
    rows = [f"2023-11-16 18:00:00.0000000,{'0' * 5_000}7,{'0' * 5_000}", "2023-11-16 18:00:01,5,10000000"]
    (one,), (two,) = (entry.turns for entry in read_azure(Path(azure(tmp_path, HEADER, *rows).path)))
    assert (one.prompt_tokens, one.output_tokens) == (7, 1)
    assert (two.prompt_tokens, two.output_tokens) == (5, 10_000_000)


def test_of_a_long_trace_only_what_is_asked_for_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earliest ones, as of the whole trace: also of those that came together, the first written."""
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def watched(*given: Any) -> Iterator[Entry]:
        nonlocal alive, most
        for entry in read_mooncake(*given):
            tracked = Tracked(entry.line, entry.turns, entry.at_s)
            weakref.finalize(tracked, gone)
            alive, most = alive + 1, max(most, alive + 1)
            yield tracked
            del tracked

    lines = [line(1_000 * (n * 37 % 50), 8, 1 + n) for n in range(400)]
    made = mooncake(tmp_path, *lines, first=10)
    due = sorted(range(400), key=lambda n: n * 37 % 50)[:10]
    monkeypatch.setattr("instruments.workloads.recorded.read_mooncake", watched)
    assert [one.body["max_tokens"] for one in requests(made)] == [1 + n for n in due]
    assert most < 20
