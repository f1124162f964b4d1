"""The canvas of every plot: the page's colours, axes that look alike, SVG as a fragment of the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Drawn in colours that nothing else uses, then replaced by the page's own variables.
INK, MUTED, RULE, CURVE, SECOND, LIMIT, MET, VIOLATED, INCONCLUSIVE, ALLOWED, CARD = (
    f"#0101{number:02x}" for number in range(11)
)
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    CURVE: "--curve",
    SECOND: "--curve-2",
    LIMIT: "--limit",
    MET: "--met",
    VIOLATED: "--violated",
    INCONCLUSIVE: "--inconclusive",
    ALLOWED: "--allowed",
    CARD: "--page",
}
ON_WHITE = {
    INK: "#1b1d1f",
    MUTED: "#5a6067",
    RULE: "#dcded9",
    CURVE: "#24508c",
    SECOND: "#7a6a2f",
    LIMIT: "#8a3b12",
}
BY_VARIABLES: Mapping[str, str] = {colour: colour for colour in _VARIABLES}
LONGEST = 2_000  # characters of a description: a name in it may be of any length
SMALL = 9  # points of text: the drawing is as wide as its column, so about as many pixels
Box = tuple[float, float, float, float]  # left, bottom, width, height: shares of the figure


def drawn(
    size: tuple[float, float], prefix: str, description: str, draw: Callable[[Figure], None], kind: str = ""
) -> str:
    """A figure of `size` inches as inline SVG: text as text, colours as variables, ids that start with
    the prefix. `kind` is a class of its own for the stylesheet."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "path.simplify": False}):
        figure = Figure(figsize=size, facecolor="none")
        draw(figure)
        return _inlined(saved(figure, "svg").decode(), prefix, description, f"plot {kind}".strip())


def saved(figure: Figure, kind: str) -> bytes:
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None} if kind == "svg" else None
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def axes_in(figure: Figure, box: Box, paint: Mapping[str, str] = BY_VARIABLES) -> Axes:
    """Axes with a rule below and faint lines across, and no other frame."""
    axes = figure.add_axes(box)
    dress(axes, paint)
    return axes


def dress(axes: Axes, paint: Mapping[str, str] = BY_VARIABLES) -> None:
    """What all axes look alike in."""
    from matplotlib.ticker import NullLocator, StrMethodFormatter

    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(paint[RULE])
    axes.grid(axis="y", color=paint[RULE], linewidth=0.7)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.tick_params(colors=paint[MUTED], labelsize=SMALL, length=0, pad=4)


def titled(axes: Axes, title: str, *others: tuple[str, str], width: float, above: float = 1.07) -> None:
    """A title on the left; on the right the names of the curves, each in its colour.

    `width` of the axes in inches: each name gets as much of it as text of this size may need.
    """
    look: dict[str, Any] = {"transform": axes.transAxes, "fontsize": SMALL, "va": "bottom"}
    axes.text(0, above, title, color=MUTED, **look)
    right = 1.0
    for name, colour in reversed(others):
        axes.text(right, above, name, color=colour, ha="right", **look)
        right -= (len(name) * SMALL * 0.58 + 9) / (72 * width)


def unit_below(axes: Axes, unit: str, paint: Mapping[str, str] = BY_VARIABLES) -> None:
    """The unit of the x-axis, below its right end."""
    axes.set_xlabel(unit, color=paint[MUTED], fontsize=SMALL, loc="right", labelpad=2)


def few_ticks(axes: Axes, most: int = 3) -> None:
    """At most so many round numbers on the y-axis, from 0; of nothing but 0 and gaps up to 1."""
    from matplotlib.ticker import MaxNLocator

    top = axes.dataLim.ymax
    axes.set_ylim(0, 1.06 * top if 0 < top < math.inf else 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def spread(places: Sequence[float], least: float) -> list[int]:
    """Which of ascending places (0 to 1) may have a label when labels need `least` between them.

    The last one has its label; from it downwards all that fit.
    """
    kept: list[int] = []
    for at in reversed(range(len(places))):
        if not kept or places[kept[-1]] - places[at] >= least:
            kept.append(at)
    return kept[::-1]


def _inlined(svg: str, prefix: str, description: str, names: str) -> str:
    """matplotlib's document as a fragment: nothing in it may style, name or number the rest of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.S)
    viewbox = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg class="{names}" {viewbox[0] if viewbox else ""} role="img" '
    head += f'aria-label="{escape(description[:LONGEST])}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.S)
    svg = _slim(_without_unused_ids(svg))
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace("url(#", f"url(#{prefix}-").replace('xlink:href="#', f'href="#{prefix}-')
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg


def _slim(svg: str) -> str:
    """Without what draws nothing; a tenth of a point, a sixth of a pixel on the page, is exact enough."""
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: _rounded(path[0]).replace(" L ", " "), svg)
    svg = re.sub(r' (?:x|y|width|height)="[^"]*"', lambda length: _rounded(length[0]), svg)
    svg = re.sub(r"<g>\s*</g>|<g/>", "", svg)
    return re.sub(r"\n\s*", "\n", _without_bare_groups(svg))


def _without_bare_groups(svg: str) -> str:
    """Groups without an attribute group nothing."""
    kept: list[str] = []
    bare: list[bool] = []
    for part in re.split(r"(</?g\b[^>]*>)", svg):
        if part.startswith("<g") and not part.endswith("/>"):
            bare.append(part == "<g>")
            kept.append("" if bare[-1] else part)
        elif part == "</g>":
            kept.append("" if bare.pop() else part)
        else:
            kept.append(part)
    return re.sub(r"\n\s*\n+", "\n", "".join(kept))


def _without_unused_ids(svg: str) -> str:
    """Groups that are only named, not referred to, need no name."""
    used = set(re.findall(r"url\(#([^)]+)\)", svg)) | set(re.findall(r'xlink:href="#([^"]+)"', svg))
    return re.sub(r' ?\bid="([^"]+)"', lambda one: one[0] if one[1] in used else "", svg)


def _rounded(numbers: str) -> str:
    short = re.sub(r"\d+\.\d+", lambda one: f"{float(one[0]):.1f}".removesuffix(".0"), numbers)
    return short.replace("\n", "")
