"""Plots: empirical distributions against their limits, as SVG that takes its colours from the page.

matplotlib is imported when a plot is drawn and not before: `import reports` stays cheap. Figures are
objects of their own; nothing of pyplot, which would keep them in a global.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from reports.latency import Curve, LimitLine, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn in colours that nothing else uses, then replaced by the page's own variables.
_INK, _MUTED, _RULE, _CURVE, _SECOND, _LIMIT = (f"#0101{number:02x}" for number in range(6))
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _RULE: "--rule",
    _CURVE: "--curve",
    _SECOND: "--curve-2",
    _LIMIT: "--limit",
}
_ON_WHITE = {
    _INK: "#1b1d1f",
    _MUTED: "#5a6067",
    _RULE: "#dcded9",
    _CURVE: "#24508c",
    _SECOND: "#7a6a2f",
    _LIMIT: "#8a3b12",
}
_MOST_POINTS = 200
_LONG_TAIL = 20  # times the median: from there on only a logarithm shows both


def plot_svg(panel: Panel, prefix: str) -> str:
    """One panel as inline SVG: text as text, colours as CSS variables, ids that start with the prefix."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        figure = Figure(figsize=(4.0, 2.7), facecolor="none")
        axes = figure.add_axes((0.14, 0.19, 0.83, 0.76))
        _draw(axes, panel)
        return _inlined(_saved(figure, "svg").decode(), prefix, _described(panel))


def plots_png(panels: Sequence[Panel], title: str) -> bytes:
    """Panels side by side on white, for where no page can be shown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * max(1, len(panels)), 3.4), dpi=110, layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), fontsize=10)
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        _draw(axes, panel, _ON_WHITE)
        axes.set_title(panel.name, fontsize=10)
    return _saved(figure, "png")


def _saved(figure: Figure, kind: str) -> bytes:
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None} if kind == "svg" else None
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    figure.clear()
    return buffer.getvalue()


def _draw(axes: Axes, panel: Panel, colours: dict[str, str] | None = None) -> None:
    paint = colours or {name: name for name in _VARIABLES}
    left, right, logarithmic = _range(panel)
    axes.set_xscale("log" if logarithmic else "linear")
    axes.set_xlim(left, right)
    axes.set_ylim(0, 1.04)
    for curve, colour, style in zip(panel.curves, (_CURVE, _SECOND), ("-", (0, (4, 2))), strict=False):
        values, shares = _steps(curve, panel, left, right)
        axes.plot(values, shares, color=paint[colour], linestyle=style, linewidth=1.8, drawstyle="steps-post")
    for line in panel.limits:
        _draw_limit(axes, line, panel, paint)
    _dress(axes, panel, paint, logarithmic=logarithmic)


def _range(panel: Panel) -> tuple[float, float, bool]:
    factor = panel.scale.factor
    values = [value * factor for curve in panel.curves for value in curve.values]
    limits = [line.value_s * factor for line in panel.limits]
    median, highest = values[len(values) // 2], max((*values, *limits))
    least = min((value for value in (*values, *limits) if value > 0), default=0.0)
    if least > 0 and median > 0 and highest > _LONG_TAIL * median:
        return least * 0.8, highest * 1.2, True
    return 0.0, (highest or 1.0) * 1.08, False


def _steps(curve: Curve, panel: Panel, left: float, right: float) -> tuple[list[float], list[float]]:
    """The curve's corners. It runs on to the right edge, below 100 % by those that never completed."""
    n = len(curve.values)
    step = max(1, n // _MOST_POINTS)
    # Thinned where requests lie dense; the last ones, which the limits are about, are all kept.
    ranks = sorted({*range(0, n, step), *range(max(0, n - 40), n)})
    values = [left, *(max(left, curve.values[rank] * panel.scale.factor) for rank in ranks), right]
    shares = [0.0, *((rank + 1) / curve.total for rank in ranks), n / curve.total]
    return values, shares


def _draw_limit(axes: Axes, line: LimitLine, panel: Panel, paint: dict[str, str]) -> None:
    x = line.value_s * panel.scale.factor
    style = ":" if line.share is None else "--"
    axes.axvline(x, color=paint[_LIMIT], linestyle=style, linewidth=1.3)
    if line.share is not None:
        # The point that the curve must pass on its left and above.
        axes.plot([x], [line.share], marker="D", markersize=5, color=paint[_LIMIT], clip_on=False)


def _dress(axes: Axes, panel: Panel, paint: dict[str, str], *, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, StrMethodFormatter

    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(paint[_RULE])
    axes.grid(axis="y", color=paint[_RULE], linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if logarithmic:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(colors=paint[_MUTED], labelsize=9, length=0, pad=5)
    label = f"{panel.scale.unit}, logarithmic" if logarithmic else panel.scale.unit
    axes.set_xlabel(label, color=paint[_MUTED], fontsize=9, loc="right", labelpad=2)


def _described(panel: Panel) -> str:
    """What the plot shows, for who cannot see it."""
    parts = [f"Share of requests against {panel.name}"]
    parts += [f"{one.label}: {len(one.values)} of {one.total} requests have one" for one in panel.curves]
    for line in panel.limits:
        share = "" if line.share is None else f" for {line.share:.4g} of all requests"
        parts.append(f"limit {panel.scale.quantity(line.value_s)}{share}")
    return "; ".join(parts)


def _inlined(svg: str, prefix: str, description: str) -> str:
    """matplotlib's document as a fragment: nothing in it may style, name or number the rest of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S)
    viewbox = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg class="plot" {viewbox[0] if viewbox else ""} role="img" aria-label="{escape(description)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'href="#{prefix}-')
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: _rounded(path[0]), svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def _rounded(path: str) -> str:
    return re.sub(r"(\.\d\d)\d+", r"\1", path).replace("\n", "")
