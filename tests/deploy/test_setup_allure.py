"""`make report` and `make report-gate`: what they refuse, what they make, and one history over runs."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.setup import allure, node
from deploy.setup.allure_trends import write_trends
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp
from reports.allure_files.categories import categories

DAY_MS = 86_400_000
VIOLATED = "instruments.slo.verdict.ObjectiveViolated: VIOLATED: ttft: 9 of 10 bad"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(allure, "RESULTS", tmp_path / "results")
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def run(results: Path, day: int, statuses: dict[str, str], **record: Any) -> Path:
    """A run of a day whose claims ended like this; each took a second, one after the other."""
    folder = results / f"2026110{day}T000000Z-local"
    (folder / "allure").mkdir(parents=True)
    for at, (name, status) in enumerate(statuses.items()):
        began = day * DAY_MS + at * 1000
        said = {"statusDetails": {"message": VIOLATED}} if status == "broken" else {}
        told = {"uuid": f"{day}-{name}", "name": name, "fullName": f"suites#{name}", "historyId": name,
                "status": status, "start": began, "stop": began + 1000, "labels": [], **said}  # fmt: skip
        (folder / "allure" / f"{day}-{name}-result.json").write_text(json.dumps(told))
    facts = f"run={folder.name}\nclaims\\ selected={len(statuses)}\n"
    (folder / "allure" / "environment.properties").write_text(facts)
    (folder / "allure" / "categories.json").write_text(json.dumps(categories()))
    (folder / "allure" / "executor.json").write_text(json.dumps({"name": "by hand", "type": "local"}))
    told = {"run_id": folder.name, "simulated": False, "finished_at": "2026-11-01T00:00:00+00:00", **record}
    (folder / "run.json").write_text(json.dumps(told))
    (results / "latest").unlink(missing_ok=True)
    (results / "latest").symlink_to(folder.name)
    return folder


def test_nothing_to_report_is_one_clear_error(results: Path) -> None:
    with pytest.raises(
        SetupError, match=r"Allure results of a run in .*allure\nseen:     none\n.*make smoke"
    ):
        allure.newest(results)
    (results / "latest" / "allure").mkdir(parents=True)
    (results / "latest" / "allure" / "executor.json").write_text("{}")
    with pytest.raises(SetupError, match="seen:     a session that ended before its first claim did"):
        allure.newest(results)


def test_a_report_says_that_its_session_was_simulated_or_is_not_whole(results: Path) -> None:
    run(results, 1, {"a": "passed"})
    assert allure.newest(results).name == "vLLM SLO 20261101T000000Z-local"
    folder = run(results, 2, {"a": "passed", "b": "passed"}, simulated=True, finished_at=None)
    facts = folder / "allure" / "environment.properties"
    facts.write_text(facts.read_text().replace("selected=2", "selected=76"))
    assert (
        allure.newest(results).name
        == "vLLM SLO 20261102T000000Z-local, simulated, not finished, 2 of 76 claims"
    )
    facts.unlink()
    (folder / "run.json").write_text('{"torn')
    assert (allure.newest(results).name, allure.newest(results).selected) == (f"vLLM SLO {folder.name}", None)


def test_a_history_is_taken_over_without_what_is_torn_and_without_the_runs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.jsonl"
    assert allure.others(history, None) == []
    history.write_text('{"uuid": "a"}\n{"uuid": "b"}\n{"uuid": "c", "te')
    assert allure.others(history, "a") == ['{"uuid": "b"}\n']
    assert "1 torn lines" in capsys.readouterr().out
    monkeypatch.setattr(allure, "LONGEST_HISTORY", 1)
    assert allure.others(history, None) == ['{"uuid": "b"}\n']


@pytest.mark.parametrize(("said", "oldest", "refused"), [
    ("v20.20.2", allure.OLDEST_NODE, None),
    ("v18.1.0", allure.OLDEST_NODE, "node 20 or newer with npm, for Allure's report"),
    ("v20.20.2", allure.OLDEST_NODE_OF_GATE, "node 22 or newer with npm, for Allure's quality gate"),
    ("v24.0.0", allure.OLDEST_NODE_OF_GATE, None),
    ("", allure.OLDEST_NODE, "no working node and npm"),
])  # fmt: skip
def test_a_node_that_is_too_old_is_said_to_be(
    said: str, oldest: int, refused: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm") if said else ():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho {said}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(node, "stamp", lambda *_: type("Made", (), {"matches": True}))
    if refused is None:
        allure.install(oldest)
        return
    with pytest.raises(SetupError, match=re.escape(refused)):
        allure.install(oldest)


def test_a_simulated_engine_never_passes_the_gate(results: Path) -> None:
    run(results, 1, {"a": "passed"}, simulated=True)
    with pytest.raises(SetupError, match="a simulated one never passes a gate"):
        allure.gate()


def test_trends_are_counted_from_the_history(tmp_path: Path) -> None:
    def test(status: str, start: int, stop: int, message: str = "") -> dict[str, Any]:
        return {"status": status, "start": start, "stop": stop, "message": message}

    broken = test("broken", 2000, 9000, VIOLATED)
    points: list[dict[str, Any]] = [
        {"name": "first", "testResults": {"x": test("passed", 1000, 3000), "y": broken}},
        {"name": "second", "url": "https://r.example/2", "testResults": {"x": test("skipped", 0, 0)}},
        {"name": "odd", "testResults": None},
    ]  # fmt: skip
    (tmp_path / "categories.json").write_text(json.dumps(categories()))
    (tmp_path / "executor.json").write_text('{"name": "by hand"}')
    write_trends(tmp_path / "trends", points, tmp_path)

    def told(name: str) -> list[Any]:
        found: list[Any] = json.loads((tmp_path / "trends" / f"{name}.json").read_text())
        return found

    # The newest first; from the first start, 1 s, to the last stop, 9 s.
    assert [one["data"] for one in told("duration-trend")] == [
        {"duration": 0},
        {"duration": 0},
        {"duration": 8000},
    ]
    assert [one["data"] for one in told("categories-trend")] == [{}, {}, {"Objective violated": 1}]
    assert [(one["buildOrder"], one["reportName"]) for one in told("history-trend")] == [
        (3, "odd"), (2, "second"), (1, "first"),
    ]  # fmt: skip
    counted = told("history-trend")[2]["data"]
    assert (counted["passed"], counted["broken"], counted["total"]) == (1, 1, 2)
    executor = json.loads((tmp_path / "trends" / "executor.json").read_text())
    assert executor == {"name": "by hand", "buildOrder": 4}


@functools.cache
def _why_not(oldest: int) -> str | None:
    """Why Allure cannot be run here, in words; None where it can: nothing is installed by a test."""
    if (found := node.major() or 0) < oldest:
        return f"no node {oldest} with npm on this machine: {found or 'none'}"
    made = stamp(allure.HOME, [*(allure.RECIPE / name for name in node.RECIPE_FILES), *allure.INPUTS])
    if not made.matches:
        return "Allure is not installed: `make report` installs it"
    return None


@pytest.fixture
def allure_here() -> None:
    if (why := _why_not(allure.OLDEST_NODE)) is not None:
        pytest.skip(why)


@pytest.mark.usefixtures("allure_here")
def test_three_runs_are_three_points_of_every_trend_and_pages_call_nowhere(results: Path) -> None:
    days = {
        1: {"a": "passed", "b": "passed"},
        2: {"a": "broken", "b": "passed"},
        3: {"a": "passed", "b": "skipped"},
    }
    for day, statuses in days.items():
        folder = run(results, day, statuses)
        allure.report()
    allure.report()  # again: not a fourth point

    def widget(name: str) -> list[dict[str, Any]]:
        path = folder / "allure-report" / "allure2" / "widgets" / f"{name}.json"
        found: list[dict[str, Any]] = json.loads(path.read_text())
        return sorted(found, key=lambda one: int(one["buildOrder"]))

    assert len((results / "history.jsonl").read_text().splitlines()) == 3
    trend = [one["data"] for one in widget("history-trend")]
    assert [(one["passed"], one["broken"], one["skipped"]) for one in trend] == [
        (2, 0, 0),
        (1, 1, 0),
        (1, 0, 1),
    ]
    assert [one["data"] for one in widget("duration-trend")] == [{"duration": 2000}] * 3
    assert [one["data"] for one in widget("categories-trend")] == [{}, {"Objective violated": 1}, {}]
    dynamics = _chart(folder / "allure-report" / "awesome", "statusDynamics")
    assert [point["statistic"]["total"] for point in dynamics["data"]] == [2, 2, 2]
    pages = list((folder / "allure-report").rglob("*.html"))
    assert len(pages) >= 3
    assert not [page for page in pages if b"googletagmanager" in page.read_bytes()]


def _chart(awesome: Path, kind: str) -> dict[str, Any]:
    """One chart's data of Allure 3's own pages."""
    for path in awesome.rglob("charts.json"):
        general = json.loads(path.read_text()).get("general", {})
        found = [one for one in general.values() if one.get("type") == kind]
        if found:
            chart: dict[str, Any] = found[0]
            return chart
    raise AssertionError(f"no chart {kind} below {awesome}")


@pytest.mark.usefixtures("allure_here")
def test_a_report_that_cannot_be_made_leaves_the_history_as_it_was(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(results, 1, {"a": "passed"})
    (results / "history.jsonl").write_text('{"uuid": "x", "name": "before"}\n')
    monkeypatch.setattr(allure, "PROGRAM", Path("/nowhere/cli.js"))
    with pytest.raises(SetupError, match="exit status 1"):
        allure.report()
    assert (results / "history.jsonl").read_text() == '{"uuid": "x", "name": "before"}\n'


def test_the_gate_fails_for_a_failure_and_for_claims_that_are_missing(results: Path) -> None:
    if (why := _why_not(allure.OLDEST_NODE_OF_GATE)) is not None:
        pytest.skip(why)
    folder = run(results, 1, {"a": "passed", "b": "skipped"})
    allure.gate()
    (folder / "allure" / "environment.properties").write_text("claims\\ selected=3\n")
    with pytest.raises(SetupError, match="minTestsCount"):
        allure.gate()
    run(results, 2, {"a": "passed", "b": "broken"})
    with pytest.raises(SetupError, match="maxFailures"):
        allure.gate()
    assert not (results / "history.jsonl").exists()
