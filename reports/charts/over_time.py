"""A load over time, as its client saw it and as its server told: both on the seconds of one window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.statistics import RunSummary
from instruments.statistics.quantiles import quantile
from instruments.telemetry.record import Series
from reports.charts.slices import Slices, end_ns

_SILENT = 3.5  # times the usual distance of two samples: a scrape or two may be late
Values = tuple[float | None, ...]
Samples = tuple[tuple[float, ...], tuple[float, ...]]
Together = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class ClientSeries:
    """By slice, undefined where None. Requests of all phases are in flight; TTFT is of the measured ones."""

    sent: tuple[int, ...]  # measured requests that were sent in the slice
    in_flight: tuple[float, ...]  # the mean over the slice, exact
    ttft_p50_s: Values  # of those sent in the slice; a failed one is slower than all others
    ttft_p95_s: Values


@dataclass(frozen=True, slots=True)
class Gauge:
    """Samples of one of the server's series: seconds from the window's start, and values."""

    name: str
    at_s: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def gaps(self) -> tuple[int, ...]:
        """Before which samples so long nothing was told that nobody knows what was between."""
        apart = [later - earlier for earlier, later in pairwise(self.at_s)]
        usual_s = sorted(apart)[len(apart) // 2] if apart else 0.0
        return tuple(at for at, one in enumerate(apart, start=1) if one > _SILENT * usual_s)


@dataclass(frozen=True, slots=True)
class ServerSeries:
    """What the server told within the slices, and to within what its clock is the client's."""

    gauges: tuple[Gauge, ...]
    clock_error_s: float | None
    gpus: int = 0


def client_series(run: LoadRun, summary: RunSummary, slices: Slices) -> ClientSeries:
    """What the client saw, by slice."""
    measured = summary.measured
    ttft = np.where(measured.completed, measured.values("ttft_s"), np.inf)
    ttft[np.isnan(ttft)] = np.inf
    sent = (-1 if one.sent_ns is None else one.sent_ns for one in summary.records)
    sent_ns = np.fromiter(sent, np.int64, len(summary.records))
    places = slices.place(sent_ns)
    places[sent_ns < 0] = -1
    judged = ~measured.had(Outcome.CANCELLED)
    ordered = [np.sort(ttft[(places == at) & judged]).tolist() for at in range(slices.count)]
    return ClientSeries(
        sent=tuple(np.bincount(places + 1, minlength=slices.count + 2)[1:-1].tolist()),
        in_flight=tuple(in_flight(run.records, slices).tolist()),
        ttft_p50_s=tuple(_finite(quantile(values, 0.5)) for values in ordered),
        ttft_p95_s=tuple(_finite(quantile(values, 0.95)) for values in ordered),
    )


def in_flight(records: Sequence[RequestRecord], slices: Slices) -> npt.NDArray[np.float64]:
    """Requests in flight, from sent to over, as the exact mean over each slice.

    One of which no end is known counts to the end: it was never answered.
    """
    sent = [one for one in records if one.sent_ns is not None]
    starts = np.fromiter((one.sent_ns or 0 for one in sent), np.int64, len(sent))
    ends = np.fromiter((_or(end_ns(one), slices.end_ns) for one in sent), np.int64, len(sent))
    span = slices.end_ns - slices.start_ns
    edges = np.linspace(0.0, float(span), slices.count + 1)
    spent = _integral(starts, slices, edges) - _integral(ends, slices, edges)
    return np.maximum(0.0, np.diff(spent) / np.diff(edges)).round(9)


def server_series(summary: RunSummary, slices: Slices) -> ServerSeries | None:
    """The server's gauges, several GPUs taken together; None where no sample lies within the slices."""
    server = summary.server
    if server is None or summary.span_unix_s is None:
        return None
    start_s = summary.span_unix_s[0]
    named = {name: _within(one, start_s, slices) for name, one in server.series.items()}
    gauges = [Gauge(name, *named[name]) for name in ("running", "waiting", "kv_cache_usage") if name in named]
    cards = sorted({name.partition(".")[0] for name in named if name.startswith("gpu") and "." in name})
    for quantity in ("power_w", "utilisation_share"):
        of_cards = [named[f"{card}.{quantity}"] for card in cards if f"{card}.{quantity}" in named]
        if of_cards:
            together: Together = sum if quantity == "power_w" else _mean
            gauges.append(Gauge(quantity, *_together(of_cards, slices, together)))
    told = tuple(gauge for gauge in gauges if gauge.at_s)
    return ServerSeries(told, server.clock_error_s, len(cards)) if told else None


def by_slice(gauge: Gauge, slices: Slices) -> Values:
    """The mean of a gauge's samples in each slice; None for a slice without any."""
    return _means(gauge.at_s, gauge.values, slices)


def _integral(
    instants: npt.NDArray[np.int64], slices: Slices, edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """For each edge the time that has gone by since each instant before it, added up."""
    ordered = np.sort(np.maximum(instants - slices.start_ns, 0)).astype(np.float64)
    before = np.searchsorted(ordered, edges, side="right")
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    return np.asarray(before * edges - sums[before], dtype=np.float64)


def _within(series: Series, start_unix_s: float, slices: Slices) -> Samples:
    kept = series.numbers().within(start_unix_s, start_unix_s + slices.span_s)
    return tuple(at_s - start_unix_s for at_s in kept.at_s), kept.values


def _together(of_cards: Sequence[Samples], slices: Slices, together: Together) -> Samples:
    """Several cards as one, at the middle of each slice in which all of them have a sample."""
    if len(of_cards) == 1:
        return of_cards[0]
    means = [_means(at_s, values, slices) for at_s, values in of_cards]
    found = []
    for place, told in enumerate(zip(*means, strict=True)):
        known = [one for one in told if one is not None]
        if len(known) == len(means):
            found.append(((place + 0.5) * slices.width_s, float(together(known))))
    return tuple(at_s for at_s, _ in found), tuple(value for _, value in found)


def _means(at_s: Sequence[float], values: Sequence[float], slices: Slices) -> Values:
    found: list[list[float]] = [[] for _ in range(slices.count)]
    for at, value in zip(at_s, values, strict=True):
        found[min(slices.count - 1, int(at / slices.width_s))].append(value)
    return tuple(_mean(told) if told else None for told in found)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _finite(value: float | None) -> float | None:
    return None if value is None or value == float("inf") else value


def _or(value: int | None, other: int) -> int:
    return other if value is None else value
