"""The numbers of each chart as a table: what is drawn can be read, and copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports import wording
from reports.charts.arrivals import Arrivals, Counts
from reports.charts.errors import ErrorRow
from reports.charts.families import Family
from reports.charts.knees import Knee
from reports.charts.over_time import ClientSeries, ServerSeries, by_slice
from reports.charts.slices import Slices
from reports.latency import Estimate, Panel
from reports.wording import PERCENT, PLAIN, Scale, figure, time_scale, whole

_LEAST = 1e-6  # a lower end below a millionth is told as 0: nobody has so many requests


@dataclass(frozen=True, slots=True)
class Table:
    """Heads and rows of text; the first cell of a row names it."""

    label: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def band_table(name: str, panels: Sequence[Panel]) -> Table:
    """Points of the curves with their intervals."""
    rows = []
    for panel in panels:
        band = panel.band
        if band is None:
            continue
        for value, count, low, high in zip(band.values, band.counts, band.low, band.high, strict=True):
            interval = PERCENT.interval(low if low >= _LEAST else 0.0, high)
            share = f"{PERCENT.number(count / band.total)} {interval} %"
            rows.append((f"{panel.name} ≤ {panel.scale.quantity(value)}", whole(count), share))
    heads = ("Within", "Requests", "Share, with its 95 % interval")
    return Table(f"Distributions of {name}", heads, tuple(rows))


def heat_table(name: str, arrived: Arrivals) -> Table:
    """How many gaps of which length, over the whole window."""
    totals = [int(count) for count in arrived.heat.sum(axis=1)]
    rows = [("0: with the one before", whole(totals[0]), _share(totals[0], arrived.gaps))]
    bins = arrived.bins
    for at in range(bins.count if bins else 0):
        assert bins is not None  # noqa: S101 - there are none without
        low, high = bins.edge_s(at), bins.edge_s(at + 1)
        unit = time_scale(low)
        span = f"{_three(unit, low)} to {_three(unit, high)} {unit.unit}"
        rows.append((span, whole(totals[at + 1]), _share(totals[at + 1], arrived.gaps)))
    kept = tuple(row for row, total in zip(rows, totals, strict=True) if total)
    what = "tokens" if arrived.of_tokens else "chunks"
    return Table(f"Gaps between {what} of {name}", ("Gap", "Gaps", "Share"), kept)


def time_table(
    name: str,
    slices: Slices,
    client: ClientSeries,
    tokens: Counts | None,
    server: ServerSeries | None,
    errors: Sequence[ErrorRow],
) -> Table:
    """One row for each slice: client, server, and what did not complete."""
    rates = [
        None if tokens is None else float(one) / slices.width_s for one in (() if tokens is None else tokens)
    ]
    columns: list[tuple[str, list[str]]] = [
        ("Sent", [whole(one) for one in client.sent]),
        ("In flight", [_three(PLAIN, one) for one in client.in_flight]),
        ("Tokens/s", [_three(PLAIN, one) for one in rates] or [wording.UNDEFINED] * slices.count),
        ("TTFT p50", [_time(one) for one in client.ttft_p50_s]),
        ("TTFT p95", [_time(one) for one in client.ttft_p95_s]),
    ]
    columns += [(_outcome(row), [whole(one) for one in row.counts]) for row in errors]
    for gauge in server.gauges if server else ():
        label, scale = _GAUGES[gauge.name]
        columns.append((label, [_three(scale, one) for one in by_slice(gauge, slices)]))
    edges = [_three(PLAIN, edge) for edge in slices.edges_s()]
    spans = [f"{start} to {end} s" for start, end in pairwise(edges)]
    rows = zip(spans, *(cells for _, cells in columns), strict=True)
    return Table(f"{name} over time", ("From start", *(head for head, _ in columns)), tuple(rows))


def family_table(family: Family) -> Table:
    """Latency and throughput against users."""
    rows = []
    for level in family.levels:
        s = level.load.summary
        rows.append(
            (
                f"{whole(level.users)} ({s.name}{level.doubt and ': '}{level.doubt})",
                f"{whole(s.completed)} of {whole(level.load.judged)}",
                said(level.ttft_p50),
                said(level.ttft_p95),
                figure(s.completed_per_s),
                figure(s.output_tokens_per_s),
            )
        )
    heads = ("Users", "Completed", "TTFT p50", "TTFT p95", "Completed /s", "Tokens /s")
    return Table(f"{family.name} against users", heads, tuple(rows))


def knee_table(knee: Knee) -> Table:
    """Each probe: its state, what was good, and what it rests on."""
    rows = []
    for one in knee.probes:
        interval = PERCENT.interval(one.good_low, one.good_high)
        share = PERCENT.quantity(one.good_share)
        good = wording.UNDEFINED if one.good is None else f"{whole(one.good)} of {whole(one.judged)}"
        rows.append(
            (
                figure(one.level),
                str(one.state),
                good,
                share if share == wording.UNDEFINED else f"{share} {interval}",
                figure(one.good_per_s),
                figure(one.completed_per_s),
                figure(one.tokens_per_s),
            )
        )
    heads = ("Users" if knee.by == "users" else "Requests /s", "State", "Good", "Good, share",
             "Good /s", "Completed /s", "Tokens /s")  # fmt: skip
    return Table(f"Probes of {knee.workload}", heads, tuple(rows))


def said(of: Estimate) -> str:
    """'412 ms [398, 430]'."""
    unit = time_scale(of.low if of.value is None else of.value)
    interval = unit.interval(of.low, of.high)
    value = unit.quantity(of.value)
    return value if interval == wording.UNDEFINED else f"{value} {interval}"


_GAUGES = {
    "running": ("Running", PLAIN),
    "waiting": ("Waiting", PLAIN),
    "kv_cache_usage": ("KV cache, %", PERCENT),
    "power_w": ("GPU power, W", PLAIN),
    "utilisation_share": ("GPU use, %", PERCENT),
}


def _outcome(row: ErrorRow) -> str:
    return row.outcome.value.replace("_", " ").capitalize()


def _share(count: int, total: int) -> str:
    return f"{figure(float(f'{100 * count / total:.3g}'))} %" if total else wording.UNDEFINED


def _time(value: float | None) -> str:
    unit = time_scale(value)
    return wording.UNDEFINED if value is None else f"{_three(unit, value)} {unit.unit}"


def _three(scale: Scale, value: float | None) -> str:
    """Three digits: of a slice there are not enough requests for a fourth."""
    return wording.UNDEFINED if value is None else figure(float(f"{value * scale.factor:.3g}"))
