"""Writes the dashboards, with the objectives' limits as lines, and the guide to what they show.

`python -m deploy.monitoring.build` from the repository's root, after any change of panels or of objectives.
The lines come from `python -m instruments rules … --dashboard`, which is asked as a program.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
)

from deploy.monitoring.boards import engine, gpu, latency, objectives, overview, traffic
from deploy.monitoring.guide import guide_text
from deploy.monitoring.panel import DATASOURCE, Panel, in_grafana

ROOT = Path(__file__).parents[2]
FOLDER = Path("deploy/monitoring/dashboards")
GUIDE = Path("deploy/guides/metrics.md")
CATALOG = Path("suites/catalog/objectives/smoke.yaml")
TAG = "vllm-slo"
# Where deploy/compose shows Grafana's visitors the guides.
GUIDES = "/public/guides"
BOUND_S = 60.0


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard: its file's name is in its uid."""

    name: str
    title: str
    shows: str
    panels: Sequence[Panel]


BOARDS = (
    Board("overview", "vLLM service", "Is the service well?", overview.PANELS),
    Board("traffic", "vLLM traffic and errors", "Who asks, and how it ends.", traffic.PANELS),
    Board("latency", "vLLM latency", "How long answers take, and where.", latency.PANELS),
    Board("engine", "vLLM tokens and KV cache", "What the engine does, how full it is.", engine.PANELS),
    Board("gpu", "vLLM GPUs", "What the GPUs do.", gpu.PANELS),
    Board("objectives", "vLLM objectives and error budgets", "What is promised.", objectives.PANELS),
)


def dashboard_of(board: Board) -> dict[str, Any]:
    """Grafana's classic JSON, without the lines of objectives."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"vllm-slo-{board.name}")
        .description(board.shows)
        .tags([TAG, "vllm"])
        .timezone("utc")
        .refresh("10s")
        .time("now-30m", "now")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(_link("Dashboards", DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True))
        .link(_link("What each panel means", DashboardLinkType.LINK).url(f"{GUIDES}/metrics.md"))
        .link(_link("What to do about it", DashboardLinkType.LINK).url(f"{GUIDES}/troubleshooting.md"))
        .annotation(
            dashboard.AnnotationQuery()
            .name("Pages")
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color("red")
            .expr('ALERTS{alertstate="firing", severity="page"}')
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("model", "Model", "label_values(vllm:num_requests_running, model_name)"))
        .with_variable(_variable("replica", "Replica", "label_values(vllm:num_requests_running, instance)"))
    )
    for number, panel in enumerate(board.panels):
        guide = f"Guide: {GUIDE.name}, “{board.title}”"
        built.with_panel(in_grafana(panel, number, guide))
    document: dict[str, Any] = json.loads(JSONEncoder().encode(built.build()))
    return document


def _link(title: str, kind: DashboardLinkType) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(title).type(kind).keep_time(True).target_blank(kind is DashboardLinkType.LINK)
    )


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(text="All", value="$__all", selected=True))
    )


def write(folder: Path, guide: Path) -> None:
    """All dashboards into a folder, and the guide. CalledProcessError when the lines cannot be laid on."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        path = folder / f"{board.name}.json"
        path.write_text(json.dumps(dashboard_of(board), indent=2, ensure_ascii=False) + "\n", "utf-8")
        lay_lines_on(path)
    guide.write_text(guide_text(BOARDS), "utf-8")


def lay_lines_on(path: Path) -> None:
    """The limits of the catalog's objectives, on the panels that show what they limit."""
    command = [sys.executable, "-m", "instruments", "rules", str(CATALOG)]
    subprocess.run(
        [*command, "--dashboard", str(path.resolve()), "-o", str(path.resolve())],
        cwd=ROOT,
        check=True,
        timeout=BOUND_S,
    )


def main(words: list[str] | None = None) -> int:
    """Write them; 0."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring.build", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / FOLDER, help="default: %(default)s")
    parser.add_argument("--guide", type=Path, default=ROOT / GUIDE, help="default: %(default)s")
    options = parser.parse_args(words)
    write(options.folder, options.guide)
    return 0


if __name__ == "__main__":
    sys.exit(main())
