"""What changed since last time: which run is taken, what is said, and what the page shows of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reports.document import verdict_document
from reports.history import Since, find_since
from reports.model import SessionReport, read_report
from reports.page.since import since_view
from tests.reports.history.shelves import FINGERPRINT, put
from tests.reports.history.shelves import objective as told
from tests.reports.runs import RunBuilder, even_load, objective

NEWER = FINGERPRINT | {"engine.version": "vllm 0.32.0"}
Make = Callable[..., SessionReport]


@pytest.fixture
def now(tmp_path: Path) -> Make:
    """A run of 21 November: TTFT p95 is 950 ms [900, 990] by `tests.reports.runs`."""

    def make(**session: Any) -> SessionReport:
        builder = RunBuilder(tmp_path / "20261121T060000Z-local-ffff")
        builder.judge(builder.load("chat-10", even_load()), objective())
        builder.folder.write_document("fingerprint.json", FINGERPRINT)
        builder.claim("passed").session(run_id="20261121T060000Z-local-ffff", **session)
        return read_report(builder.folder.path)

    return make


def since(report: SessionReport) -> Since:
    found = find_since(report)
    assert found is not None
    return found


def test_alone_there_is_nothing_to_tell(now: Make) -> None:
    report = now()
    assert find_since(report) is None
    view = since_view(report, None)
    assert (view["since_shown"], view["since_line"]) == (False, "")


def test_the_newest_like_run_is_taken_and_the_difference_is_by_hand(tmp_path: Path, now: Make) -> None:
    put(tmp_path, 18, [told(2.0, 1.9, 2.1)])
    put(tmp_path, 19, [told(0.8, 0.76, 0.83)])
    put(tmp_path, 20, [told(0.7, 0.69, 0.71)], fingerprint=NEWER)
    found = since(now())
    assert found.last.before.name == "20261119T060000Z-local-0013"
    assert [one.name for one in found.passed_over] == ["20261120T060000Z-local-0014"]
    (change,) = found.last.changes
    # 0.95 − 0.8 = 0.15, less √(50² + 30²) ms = 58.3, and more √(40² + 40²) ms = 56.6.
    assert change.interval is not None
    assert (change.interval.value, change.interval.low, change.interval.high) == pytest.approx(
        (0.15, 0.15 - 0.0583095, 0.15 + 0.0565685)
    )
    assert list(found.lines()) == [
        (
            "20261119T060000Z-local-0013 (2026-11-19 06:00 UTC, MET): 0 of 1 objective changed state; "
            "of 1 value with an interval, 1 worse and 0 better by more than chance within a run explains"
        ),
        "chat.ttft: MET, 0.8 s → 0.95 s, +0.15 s [+0.09169, +0.2066], worse",
    ]


def test_where_none_is_like_it_the_newest_is_shown_and_nothing_is_judged(tmp_path: Path, now: Make) -> None:
    put(tmp_path, 19, [told(0.1, 0.09, 0.11)], fingerprint=NEWER)
    put(tmp_path, 20, [told(0.2, 0.19, 0.21, state="INCONCLUSIVE")], fingerprint=NEWER)
    report = now()
    found = since(report)
    assert (found.last.before.name[:8], found.last.like) == ("20261120", False)
    lines = list(found.lines())
    assert "differences are not judged, the runs are unlike in engine.version" in lines[0]
    assert lines[1] == "chat.ttft: INCONCLUSIVE → MET, 0.2 s → 0.95 s, +0.75 s [+0.699, +0.7912]"
    assert lines[2] == "unlike: engine.version vllm 0.32.0 → vllm 0.31.0; not compared as equals"
    beside = since_view(report, found)["since_last"]
    (row,) = beside.rows
    assert (row.told, row.kind, beside.by_chance) == ("not judged", "", "")
    assert beside.apart == (("engine.version", "vllm 0.32.0", "vllm 0.31.0"),)


def test_a_run_that_judged_nothing_of_it_is_passed_over(tmp_path: Path, now: Make) -> None:
    put(tmp_path, 19, [told(0.9, 0.8, 1.0)])
    put(tmp_path, 20, [told(0.9, 0.8, 1.0, id="other")])
    assert since(now()).last.before.name[:8] == "20261119"


@pytest.mark.parametrize(
    "session",
    [
        {"environment": "eks"},
        {"engine": "simulator"},
        {"finished_at": None},
        {"started_at": "2026-11-21T06:00:01+00:00"},
        {"run_id": "20261121T060000Z-local-ffff"},
    ],
)
def test_runs_of_elsewhere_unfinished_later_and_itself_are_none(
    tmp_path: Path, now: Make, session: dict[str, Any]
) -> None:
    put(tmp_path, 20, [told(0.9, 0.8, 1.0)], session=session)
    assert find_since(now()) is None


def test_a_broken_neighbour_is_passed_over(tmp_path: Path, now: Make) -> None:
    put(tmp_path, 14, [told(0.9, 0.8, 1.0)])
    (put(tmp_path, 15) / "verdict.json").write_text("{")
    (put(tmp_path, 16) / "verdict.json").unlink()
    (put(tmp_path, 17) / "run.json").write_text("[1]")
    put(tmp_path, 18, schema=1)
    put(tmp_path, 19, objectives=[{"id": 7}])
    put(tmp_path, 20, fingerprint=["not", "a", "mapping"])
    (tmp_path / "a-file").write_text("")
    assert since(now()).last.before.name[:8] == "20261114"


def test_the_last_gate_that_was_met_is_told_where_it_is_another(tmp_path: Path, now: Make) -> None:
    gate: dict[str, Any] = {"gate": True}
    put(tmp_path, 16, [told(0.9, 0.8, 1.0)], session=gate, **gate)
    put(tmp_path, 17, [told(0.9, 0.8, 1.0)], session=gate, state="INCONCLUSIVE", **gate)
    put(tmp_path, 18, [told(0.9, 0.8, 1.0)], session=gate | {"exit_code": 10}, state="VIOLATED", **gate)
    report = now()
    found = since(report)
    assert found.last.before.name[:8] == "20261118"
    assert found.gate is not None
    assert found.gate.before.name[:8] == "20261116"
    assert since_view(report, found)["since_gate"].name == "20261116T060000Z-local-0010"
    put(tmp_path, 19, [told(0.9, 0.8, 1.0)], session=gate, **gate)
    assert since(report).gate is None


def test_the_strip_holds_the_last_20_runs_and_this_one(tmp_path: Path, now: Make) -> None:
    for day in range(1, 21):
        put(tmp_path / "more", day, [told(0.9, 0.8, 1.0)])
    for path in (tmp_path / "more").iterdir():
        path.rename(tmp_path / path.name)
    put(
        tmp_path,
        21,
        [told(0.9, 0.8, 1.0)],
        session={"started_at": "2026-11-20T09:00:00+00:00"},
        started_at="2026-11-20T09:00:00+00:00",
    )
    report = now()
    found = since(report)
    points = found.series["chat.ttft"].points
    assert (len(points), points[0].run[:8], points[-1].run[-4:]) == (21, "20261102", "ffff")
    view = since_view(report, found)
    assert len(view["since_values"]["rows"]) == 21
    assert view["since_values"]["rows"][0] == ("20261121T060000Z-local-ffff", True, ["0.95 s"])


def test_it_is_a_part_of_the_verdict_document(tmp_path: Path, now: Make) -> None:
    put(tmp_path, 20, [told(0.8, 0.76, 0.83)])
    report = now()
    document = json.loads(json.dumps(verdict_document(report, since(report)), allow_nan=False))["since"]
    assert document["before"]["run"] == "20261120T060000Z-local-0014"
    assert (document["like"], document["apart"], document["gate"]) == (True, {}, None)
    assert document["objectives"][0]["tells"] == "worse"
