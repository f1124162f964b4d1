"""The live view: what it says, what it costs to say it, and when it says nothing."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from instruments.arrivals import ClosedLoop, Constant, Stage, Stages
from instruments.fleet import Progress
from instruments.live import Nothing, live_view
from instruments.live.due import DueByNow
from instruments.live.line import LineView, line
from instruments.live.panel import PanelView
from instruments.live.recent import VALUES_A_LOOK, Recent, RecentValues
from instruments.records import Outcome, RequestRecord
from tests.instruments.shapes import SECOND, record


def answered(count: int, *, ttft_ms: int = 100, tokens: int | None = 10) -> list[RequestRecord]:
    """Requests with this TTFT whose tokens came one by one, 20 ms apart."""
    first = ttft_ms * SECOND // 1000
    chunks = tuple(first + step * SECOND // 50 for step in range(tokens or 10))
    one = replace(record(tokens=tokens), first_token_ns=first, chunks_ns=chunks)
    return [replace(one, chunk_tokens=None if tokens is None else (1,) * tokens)] * count


def look(at_s: float, records: Sequence[RequestRecord], ended: int, users: int | None = 8) -> Progress:
    return Progress(at_s, tuple(records), ended, users)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_rates_are_of_the_last_ten_seconds_and_counts_of_all() -> None:
    recent = Recent("load", total=2_000, duration_s=None)
    # 100 requests of 10 tokens each second for 20 seconds, then 10 seconds of 50.
    ended = 0
    for second in range(1, 31):
        now = 100 if second <= 20 else 50
        ended += now
        recent.take(look(second, answered(now), ended))
    glance = recent.glance()
    assert glance is not None
    assert glance.ended == 2_500
    assert glance.requests_per_s is not None
    assert glance.requests_per_s == pytest.approx(50, rel=0.2)  # eleven looks at most are in the window
    assert glance.output_tokens_per_s == pytest.approx(10 * glance.requests_per_s)


def test_quantiles_are_right_to_one_percent() -> None:
    recent = Recent("load", None, None)
    recent.take(look(1, answered(90, ttft_ms=100) + answered(10, ttft_ms=400), 100))
    glance = recent.glance()
    assert glance is not None
    assert glance.ttft_s == pytest.approx((0.1, 0.4), rel=0.011)
    assert glance.itl_s == pytest.approx((0.02, 0.02), rel=0.011)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    recent = Recent("load", None, None)
    recent.take(look(1, answered(50, ttft_ms=900), 50))
    recent.take(look(11.5, answered(50, ttft_ms=100), 100))
    glance = recent.glance()
    assert glance is not None
    assert glance.ttft_s == pytest.approx((0.1, 0.1), rel=0.011)


def test_tokens_that_came_together_have_gaps_of_zero() -> None:
    values = RecentValues()
    values.add([0.0] * 9 + [1.0] * 11)
    assert values.p50_p95() == pytest.approx((1.0, 1.0), rel=0.011)
    values.add([0.0] * 10)
    quantiles = values.p50_p95()
    assert quantiles is not None
    assert quantiles[0] == 0.0


def test_without_values_there_are_no_quantiles() -> None:
    values = RecentValues()
    values.add([])
    assert values.p50_p95() is None
    values.add([1.0])
    values.drop()
    values.drop()
    assert values.p50_p95() is None


def test_however_many_requests_end_a_look_takes_few_values() -> None:
    recent = Recent("load", None, None)
    recent.take(look(1, answered(5_000), 5_000))
    assert 0 < sum(recent._ttft._all.values()) <= VALUES_A_LOOK
    assert 0 < sum(recent._itl._all.values()) <= VALUES_A_LOOK + 10


def test_one_long_answer_has_its_gaps_looked_at() -> None:
    recent = Recent("load", None, None)
    recent.take(look(1, answered(1, tokens=2_000), 1))
    glance = recent.glance()
    assert glance is not None
    assert glance.itl_s == pytest.approx((0.02, 0.02), rel=0.011)


def test_failures_are_counted_by_outcome() -> None:
    recent = Recent("load", None, None)
    failed = [
        record(n, outcome) for n, outcome in enumerate([Outcome.FAILED, Outcome.FAILED, Outcome.TIMED_OUT])
    ]
    recent.take(look(1, [*answered(1), *failed], 4))
    recent.take(look(60, [], 4))
    glance = recent.glance()
    assert glance is not None
    assert glance.not_completed == ((Outcome.FAILED, 2), (Outcome.TIMED_OUT, 1))


@pytest.mark.parametrize(
    ("total", "duration_s", "left_s"),
    [
        (None, None, None),
        (400, None, 3.0),  # 300 to go at 100 a second
        (None, 60.0, 59.0),
        (400, 60.0, 3.0),  # what comes first ends it
        (50, None, 0.0),  # more than were announced
    ],
)
def test_time_left(total: int | None, duration_s: float | None, left_s: float | None) -> None:
    recent = Recent("load", total, duration_s)
    recent.take(look(1, answered(100), 100))
    glance = recent.glance()
    assert glance is not None
    assert glance.left_s == left_s


def test_a_line_says_it_all() -> None:
    # 100 ms lie in the bucket from e^-2.32 to e^-2.30, whose middle e^-2.31 is 99.3 ms.
    recent = Recent("load", total=400, duration_s=None)
    recent.take(look(2, [*answered(100), record(0, Outcome.FAILED)], 101))
    glance = recent.glance()
    assert glance is not None
    assert line(glance) == (
        "load: 2 s, 101 of 400 requests, 8 users, 50.5 requests/s, 500 tokens/s, "
        "TTFT p50 99.3 p95 99.3 ms, ITL p50 20 p95 20 ms, 1 FAILED, 6 s left"
    )


def test_a_server_that_does_not_count_tokens_has_no_token_rate() -> None:
    recent = Recent("load", None, None)
    recent.take(look(1, answered(3, tokens=None), 3))
    glance = recent.glance()
    assert glance is not None
    assert glance.output_tokens_per_s is None
    assert "– tokens/s" in line(glance)
    assert glance.itl_s == pytest.approx((0.02, 0.02), rel=0.011)  # of chunks


def test_lines_come_every_five_seconds_and_no_oftener() -> None:
    stream = io.StringIO()
    view = live_view("load", None, None, stream)
    for quarter in range(1, 4 * 16 + 1):
        view.update(look(quarter / 4, answered(1), quarter))
    view.close()
    lines = stream.getvalue().splitlines()
    assert [one.split(",")[0] for one in lines] == ["  load: 5 s", "  load: 10 s", "  load: 15 s"]
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_is_gone_does_not_end_the_load() -> None:
    stream = io.StringIO()
    view = live_view("load", None, None, stream)
    stream.close()
    view.update(look(6, answered(1), 1))
    view.close()


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_or_without_a_stream_nothing_is_shown(quiet: bool) -> None:
    stream = Terminal() if quiet else None
    view = live_view("load", None, None, stream, quiet=quiet)
    assert isinstance(view, Nothing)
    view.update(look(10, answered(1), 1))
    view.close()
    assert stream is None or stream.getvalue() == ""


def test_a_terminal_gets_a_panel_and_keeps_nothing_of_it() -> None:
    stream = Terminal()
    view = live_view("load", 400, None, stream)
    assert isinstance(view, PanelView)
    view.update(look(2, [*answered(100), record(0, Outcome.FAILED)], 101))
    drawn = stream.getvalue()
    for said in (
        "load",
        "101 of 400 requests",
        "8 users",
        "50.5 requests/s",
        "TTFT p50 99.3",
        "1 FAILED",
        "6 s left",
    ):
        assert said in drawn
    view.close()
    # The cursor is shown again, and every line of the panel (four in a frame of two) is erased.
    assert "\x1b[?25h" in stream.getvalue()[len(drawn) :]
    assert stream.getvalue().endswith("\x1b[1A\x1b[2K" * 6)


def test_a_panel_is_drawn_four_times_a_second_at_most() -> None:
    stream = Terminal()
    view = live_view("load", None, None, stream)
    for hundredth in range(1, 201):
        view.update(look(hundredth / 100, answered(1), hundredth))
    drawn = stream.getvalue().count("requests/s")
    view.close()
    assert 7 <= drawn <= 9  # in two seconds


def test_a_run_that_says_nothing_leaves_a_terminal_alone() -> None:
    stream = Terminal()
    live_view("load", None, None, stream).close()
    assert stream.getvalue() == ""


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> str:
        stream = Terminal()
        view = live_view("load", 4, None, stream)
        view.update(look(1, [record(0, Outcome.FAILED)], 1))
        view.close()
        return stream.getvalue()

    red = "31m"
    assert red in drawn()
    monkeypatch.setenv("NO_COLOR", "1")
    assert red not in drawn()


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_where_nothing_can_be_redrawn_there_are_lines(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert isinstance(live_view("load", None, None, Terminal()), LineView)


def test_an_open_loop_shows_what_is_in_flight() -> None:
    due = DueByNow(Constant(10.0), seed=1, total=100, duration_s=None)
    recent = Recent("load", 100, None, due)
    # Due at 0, 0.1, … 2.0 s: 21; 15 of them ended.
    recent.take(look(2.05, answered(15), 15, users=None))
    glance = recent.glance()
    assert glance is not None
    assert glance.in_flight == 6
    assert "6 in flight" in line(glance)


def test_due_counts_along_the_schedule_to_its_end() -> None:
    due = DueByNow(Stages((Stage(2.0, 2.0), Stage(0.0, 3.0), Stage(4.0, 1.0))), 1, None, None)
    # 0, 0.5, 1, 1.5 s; a pause; 5, 5.25, 5.5, 5.75 s.
    assert [due(look(at, [], 0, None)) for at in (0.0, 0.9, 1.6, 4.9, 5.3, 99.0)] == [1, 2, 4, 4, 6, 8]


def test_due_ends_with_the_duration_and_the_total() -> None:
    assert DueByNow(Constant(10.0), 1, None, 1.05)(look(9, [], 0, None)) == 11
    assert DueByNow(Constant(10.0), 1, 7, None)(look(9, [], 0, None)) == 7


def test_due_of_a_closed_loop_is_a_request_for_each_user() -> None:
    due = DueByNow(ClosedLoop(8), 1, 100, 30.0)
    looks = itertools.starmap(look, [(1.0, [], 0), (2.0, [], 50), (3.0, [], 95), (31.0, [], 95)])
    assert [due(one) for one in looks] == [8, 58, 100, 100]


def test_what_was_due_never_falls_when_the_time_is_over() -> None:
    due = DueByNow(ClosedLoop(8), 1, None, 30.0)
    # Nothing becomes due at 30 s; the eight in flight end.
    looks = itertools.starmap(look, [(29.9, [], 50), (30.1, [], 50), (30.2, [], 55), (30.3, [], 58)])
    assert [due(one) for one in looks] == [58, 58, 58, 58]


def test_at_the_duration_itself_nothing_is_due() -> None:
    # 0, 0.1, … 0.9 s, as the engine sends them.
    assert DueByNow(Constant(10.0), 1, None, 1.0)(look(9, [], 0, None)) == 10
    assert DueByNow(Constant(10.0), 1, None, 1.0)(look(1.0, [], 0, None)) == 10
