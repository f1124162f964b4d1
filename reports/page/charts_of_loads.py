"""All drawings of one load: distributions, then what became of it over time, with their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instruments.slo import ServiceLevelObjective
from reports import latency, wording
from reports.charts.arrivals import Arrivals, arrivals
from reports.charts.errors import ErrorRow, error_rows
from reports.charts.over_time import ClientSeries, ServerSeries, client_series, server_series
from reports.charts.slices import Slices, slices_of
from reports.loads import Load
from reports.page.chart_tables import Table, band_table, heat_table, time_table
from reports.plots.distributions import plot_svg
from reports.plots.errors import errors_svg
from reports.plots.heat import HeatLevel, heat_levels, heat_svg
from reports.plots.over_time import client_svg, server_svg
from reports.plots.time_axis import ends_early
from reports.wording import whole


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, its name, and of what and how many it is. `levels`: what the shades of a heat map mean."""

    name: str
    caption: str
    svg: str
    levels: tuple[HeatLevel, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadCharts:
    """Drawings of one load, and the tables of their numbers."""

    distributions: tuple[Chart, ...]
    over_time: tuple[Chart, ...]
    tables: tuple[Table, ...]

    @property
    def size(self) -> int:
        """Characters of all drawings."""
        return sum(len(one.svg) for one in (*self.distributions, *self.over_time))


def load_charts(
    load: Load, objectives: Sequence[ServiceLevelObjective], samples: latency.Samples, prefix: str
) -> LoadCharts:
    """Everything that can be drawn of a load. Ids of the drawings begin with the prefix."""
    panels = latency.panels(load.summary, objectives, samples)
    drawn = tuple(
        Chart(panel.name, _panel_caption(panel), plot_svg(panel, f"{prefix}-{at}"))
        for at, panel in enumerate(panels)
    )
    tables = (band_table(load.summary.name, panels),) if panels else ()
    slices = slices_of(load.summary)
    if slices is None:
        return LoadCharts(drawn, (), tables)
    charts, over_time = _over_time(load, slices, prefix)
    return LoadCharts(drawn, charts, tables + over_time)


def _over_time(load: Load, slices: Slices, prefix: str) -> tuple[tuple[Chart, ...], tuple[Table, ...]]:
    name = load.summary.name
    client = client_series(load.run, load.summary, slices)
    server = server_series(load.summary, slices)
    arrived = arrivals(load.run, load.summary, slices)
    errors = error_rows(load.summary.records, slices)
    charts = [_client_chart(load, client, arrived, slices, prefix)]
    if server is not None:
        charts.append(_server_chart(load, server, slices, prefix))
    tables = [time_table(name, slices, client, arrived.tokens, server, errors)]
    if arrived.gaps:
        charts.append(_heat_chart(load, arrived, slices, prefix))
        tables.append(heat_table(name, arrived))
    if errors:
        charts.append(_error_chart(load, errors, slices, prefix))
    return tuple(charts), tuple(tables)


def _panel_caption(panel: latency.Panel) -> str:
    curve = panel.curves[0]
    known, missing = len(curve.values), curve.total - len(curve.values)
    parts = [f"{whole(known)} of {whole(curve.total)} requests"]
    if missing:
        parts.append(f"{whole(missing)} without one count as slower than everything")
    if panel.band is not None and panel.band.effective < 1:
        worth = whole(max(1, round(curve.total * panel.band.effective)))
        parts.append(f"they hang together: the band is that of {worth} independent ones")
    return "; ".join(parts)


def _client_chart(load: Load, client: ClientSeries, arrived: Arrivals, slices: Slices, prefix: str) -> Chart:
    parts = [
        f"{whole(sum(client.sent))} measured requests in {slices.count} slices of {_span(slices.width_s)}"
    ]
    others = len(load.run.records) - load.summary.due
    if others:
        parts.append(f"{whole(others)} of warm-up and cool-down are in flight and in tokens/s too")
    if arrived.tokens is None:
        parts.append("an answer came without its count of tokens: no tokens/s")
    if not any(one is not None for one in client.ttft_p50_s):
        parts.append("no slice has a TTFT")
    parts.append(_end(slices))
    svg = client_svg(client, arrived.tokens, slices, f"{prefix}-c")
    return Chart("Client over time", "; ".join(part for part in parts if part), svg)


def _server_chart(load: Load, server: ServerSeries, slices: Slices, prefix: str) -> Chart:
    samples = max(len(gauge.at_s) for gauge in server.gauges)
    said = wording.MILLISECONDS.quantity(server.clock_error_s)
    clock = f"its clock is the client's to within {said}" if server.clock_error_s is not None else ""
    if server.clock_error_s is None:
        clock = "how far its clock is from the client's is not known"
    source = load.summary.server.source if load.summary.server else wording.UNDEFINED
    caption = f"{wording.many(samples, 'sample')} by {source}; {clock}"
    if any(gauge.gaps for gauge in server.gauges):
        caption += "; a line breaks where nothing was told"
    return Chart("Server over time", caption, server_svg(server, slices, f"{prefix}-s"))


def _heat_chart(load: Load, arrived: Arrivals, slices: Slices, prefix: str) -> Chart:
    what = "tokens" if arrived.of_tokens else "chunks"
    parts = [f"{whole(arrived.gaps)} gaps of {whole(load.summary.completed)} answers, by when they ended"]
    if not arrived.of_tokens:
        parts.append("a chunk may carry several tokens: the server does not say how many")
    levels = heat_levels(int(arrived.heat.max()))
    svg = heat_svg(arrived, slices, f"{prefix}-h")
    return Chart(f"Gaps between {what}", "; ".join(parts), svg, levels)


def _error_chart(load: Load, errors: Sequence[ErrorRow], slices: Slices, prefix: str) -> Chart:
    total, outside = sum(row.total for row in errors), sum(row.outside for row in errors)
    parts = [f"{whole(total)} of {whole(load.summary.due)} requests, each at its end"]
    if outside:
        parts.append(f"{whole(outside)} outside of this time are not drawn")
    return Chart("What did not complete", "; ".join(parts), errors_svg(errors, slices, f"{prefix}-e"))


def _span(seconds: float) -> str:
    return wording.time_scale(seconds).quantity(float(f"{seconds:.3g}"))


def _end(slices: Slices) -> str:
    if slices.window_s is None:
        return "the run was cut off: from its first sending to what ended last"
    return "dotted: the measured window's end, after which only answers came" if ends_early(slices) else ""
