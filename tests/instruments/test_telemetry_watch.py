"""The watch over a load: settled before and after, sampled between, and no failure of it stops the load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, count, repeat

import httpx
import pytest

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, sampler
from instruments.telemetry.exposition import parse_exposition
from instruments.telemetry.record import Series
from instruments.telemetry.sampler import GaugeSampler
from instruments.telemetry.scrape import DirectScrape
from instruments.telemetry.watch import ServerWatch, holes
from tests.instruments.exposing import Exposition, exposing, v1

EVERY_S = 0.02
BOUND_S = 10.0


@pytest.fixture
def engine() -> Iterator[Exposition]:
    with exposing(v1()) as exposition:
        yield exposition


@pytest.fixture
def direct(engine: Exposition) -> Iterator[DirectScrape]:
    with httpx.Client(trust_env=False) as client:
        yield DirectScrape(engine.url, client)


def wait_until(done: Callable[[], bool]) -> None:
    bound = time.monotonic() + BOUND_S
    while not done():
        assert time.monotonic() < bound, "what was waited for did not come"
        time.sleep(0.005)


def samplers() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name in ("gauges", "gpus")]


def sampler_of(watch: ServerWatch) -> GaugeSampler:
    assert watch._sampler is not None
    return watch._sampler


def sampled(watch: ServerWatch) -> tuple[float, ...]:
    """What has been sampled of the requests that run, up to now."""
    return sampler_of(watch).series().get("running", Series()).values


class Dictated:
    """A source that does as it is told, each time it is asked."""

    source = "dictated"

    def __init__(self, tell: Callable[[], Snapshot]) -> None:
        self.snapshot = tell


def test_the_snapshots_are_taken_when_nothing_runs_or_waits(engine: Exposition, direct: DirectScrape) -> None:
    states = chain([v1(running=2), v1(waiting=1), v1(tokens=7)], repeat(v1(tokens=9)))
    engine.text = lambda: next(states)
    with ServerWatch(direct, every_s=EVERY_S) as watch:
        engine.text = v1(tokens=8, running=1)
        wait_until(lambda: sampled(watch)[-1:] == (1.0,))
        start_unix_s, there = time.time(), len(sampled(watch))
        wait_until(lambda: len(sampled(watch)) >= there + 5)
        end_unix_s = time.time()
        engine.text = v1(tokens=8)
        wait_until(lambda: sampled(watch)[-1:] == (0.0,))
        states = chain([v1(running=2, tokens=10)] * 2, repeat(v1(tokens=11)))
        engine.text = lambda: next(states)
        record = watch.end(start_unix_s, end_unix_s)
    assert record.problems == ()
    assert record.before is not None
    assert record.after is not None
    assert record.before.total("vllm:generation_tokens_total") == 7
    assert record.after.total("vllm:generation_tokens_total") == 11
    assert set(record.series["running"].values) == {1.0}
    assert all(start_unix_s <= at_s <= end_unix_s for at_s in record.series["running"].at_s)
    assert (record.source, record.every_s, record.clock_offset_s) == ("direct scrape", EVERY_S, 0.0)
    assert record.clock_error_s is not None
    assert 0 < record.clock_error_s < 1
    assert samplers() == []


def test_who_does_not_come_to_rest_is_told_and_the_last_seen_is_kept(
    direct: DirectScrape, engine: Exposition
) -> None:
    engine.text = v1(running=2, waiting=1, tokens=5)
    with ServerWatch(direct, settle_bound_s=0.2) as watch:
        record = watch.end(0, 1)
    assert record.problems[0] == "3 requests ran or waited still, 0.2 s on, before the load"
    assert "3 requests ran or waited still, 0.2 s on, after the load" in record.problems
    assert record.before is not None
    assert record.before.total("vllm:generation_tokens_total") == 5


def test_without_a_source_there_is_a_record_that_says_so_once() -> None:
    with ServerWatch(None) as watch:
        record = watch.end(0, 1)
    assert record.problems == ("the engine's metrics cannot be reached in this environment",)
    assert (record.source, record.before, record.after, record.series) == ("none", None, None, {})


def test_a_server_that_is_down_costs_the_snapshots_and_not_the_run() -> None:
    with (
        httpx.Client(trust_env=False) as client,
        ServerWatch(DirectScrape("http://127.0.0.1:1/metrics", client)) as watch,
    ):
        began_s = time.monotonic()
        record = watch.end(time.time() - 1, time.time())
    assert time.monotonic() - began_s < BOUND_S
    assert (record.before, record.after, record.series) == (None, None, {})
    assert "http://127.0.0.1:1/metrics cannot be scraped" in record.problems[0]
    assert "before the load" in record.problems[0]
    assert any("scrapes failed" in problem for problem in record.problems)


def test_one_scrape_that_fails_at_rest_is_asked_again(engine: Exposition, direct: DirectScrape) -> None:
    tries = count()

    def tell() -> Snapshot:
        if next(tries) == 0:
            raise TelemetryError("not now")
        return direct.snapshot()

    watch = ServerWatch(Dictated(tell))
    watch.begin()
    watch.stop()
    assert watch.end(0, 1).before is not None


def test_scrapes_that_fail_in_mid_run_are_counted_and_the_rest_is_kept(
    engine: Exposition, direct: DirectScrape
) -> None:
    with ServerWatch(direct, every_s=EVERY_S) as watch:
        kept = sampler_of(watch)
        start_unix_s = time.time()
        wait_until(lambda: bool(kept.series().get("running", Series()).values))
        engine.status = 503
        wait_until(lambda: any("scrapes failed" in one for one in kept.problems))
        engine.status = 200
        there = len(kept.series()["running"].values)
        wait_until(lambda: len(kept.series()["running"].values) > there)
        record = watch.end(start_unix_s, time.time())
    assert record.before is not None
    assert record.after is not None
    assert record.series["running"].values
    assert any("scrapes failed" in problem and "503" in problem for problem in record.problems)


def test_gauges_that_are_not_a_number_or_absent_have_no_samples_and_are_told(
    engine: Exposition, direct: DirectScrape
) -> None:
    engine.text = v1(kv="NaN").replace("num_requests_waiting", "else")
    with ServerWatch(direct, every_s=EVERY_S) as watch:
        start_unix_s = time.time()
        wait_until(lambda: len(sampled(watch)) >= 2)
        record = watch.end(start_unix_s, time.time())
    assert set(record.series) == {"running"}
    assert "no metric says waiting, before the load" in record.problems
    assert "vllm:kv_cache_usage_perc is not a number, after the load" in record.problems
    assert any(one.endswith("samples of kv_cache_usage were not a number") for one in record.problems)


def test_an_empty_exposition_is_told(engine: Exposition, direct: DirectScrape) -> None:
    engine.text = ""
    with ServerWatch(direct) as watch:
        record = watch.end(0, 1)
    assert record.before == Snapshot({})
    assert "no metric says running, before the load" in record.problems


def test_an_engine_that_was_restarted_or_replaced_is_told(engine: Exposition, direct: DirectScrape) -> None:
    engine.text = v1(tokens=100) + v1(engine=1, tokens=50)
    with ServerWatch(direct) as watch:
        engine.text = v1(tokens=30)
        record = watch.end(0, 1)
    name = "vllm:generation_tokens_total"
    assert f"{name} began anew during the load: it grew by no less than 30" in record.problems
    assert f"1 series of {name} vanished during the load: engine replaced" in record.problems


def test_a_wall_clock_that_is_set_during_the_load_is_told_and_added_to_the_error(
    direct: DirectScrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time_ns
    with ServerWatch(direct, every_s=EVERY_S) as watch:
        wait_until(lambda: bool(sampled(watch)))
        monkeypatch.setattr(time, "time_ns", lambda: real() + 3_000_000_000)
        record = watch.end(time.time() - 1, time.time())
    assert "the client's wall clock was set by +3.000 s during the load" in record.problems
    assert record.clock_error_s == pytest.approx(3.0, abs=0.9)


def test_a_scrape_that_hangs_does_not_keep_the_run_from_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "STOP_BOUND_S", 0.1)
    release, hangs = threading.Event(), threading.Event()

    def tell() -> Snapshot:
        if threading.current_thread().name == "gauges":
            hangs.set()
            release.wait(BOUND_S)
        return parse_exposition(v1())

    with ServerWatch(Dictated(tell)) as watch:
        assert hangs.wait(BOUND_S)
        record = watch.end(0, 1)
    assert "the sampling did not end within 0.1 s" in record.problems
    release.set()
    wait_until(lambda: samplers() == [])


def test_the_thread_ends_when_the_load_crashes(direct: DirectScrape) -> None:
    seen = []

    def load() -> None:
        with ServerWatch(direct):
            seen.extend(samplers())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        load()
    assert (seen, samplers()) == (["gauges"], [])


def test_a_mistake_in_a_source_is_a_crash_and_no_problem_of_the_server() -> None:
    beats = threading.Event()

    def tell() -> Snapshot:
        if threading.current_thread().name == "gauges":
            beats.set()
            raise KeyError("a mistake")
        return parse_exposition(v1())

    watch = ServerWatch(Dictated(tell))
    watch.begin()
    assert beats.wait(BOUND_S)
    with pytest.raises(KeyError, match="a mistake"):
        watch.end(0, 1)
    watch.stop()


def test_a_watch_that_has_not_begun_cannot_end() -> None:
    with pytest.raises(RuntimeError, match="not begun"):
        ServerWatch(None).end(0, 1)


def test_a_second_load_has_a_record_of_its_own(engine: Exposition, direct: DirectScrape) -> None:
    watch = ServerWatch(direct, every_s=EVERY_S)
    engine.status = 500
    with watch:
        assert watch.end(0, 1).problems
    engine.status = 200
    with watch:
        wait_until(lambda: bool(sampled(watch)))
        assert watch.end(time.time() - 1, time.time()).before is not None
        assert not any("failed" in one for one in watch._problems)


@pytest.mark.parametrize(
    ("at_s", "told"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8, 9), []),
        ((), ["no sample of running in the 10.0 s of the window"]),
        ((1, 2, 6, 7, 8, 9), ["no sample of running for 4.0 s of the 10.0 s of the window"]),
        ((1, 2, 3), ["no sample of running for 7.0 s of the 10.0 s of the window"]),
        ((6, 7, 8, 9), ["no sample of running for 6.0 s of the 10.0 s of the window"]),
    ],
)
def test_where_a_window_has_no_samples_is_told(at_s: tuple[float, ...], told: list[str]) -> None:
    series = {"running": Series(tuple(100.0 + one for one in at_s), (0.0,) * len(at_s))}
    assert list(holes(series, 1.0, 100.0, 110.0)) == told
