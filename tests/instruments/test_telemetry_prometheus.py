"""Prometheus and direct scrape against each other, both real, on a component that a test dictates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import httpx
import pytest

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot, growth, increase
from instruments.telemetry.exposition import parse_exposition
from instruments.telemetry.histograms import between
from instruments.telemetry.prometheus import PrometheusTelemetry
from instruments.telemetry.scrape import DirectScrape
from instruments.telemetry.watch import ServerWatch
from tests.instruments.exposing import BOUND_S, JOB, SCRAPED_EVERY_S, Exposition, Prometheus, exposing, v1

HOUR_S = 3600.0
STARTED = "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds "


@pytest.fixture(scope="module")
def engine() -> Iterator[Exposition]:
    with exposing(v1()) as exposition:
        yield exposition


class Servers(NamedTuple):
    """Started together, as each takes five seconds before it scrapes."""

    staying: Prometheus
    mortal: Prometheus  # a test may kill it
    pair: Prometheus  # scrapes a second replica as well, with 100 tokens and 2 requests


@pytest.fixture(scope="module")
def servers(engine: Exposition, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("prometheus")
    with exposing(v1(tokens=100, running=2)) as joined:
        targets = ([engine.target], [engine.target], [engine.target, joined.target])
        made = Servers(*(Prometheus(folder / n, *t) for n, t in zip(Servers._fields, targets, strict=True)))
        try:
            for one in made:
                one.start()
            for one in made:
                one.wait()
            yield made
        finally:
            for one in made:
                one.kill()


@pytest.fixture
def prometheus(servers: Servers) -> Iterator[PrometheusTelemetry]:
    telemetry = servers.staying.telemetry()
    yield telemetry
    telemetry.close()


@pytest.fixture
def direct(engine: Exposition) -> Iterator[DirectScrape]:
    with httpx.Client(trust_env=False) as client:
        yield DirectScrape(engine.url, client)


def test_both_sources_give_the_same_snapshot(
    engine: Exposition, prometheus: PrometheusTelemetry, direct: DirectScrape
) -> None:
    engine.text = v1(running=2, tokens=640, kv=0.25, ttft=(3, 7, 9)) + v1(engine=1, tokens=60)
    stored, shown = prometheus.snapshot(), direct.snapshot()
    assert stored.samples == shown.samples
    assert stored.families.items() >= shown.families.items()
    assert shown.total("vllm:generation_tokens_total") == 700


def test_both_sources_give_the_same_growth_and_the_same_histogram(
    engine: Exposition, prometheus: PrometheusTelemetry, direct: DirectScrape
) -> None:
    engine.text = v1(tokens=100, ttft=(1, 1, 1))
    before = prometheus.snapshot(), direct.snapshot()
    engine.text = v1(tokens=140, ttft=(4, 9, 11))
    after = prometheus.snapshot(), direct.snapshot()
    for earlier, later in zip(before, after, strict=True):
        assert increase(earlier, later, "vllm:generation_tokens_total") == 40
        found = between(earlier, later, "vllm:time_to_first_token_seconds")
        assert found is not None
        assert (found.bounds, found.cumulative, found.count) == ((0.25, 1.0), (3, 8), 10)
        assert found.sum == pytest.approx(1.0)


def test_a_reset_between_is_seen_by_both_even_when_the_counter_has_passed_where_it_was(
    engine: Exposition, prometheus: PrometheusTelemetry, direct: DirectScrape
) -> None:
    engine.text = v1(tokens=100, created=1.7e9) + STARTED + "1.7e9\n"
    before = prometheus.snapshot(), direct.snapshot()
    engine.text = v1(tokens=130, created=1.7e9 + 50) + STARTED + "1700000040\n"
    after = prometheus.snapshot(), direct.snapshot()
    for earlier, later in zip(before, after, strict=True):
        grown = growth(earlier, later, "vllm:generation_tokens_total")
        assert (grown.value, grown.resets, grown.exact) == (130, 1, False)


def test_a_snapshot_waits_for_a_scrape_that_began_after_the_call(
    engine: Exposition, prometheus: PrometheusTelemetry
) -> None:
    for tokens in (1001, 1002, 1003):
        engine.text = v1(tokens=tokens)
        assert prometheus.snapshot().total("vllm:generation_tokens_total") == tokens


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S])
def test_a_client_whose_clock_is_wrong_by_an_hour_gets_the_same(
    engine: Exposition, servers: Servers, ahead_s: float
) -> None:
    engine.text = v1(running=3)
    telemetry = servers.staying.telemetry(now=lambda: time.time() + ahead_s)
    clock = telemetry.clock()
    assert clock.offset_s == pytest.approx(-ahead_s, abs=clock.error_s)
    assert 0 < clock.error_s < 1
    start_unix_s = time.time() + ahead_s
    engine.text = v1(running=4)
    assert telemetry.snapshot().total("vllm:num_requests_running") == 4
    samples, told = telemetry.series("running", start_unix_s, time.time() + ahead_s)
    telemetry.close()
    assert told == ()
    assert set(samples.values) <= {3.0, 4.0}
    assert samples.values[-1] == 4.0
    assert start_unix_s <= samples.at_s[0] <= samples.at_s[-1] <= time.time() + ahead_s


def test_the_series_are_what_was_scraped_each_sample_at_its_own_instant(
    engine: Exposition, prometheus: PrometheusTelemetry
) -> None:
    number = count(1)
    engine.text = lambda: v1(running=next(number), waiting=3)  # no two scrapes get the same
    engine.scrapes.clear()
    start_unix_s = time.time()
    time.sleep(10 * SCRAPED_EVERY_S)
    end_unix_s = time.time()
    prometheus.snapshot()
    samples, told = prometheus.series("running", start_unix_s, end_unix_s)
    given = {
        parse_exposition(text).total("vllm:num_requests_running"): unix_s
        for unix_s, who, text in engine.scrapes
        if who == "staying"
    }
    assert told == ()
    # A scrape's instant is when it began, which is no longer ago than its bound, which is SCRAPED_EVERY_S.
    # Prometheus moves it by up to 2 ms, so that instants lie on a grid.
    for at_s, value in zip(samples.at_s, samples.values, strict=True):
        assert at_s - 0.003 <= given[value] <= at_s + SCRAPED_EVERY_S + 0.003
    inside = [value for value, unix_s in given.items() if start_unix_s + 0.21 < unix_s < end_unix_s - 0.01]
    assert len(inside) >= 5
    assert [value for value in samples.values if value in inside] == inside
    assert set(prometheus.series("waiting", start_unix_s, end_unix_s)[0].values) == {3.0}


def test_samples_that_are_not_a_number_are_dropped_and_told(
    engine: Exposition, prometheus: PrometheusTelemetry
) -> None:
    engine.text = v1(kv="NaN")
    prometheus.snapshot()
    start_unix_s = time.time()
    prometheus.snapshot()
    samples, told = prometheus.series("kv_cache_usage", start_unix_s, time.time())
    assert samples.values == ()
    assert len(told) == 1
    assert told[0].endswith("samples of vllm:kv_cache_usage_perc were not a number")


def test_a_metric_that_is_missing_and_an_empty_exposition_have_no_series(
    engine: Exposition, prometheus: PrometheusTelemetry
) -> None:
    engine.text = "# TYPE vllm:else gauge\nvllm:else 1.0\n"
    assert prometheus.snapshot().samples == {("vllm:else", frozenset()): 1.0}
    engine.text = ""
    start_unix_s = time.time()
    assert prometheus.snapshot().samples == {}
    assert prometheus.series("running", start_unix_s, time.time())[0].values == ()


def test_a_target_that_does_not_answer_is_told_as_such(
    engine: Exposition, prometheus: PrometheusTelemetry
) -> None:
    engine.status = 500
    try:
        with pytest.raises(TelemetryError, match="cannot scrape") as raised:
            prometheus.snapshot()
    finally:
        engine.status = 200
    assert raised.value.seen == "up 0 of 1 target"


def test_the_watch_gives_equal_records_of_both_sources(
    engine: Exposition, prometheus: PrometheusTelemetry, direct: DirectScrape
) -> None:
    engine.text = v1(tokens=10)
    watches = [ServerWatch(source, every_s=SCRAPED_EVERY_S) for source in (prometheus, direct)]
    with watches[0], watches[1]:
        start_unix_s = time.time()
        engine.text = v1(tokens=20, running=5, waiting=2, kv=0.5)
        time.sleep(6 * SCRAPED_EVERY_S)
        end_unix_s = time.time()
        engine.text = v1(tokens=30)
        records = [watch.end(start_unix_s, end_unix_s) for watch in watches]
    for record in records:
        assert record.problems == ()
        assert record.before is not None
        assert record.after is not None
        assert increase(record.before, record.after, "vllm:generation_tokens_total") == 20
        assert record.every_s == pytest.approx(SCRAPED_EVERY_S, rel=0.5)
        assert record.clock_error_s is not None
        assert 0 < record.clock_error_s < 1
        for name, peak in (("running", 5), ("waiting", 2), ("kv_cache_usage", 0.5)):
            assert len(record.series[name].values) >= 4
            assert max(record.series[name].values) == peak
    assert [record.source for record in records] == ["Prometheus", "direct scrape"]
    assert records[0].before == Snapshot(records[1].before.samples, records[0].before.families)  # type: ignore[union-attr]


def test_prometheus_killed_in_mid_run_costs_the_series_and_what_it_scraped_before_is_not_lost(
    engine: Exposition, servers: Servers
) -> None:
    server = servers.mortal
    telemetry = server.telemetry()
    engine.text = v1(tokens=500)
    with ServerWatch(telemetry) as watch:
        server.kill()
        began_s = time.monotonic()
        record = watch.end(time.time() - 1, time.time())
        assert time.monotonic() - began_s < 10
    assert record.before is not None
    assert record.after is None
    assert record.series == {}
    refused = f"Prometheus at {server.url} does not answer a query (connection refused) at "
    assert [problem[: len(refused)] for problem in record.problems] == [refused] * 2
    # Started again, it has what it scraped, and counters go on: its own restart is none of theirs.
    engine.text = v1(tokens=540)
    server.start()
    server.wait()
    grown = growth(record.before, telemetry.snapshot(), "vllm:generation_tokens_total")
    telemetry.close()
    assert (grown.value, grown.exact) == (40, True)


def test_a_replica_that_joins_does_not_hide_how_much_the_first_one_grew(
    engine: Exposition, servers: Servers
) -> None:
    """The first one's series keep their labels, though its instance is no longer the only one."""
    engine.text = v1(tokens=7)
    telemetry = servers.pair.telemetry()
    telemetry._labels = f'{JOB},instance="{engine.target}"'  # as if there were no other yet
    before = telemetry.snapshot()
    telemetry._labels = JOB
    engine.text = v1(tokens=9)
    after = telemetry.snapshot()
    telemetry.close()
    assert len(after.series("vllm:generation_tokens_total")) == 2
    grown = growth(before, after, "vllm:generation_tokens_total")
    assert (grown.value, grown.exact) == (2 + 100, True)


def test_an_engine_that_dies_stops_counting_and_the_others_go_on(
    engine: Exposition, servers: Servers
) -> None:
    engine.text = v1(running=5)
    telemetry = servers.pair.telemetry()
    telemetry.snapshot()
    start_unix_s = time.time()

    def last_becomes(expected: float) -> tuple[float, ...]:
        bound, values = time.monotonic() + BOUND_S, tuple[float, ...]()
        while time.monotonic() < bound and values[-1:] != (expected,):
            time.sleep(SCRAPED_EVERY_S)
            values = telemetry.series("running", start_unix_s, time.time())[0].values
        return values

    try:
        assert last_becomes(5 + 2)[-1] == 7
        engine.status = 500
        assert last_becomes(2)[-1] == 2
        engine.status = 200
        assert last_becomes(7)[-1] == 7
    finally:
        engine.status = 200
        telemetry.close()
