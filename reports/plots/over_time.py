"""Time series drawn: the client's in one column, the server's in another, row beside row on one time axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import wording
from reports.charts.arrivals import Counts
from reports.charts.over_time import ClientSeries, Gauge, ServerSeries
from reports.charts.slices import Slices
from reports.plots.canvas import CURVE, SECOND, axes_in, drawn, few_ticks, titled, unit_below
from reports.plots.time_axis import time_axis
from reports.wording import PERCENT, Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _ROW, _BELOW = 4.0, 1.12, 0.42  # inches
_LEFT, _RIGHT = 0.13, 0.97  # of the width
_PLOT = _WIDTH * (_RIGHT - _LEFT)
_DASHED = (0, (4, 2))
_MARKED = 40  # samples, up to which each is a dot


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    at_s: Sequence[float]
    values: Sequence[float | None]
    stepped: bool  # by slice: each value holds until the next


@dataclass(frozen=True, slots=True)
class _Row:
    title: str
    lines: tuple[_Line, ...]
    factor: float = 1.0
    most: float | None = None  # the axis's end, where it is known


def client_svg(client: ClientSeries, tokens: Counts | None, slices: Slices, prefix: str) -> str:
    """Requests in flight, tokens per second, TTFT: by slice."""
    edges = slices.edges_s()
    rows = [_Row("client: requests in flight, mean", (_stepped("", edges, client.in_flight),))]
    if tokens is not None:
        rows.append(_Row("client: tokens/s", (_stepped("", edges, (tokens / slices.width_s).tolist()),)))
    unit = _ttft_unit(client)
    if unit is not None:
        ttft = (_stepped("p50", edges, client.ttft_p50_s), _stepped("p95, dashed", edges, client.ttft_p95_s))
        rows.append(_Row(f"client: TTFT, {unit.unit}", ttft, unit.factor))
    return _drawn(rows, slices, prefix, "Over time, as the client saw it")


def server_svg(server: ServerSeries, slices: Slices, prefix: str) -> str:
    """Running and waiting requests, KV cache, and what the GPUs told: each sample at its time."""
    by_name = {gauge.name: gauge for gauge in server.gauges}
    rows = []
    queue = tuple(
        _sampled(label, by_name[name])
        for name, label in (("running", "running"), ("waiting", "waiting, dashed"))
        if name in by_name
    )
    if queue:
        rows.append(_Row("server: requests", queue))
    gpus = "GPU" if server.gpus == 1 else f"{server.gpus} GPUs"
    for name, title, scale in (
        ("kv_cache_usage", "server: KV cache, %", PERCENT),
        ("power_w", f"{gpus}: power, W", wording.PLAIN),
        ("utilisation_share", f"{gpus}: utilisation, %", PERCENT),
    ):
        if name in by_name:
            most = 100.0 if name == "utilisation_share" else None
            rows.append(_Row(title, (_sampled("", by_name[name]),), scale.factor, most))
    return _drawn(rows, slices, prefix, "Over time, as the server told it")


def _drawn(rows: Sequence[_Row], slices: Slices, prefix: str, what: str) -> str:
    height = _ROW * len(rows) + _BELOW
    description = "; ".join([what, f"over {wording.duration(slices.span_s)}", *map(_told, rows)])
    return drawn((_WIDTH, height), prefix, description, _painter(rows, slices, height), "series")


def _painter(rows: Sequence[_Row], slices: Slices, height: float) -> Callable[[Figure], None]:
    def paint(figure: Figure) -> None:
        for at, row in enumerate(rows):
            bottom = (height - (at + 1) * _ROW) / height
            axes = axes_in(figure, (_LEFT, bottom, _RIGHT - _LEFT, (_ROW - 0.42) / height))
            _draw(axes, row, slices, last=at == len(rows) - 1)

    return paint


def _draw(axes: Axes, row: _Row, slices: Slices, *, last: bool) -> None:
    unit = time_axis(axes, slices, labelled=last)
    for line, colour, style in zip(row.lines, (CURVE, SECOND), ("-", _DASHED), strict=False):
        values = [math.nan if one is None else one * row.factor for one in line.values]
        at = [one * unit.factor for one in line.at_s]
        dots = "o" if not line.stepped and len(values) <= _MARKED else None
        draw_as = "steps-post" if line.stepped else "default"
        axes.plot(
            at, values, color=colour, linestyle=style, linewidth=1.5, drawstyle=draw_as, marker=dots,
            markersize=2.5, clip_on=dots is None,
        )  # fmt: skip
    few_ticks(axes)
    if row.most is not None:
        axes.set_ylim(0, row.most * 1.06)
    coloured = zip(row.lines, (CURVE, SECOND), strict=False)
    names = [(line.name, colour) for line, colour in coloured if line.name]
    titled(axes, row.title, *names, width=_PLOT)
    if last:
        unit_below(axes, unit.unit)


def _stepped(name: str, edges: Sequence[float], values: Sequence[float | None]) -> _Line:
    """By slice: the last value once more, so that its slice is drawn to its end."""
    return _Line(name, edges, [*values, values[-1]], stepped=True)


def _sampled(name: str, gauge: Gauge) -> _Line:
    """As it was told, with a break where nothing was."""
    at_s, values = list(gauge.at_s), list[float | None](gauge.values)
    for gap in reversed(gauge.gaps):
        at_s.insert(gap, at_s[gap])
        values.insert(gap, None)
    return _Line(name, at_s, values, stepped=False)


def _ttft_unit(client: ClientSeries) -> Scale | None:
    """None where no slice has a TTFT: then there is nothing to draw of it."""
    known = [one for one in (*client.ttft_p50_s, *client.ttft_p95_s) if one is not None]
    return wording.time_scale(max(known)) if known else None


def _told(row: _Row) -> str:
    told = []
    for line in row.lines:
        values = line.values[:-1] if line.stepped else line.values
        known = [one * row.factor for one in values if one is not None]
        span = f"from {wording.figure(min(known))} to {wording.figure(max(known))}" if known else "undefined"
        if known and (missing := len(values) - len(known)):
            of = f"undefined in {missing} of {len(values)} slices"
            span += f" and {of if line.stepped else wording.many(missing, 'gap')}"
        told.append(f"{line.name.partition(',')[0]} {span}".strip())
    return f"{row.title} {', '.join(told)}"
