"""Draws the dashboards without Grafana: each panel from its own queries, one PNG a dashboard.

`python -m deploy.monitoring.draw --prometheus http://127.0.0.1:9090 --folder pages` asks for the last minutes
as Grafana would: the same queries, its variables filled in, a point each `step`, limits as lines.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from PIL import Image

DASHBOARDS = Path(__file__).with_name("dashboards")
TIMEOUT_S = 30.0
POINTS = 240
MOST_BYTES = 64 << 20
LEGEND_LINES = 6
DPI = 85
COLOURS_KEPT = 128  # of a picture: lines and letters need no more
COLUMN_IN, ROW_IN = 0.72, 0.33  # of one column and one row of Grafana's grid
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
BINARY = ((2**30, "Gi"), (2**20, "Mi"), (2**10, "Ki"))
SUFFIXES = {"s": " s", "reqps": "/s", "celsius": " °C", "watt": " W", "hertz": " Hz", "joule": " J"}
COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name, and (unix s, value) pairs without those that are no number."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for: from, to, and a point each so often; how often targets are scraped. Unix s, s."""

    start_s: float
    end_s: float
    step_s: float
    scrape_s: float

    @property
    def rate_interval_s(self) -> float:
        """As Grafana chooses it: never so short that a rate has fewer than four scrapes."""
        return max(self.step_s + self.scrape_s, 4 * self.scrape_s)


def filled(expr: str, window: Window) -> str:
    """A panel's query with the variables of Grafana filled in: all models, all replicas."""
    for name, value in (
        ("$__rate_interval", f"{math.ceil(window.rate_interval_s)}s"),
        ("$model", ".*"),
        ("$replica", ".*"),
    ):
        expr = expr.replace(name, value)
    return expr


def lines_of(url: str, target: Mapping[str, Any], window: Window) -> list[Line]:
    """The series of one query. ValueError when Prometheus refuses it, OSError when it does not answer."""
    asked = {
        "query": filled(target["expr"], window),
        "start": window.start_s,
        "end": window.end_s,
        "step": window.step_s,
    }
    body = urllib.parse.urlencode(asked).encode()
    address = f"{url.rstrip('/')}/api/v1/query_range"
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"not the URL of a Prometheus: {url}")
    with urllib.request.urlopen(address, body, timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked above
        told = json.loads(answer.read(MOST_BYTES))
    return [
        Line(
            _named(target.get("legendFormat", ""), series["metric"]),
            tuple((at, float(value)) for at, value in series["values"] if math.isfinite(float(value))),
        )
        for series in told["data"]["result"]
    ]


def _named(form: str, labels: Mapping[str, str]) -> str:
    name = form
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return " ".join(part for part in name.split() if not part.startswith("{{"))


def note_of(url: str, window: Window) -> str:
    """What must stand on every picture with GPUs: readings of a stub are none of a GPU."""
    stubs = lines_of(url, {"expr": "gpu_exporter_stub"}, window)
    if any(value == 1 for line in stubs for _, value in line.points):
        return "   (GPU readings are made up by a stub of NVML)"
    return ""


def draw(dashboard: Mapping[str, Any], url: str, window: Window, path: Path, note: str = "") -> int:
    """One picture of a dashboard, and how many of its panels have nothing to show."""
    panels = dashboard["panels"]
    rows = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    figure = plt.figure(figsize=(24 * COLUMN_IN, rows * ROW_IN + 0.6), dpi=DPI)
    top = 1 - 0.6 / (rows * ROW_IN + 0.6)
    title_y = 1 - 0.2 / (rows * ROW_IN + 0.6)
    figure.suptitle(f"{dashboard['title']}{note}", x=0.01, y=title_y, ha="left", weight="bold")
    empty = 0
    for panel in panels:
        place = panel["gridPos"]
        left, bottom = place["x"] / 24, top * (1 - (place["y"] + place["h"]) / rows)
        width, height = place["w"] / 24, top * place["h"] / rows
        axes = figure.add_axes((left + 0.035, bottom + 0.28 * height, width - 0.05, 0.58 * height))
        lines = [line for target in panel["targets"] for line in lines_of(url, target, window)]
        empty += not any(line.points for line in lines)
        _panel(axes, panel, lines, window)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(COLOURS_KEPT).save(path, optimize=True)
    return empty


def _panel(axes: Axes, panel: Mapping[str, Any], lines: Sequence[Line], window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_title(panel["title"], fontsize=10, loc="left", weight="bold")
    shown = sorted((one for one in lines if one.points), key=_last, reverse=True)
    for number, line in enumerate(shown):
        ages = [at - window.end_s for at, _ in line.points]
        colour = COLOURS[number % len(COLOURS)]
        label = line.name[:44] if number < LEGEND_LINES else None
        axes.plot(
            ages,
            [value for _, value in line.points],
            lw=1.3,
            color=colour,
            label=label,
            clip_on=False,
            zorder=3,
        )
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is not None:
            axes.axhline(step["value"], color=step["color"], lw=1, ls="--")
    _scales(axes, defaults, shown, window)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, lw=0.4, alpha=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if any(line.name for line in shown[:LEGEND_LINES]):
        axes.legend(
            fontsize=7, loc="upper left", bbox_to_anchor=(-0.02, -0.12), ncols=2, frameon=False, borderpad=0
        )
    if not shown:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", color="grey")


def _scales(axes: Axes, defaults: Mapping[str, Any], lines: Sequence[Line], window: Window) -> None:
    unit, top = defaults.get("unit"), _top(defaults, lines)
    axes.set_xlim(window.start_s - window.end_s, 0)
    axes.set_ylim(bottom=defaults.get("min"), top=top)
    axes.xaxis.set_major_locator(MultipleLocator((window.end_s - window.start_s) / 3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda age, _: f"{age / 60:.1f} min" if age else "now"))
    # Bytes are counted in powers of two, so that 1 GiB is a tick and 0.93 GiB is none.
    if unit == "bytes" and top:
        axes.yaxis.set_major_locator(MultipleLocator(2 ** math.ceil(math.log2(top / 4))))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, unit)))


def _last(line: Line) -> float:
    return line.points[-1][1]


def _top(defaults: Mapping[str, Any], lines: Sequence[Line]) -> float | None:
    """The axis' own end, or room above the highest value; a line at 0 alone needs an axis all the same."""
    if defaults.get("max") is not None:
        return float(defaults["max"]) * 1.03
    highest = max((value for line in lines for _, value in line.points), default=0.0)
    return highest * 1.12 if highest > 0 else 1.0


def written(value: float, unit: str | None) -> str:
    """A number of an axis in Grafana's unit."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        return _prefixed(value, BINARY, "B")
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    return _prefixed(value, PREFIXES, SUFFIXES.get(unit or "", ""))


def _prefixed(value: float, prefixes: Sequence[tuple[float, str]], suffix: str) -> str:
    for size, prefix in prefixes:
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{suffix.lstrip()}"
    return f"{value:.3g}{suffix if suffix.startswith((' ', '/')) or not suffix else ' ' + suffix}"


def main(words: list[str] | None = None) -> int:
    """Draw them; 0, or 1 when Prometheus does not answer or refuses a query."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring.draw", description=__doc__)
    parser.add_argument("--prometheus", required=True, metavar="URL")
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--scrape-s", type=float, default=5.0, help="how often targets are scraped")
    options = parser.parse_args(words)
    options.folder.mkdir(parents=True, exist_ok=True)
    now_s = float(math.floor(time.time()))
    step_s = max(options.scrape_s, math.ceil(options.minutes * 60 / POINTS))
    window = Window(now_s - options.minutes * 60, now_s, step_s, options.scrape_s)
    for path in sorted(DASHBOARDS.glob("*.json")):
        picture = options.folder / f"{path.stem}.png"
        try:
            dashboard = json.loads(path.read_text("utf-8"))
            note = note_of(options.prometheus, window) if "gpu" in json.dumps(dashboard["panels"]) else ""
            empty = draw(dashboard, options.prometheus, window, picture, note)
        except (OSError, ValueError) as error:
            print(f"draw: {path.name}: {error}", file=sys.stderr)
            return 1
        print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB, {empty} panels without data")
    return 0


if __name__ == "__main__":
    sys.exit(main())
