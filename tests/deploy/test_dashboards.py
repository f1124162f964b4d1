"""The dashboards are what the code makes, with the catalog's lines, and Grafana can take them."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.build import BOARDS, CATALOG, GUIDE, Board, dashboard_of, lay_lines_on
from deploy.monitoring.guide import guide_text
from environments.binaries import ROOT
from instruments.slo.grafana import with_thresholds
from instruments.slo.objective import load_objectives
from tests.deploy.panels import DASHBOARDS, boards

AGAIN = "make them again: python -m deploy.monitoring.build"
NAMES = [board.name for board in BOARDS]


def text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("board", BOARDS, ids=NAMES)
def test_a_dashboard_is_what_the_code_and_the_catalog_make(board: Board) -> None:
    made = with_thresholds(dashboard_of(board), load_objectives(ROOT / CATALOG).values())
    assert (DASHBOARDS / f"{board.name}.json").read_text("utf-8") == text(made), AGAIN


def test_no_dashboard_is_left_that_nobody_makes() -> None:
    assert [*boards()] == sorted(NAMES)


def test_the_programs_lay_the_same_lines_on(tmp_path: Path) -> None:
    """The way of `python -m deploy.monitoring.build`, by the command line of `instruments`."""
    path = tmp_path / "latency.json"
    (board,) = (one for one in BOARDS if one.name == "latency")
    path.write_text(text(dashboard_of(board)), "utf-8")
    lay_lines_on(path)
    assert path.read_bytes() == (DASHBOARDS / "latency.json").read_bytes()


def test_the_lines_are_the_catalogs_on_every_panel_that_shows_what_they_limit() -> None:
    """Read off the catalog by hand: TTFT 0.2 s, TPOT 0.05 s, KV cache 90 %; a mean has no line
    of a p95's, and nothing else has a panel.
    """
    lines: dict[str, set[float]] = {}
    for board in boards().values():
        for panel in board["panels"]:
            steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
            found = {step["value"] for step in steps if step["value"] is not None}
            if found:
                lines.setdefault(panel["title"], found)
                assert lines[panel["title"]] == found
    assert lines == {
        "Time to first token": {0.2},
        "Time per output token": {0.05},
        "KV cache in use": {0.9},
    }


def test_the_guide_is_what_the_panels_say() -> None:
    assert (ROOT / GUIDE).read_text("utf-8") == guide_text(BOARDS), AGAIN


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_an_id_a_place_and_words_of_their_own(name: str) -> None:
    panels = boards()[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        shows, formula, guide = panel["description"].split("\n\n")[:3]
        assert shows
        assert formula
        assert guide.startswith("Guide: metrics.md, “")


@pytest.mark.parametrize("name", NAMES)
def test_every_query_goes_to_the_data_source_that_is_chosen(name: str) -> None:
    board = boards()[name]
    assert board["uid"] == f"vllm-slo-{name}"
    assert [one["name"] for one in board["templating"]["list"]] == ["datasource", "model", "replica"]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in board["panels"]:
        assert panel["datasource"] == chosen
        assert [one["refId"] for one in panel["targets"]] == sorted(
            {one["refId"] for one in panel["targets"]}
        )
        for target in panel["targets"]:
            assert target["datasource"] == chosen


def test_no_two_dashboards_have_one_uid() -> None:
    assert len({board["uid"] for board in boards().values()}) == len(BOARDS)
