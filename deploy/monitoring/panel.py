"""A panel as data: what it shows, by which formula, from which queries; and the same as Grafana's panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import prometheus, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef, GridPos

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT = 8, 8  # of Grafana's 24 columns: three panels a row
WINDOW = "$__rate_interval"
# Which engines a query asks: the two variables that every dashboard has.
ENGINE = 'model_name=~"$model", instance=~"$replica"'


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """`formula` is in words and symbols for the guide. `empty` says when no data is no fault."""

    title: str
    shows: str
    formula: str
    unit: str
    queries: Sequence[Query]
    bottom: float | None = 0
    top: float | None = None  # of the axis, where the quantity has one
    empty: str | None = None


def quantiles(metric: str, labels: str = ENGINE, also: str = "model_name") -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram, interpolated within its buckets; one line for each of `also`."""
    by = f"le, {also}" if also else "le"
    chosen = f"{{{labels}}}" if labels else ""
    return tuple(
        Query(
            f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{chosen}[{WINDOW}])))",
            f"{name} {{{{{also}}}}}" if also else name,
        )
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def mean(metric: str, labels: str = ENGINE) -> str:
    """The mean of a histogram's values: their sum over their count, as PromQL."""
    chosen = f"{{{labels}}}" if labels else ""
    return f"sum(rate({metric}_sum{chosen}[{WINDOW}])) / (sum(rate({metric}_count{chosen}[{WINDOW}])) > 0)"


def beyond(metric: str, bound: str, labels: str = ENGINE) -> str:
    """The share of a histogram's values above one of its bucket bounds, exactly, as PromQL."""
    within, all_of = (
        f'sum(rate({metric}_bucket{{{labels}, le="{le}"}}[{WINDOW}]))' for le in (bound, "+Inf")
    )
    return f"1 - {within} / ({all_of} > 0)"


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """The rate of a counter, added up over all labels but `by`, as PromQL."""
    chosen = f"{{{labels}}}" if labels else ""
    return f"sum{f' by ({by}) ' if by else ''}(rate({metric}{chosen}[{WINDOW}]))"


def in_grafana(panel: Panel, number: int, guide: str) -> timeseries.Panel:
    """The panel at its place in the grid; `number` counts from 0 along rows."""
    row, column = divmod(number, 24 // WIDTH)
    words = f"{panel.shows}\n\n{panel.formula}\n\n{guide}"
    if panel.empty:
        words = f"{panel.shows} {panel.empty}\n\n{panel.formula}\n\n{guide}"
    built = (
        timeseries.Panel()
        .id(number + 1)
        .title(panel.title)
        .description(words)
        .datasource(DATASOURCE)
        .grid_pos(GridPos(h=HEIGHT, w=WIDTH, x=column * WIDTH, y=row * HEIGHT))
        .unit(panel.unit)
        .fill_opacity(8)
        .line_width(1.5)
        .show_points(VisibilityMode.NEVER)
        .legend(
            VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if panel.bottom is not None:
        built.min(panel.bottom)
    if panel.top is not None:
        built.max(panel.top)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        built.with_target(
            prometheus.Dataquery()
            .ref_id(letter)
            .datasource(DATASOURCE)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
        )
    return built
