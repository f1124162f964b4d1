"""Prometheus as a source: the same snapshots as a direct scrape, and series, from what it has scraped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from instruments.errors import TelemetryError
from instruments.telemetry.prometheus_api import ClockOffset, PrometheusApi
from instruments.telemetry.record import Series
from instruments.telemetry.snapshot import Snapshot, labels_of
from instruments.telemetry.vllm import NAMES, over_engines

FRESH_BOUND_S = 15.0
LOOK_BACK_S = 300.0  # far enough to see how often a target is scraped
POLL_EVERY_S = 0.1
STALE = 2.5  # times the time between two scrapes: a series without one for so long has ended
# What Prometheus adds about its own scraping; a direct scrape does not have it.
ADDED = ("scrape_duration_seconds", "scrape_samples_", "scrape_series_added")


class PrometheusTelemetry:
    """Reads the series with certain labels, such as `job="engine"`, from a Prometheus server."""

    def __init__(self, url: str, labels: str, *, now: Callable[[], float] = time.time) -> None:
        self._api = PrometheusApi(url, now=now)
        self._labels = labels
        self._now = now
        self._sole: str | None = None  # the instance whose label is left off, as a direct scrape has none
        self._looked = False

    @property
    def source(self) -> str:
        return "Prometheus"

    def query(self, expression: str) -> list[Any]:
        """The instant vector of a PromQL expression; TelemetryError when it cannot be had."""
        return self._api.query(expression)

    def clock(self) -> ClockOffset:
        """Prometheus' clock less the client's. Raises TelemetryError."""
        return self._api.clock()

    def snapshot(self) -> Snapshot:
        """Wait for a scrape that began after this call, then read all series with the labels."""
        called_unix_s, clock = self._now(), self.clock()
        self._wait_for_a_scrape_after(called_unix_s + clock.offset_s + clock.error_s)
        # What rules record has no instance, and is not the component's own.
        found = [one for one in self.query(f"{{{self._labels}}}") if "instance" in one["metric"]]
        self._check_up(found)
        if not self._looked:
            instances = {one["metric"]["instance"] for one in found}
            self._sole = instances.pop() if len(instances) == 1 else None
            self._looked = True
        samples = {}
        for one in found:
            labels = dict(one["metric"])
            name = labels.pop("__name__")
            labels.pop("job", None)
            if labels["instance"] == self._sole:  # of several, or of a second one, they tell series apart
                del labels["instance"]
            if name != "up" and not name.startswith(ADDED):
                samples[name, labels_of(labels)] = float(one["value"][1])
        return Snapshot(samples, self._api.metrics())

    def close(self) -> None:
        self._api.close()

    def series(
        self, ours: str, start_unix_s: float, end_unix_s: float, clock: ClockOffset | None = None
    ) -> tuple[Series, tuple[str, ...]]:
        """A gauge over a window of the client's clock as it was scraped, and what is wrong with it.

        These are the raw samples with their own instants (a range selector): query_range would repeat the
        last one for up to five minutes where nothing was scraped. TelemetryError when it cannot be had.
        """
        clock = clock or self.clock()
        names = "|".join(NAMES[ours])
        end_s = end_unix_s + clock.offset_s
        milliseconds = math.ceil((end_unix_s - start_unix_s) * 1000) + 1
        found = self._api.query(f'{{__name__=~"{names}",{self._labels}}}[{milliseconds}ms]', end_s)
        exposed = {one["metric"]["__name__"] for one in found}
        name = next((name for name in NAMES[ours] if name in exposed), None)
        each = [
            Series(
                tuple(float(at_s) - clock.offset_s for at_s, _ in one["values"]),
                tuple(float(value) for _, value in one["values"]),
            )
            for one in found
            if one["metric"]["__name__"] == name
        ]
        left_out = sum(len(one.at_s) - len(one.numbers().at_s) for one in each)
        told = (f"{left_out} samples of {name} were not a number",) if left_out else ()
        return merged(ours, [one.numbers() for one in each]).within(start_unix_s, end_unix_s), told

    def _check_up(self, found: list[Any]) -> None:
        """TelemetryError when Prometheus can reach none of the targets: it says so with a sample as well."""
        ups = [float(one["value"][1]) for one in found if one["metric"]["__name__"] == "up"]
        if ups and not any(ups):
            raise TelemetryError(
                f"Prometheus cannot scrape {{{self._labels}}}",
                expected="up 1",
                seen=f"up 0 of {len(ups)} target" + ("s" if len(ups) > 1 else ""),
                hint="see its page /targets",
            )

    def _wait_for_a_scrape_after(self, server_unix_s: float) -> None:
        """Wait for a scrape later than an instant of Prometheus' clock, of every target with the labels."""
        which = f'{{__name__=~"up|vllm:num_requests_running",{self._labels}}}'
        every_s = self._scraped_every_s(which)
        bound_s = max(FRESH_BOUND_S, STALE * every_s) if every_s else FRESH_BOUND_S
        bound = time.monotonic() + bound_s
        while True:
            found = self.query(f"min(timestamp({which}))")
            last = float(found[0]["value"][1]) if found else None
            if last is not None and last > server_unix_s:
                return
            if time.monotonic() > bound:
                break
            time.sleep(POLL_EVERY_S)
        raise TelemetryError(
            f"Prometheus has not scraped {{{self._labels}}} for {bound_s:g} s",
            expected=f"a scrape each {every_s:g} s" if every_s else "a target with these labels",
            seen="no such series" if last is None else f"the last one {server_unix_s - last:.1f} s before",
        )

    def _scraped_every_s(self, which: str) -> float | None:
        """The time between two scrapes as the samples have it; None before there are two."""
        found = self.query(f"{which}[{LOOK_BACK_S:g}s]")
        each = [Series(tuple(float(at_s) for at_s, _ in one["values"]), ()) for one in found]
        return max((every_s for one in each if (every_s := one.every_s())), default=None)


def merged(ours: str, each: list[Series]) -> Series:
    """One gauge of several engines, which may be scraped at instants of their own.

    At each instant it is made of every engine's latest sample, unless that engine has had none for long.
    """
    if len(each) < 2:
        return each[0] if each else Series()
    longest_s = STALE * max((every_s for one in each if (every_s := one.every_s())), default=math.inf)
    instants = sorted({at_s for one in each for at_s in one.at_s})
    places, values = [0] * len(each), []
    for instant in instants:
        latest = []
        for engine, one in enumerate(each):
            while places[engine] < len(one.at_s) and one.at_s[places[engine]] <= instant:
                places[engine] += 1
            last = places[engine] - 1
            if last >= 0 and instant - one.at_s[last] <= longest_s:
                latest.append(one.values[last])
        values.append(over_engines(ours, latest))
    return Series(tuple(instants), tuple(value for value in values if value is not None))
