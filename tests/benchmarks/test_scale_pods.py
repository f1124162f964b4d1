"""Load from Pods, as the page on scale tells it: by hand from runs made up here; no cluster is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scale.pods import MARKS, PAGE, PodRun, _objects, _told, placed, report
from instruments.clock import ClockAnchor
from instruments.records import ClientCheck, LoadRun, Outcome, Phase, RequestRecord

MS = 1_000_000
CLIENT = ClientCheck(0.002, 0.004, 0.0, 0.25, clock_error_s=0.0003, start_spread_s=0.0012, processes=4)
SAVED = {
    "machine": {"cores": 2},
    "rounds": 2,
    "pods": 4,
    "nodes": "1 node",
    "version": "v1.20.2",
    "load_before": 0.5,
}


def record(index: int, due_ms: int) -> RequestRecord:
    """Sent 2 ms late; chunks 100 ms apart; its last byte 350 ms after it was due."""
    at_ms = [due_ms + 102, due_ms + 202, due_ms + 302]
    return RequestRecord(
        index,
        f"r{index}",
        index,
        Phase.MEASURED,
        Outcome.COMPLETED,
        due_ns=due_ms * MS,
        sent_ns=(due_ms + 2) * MS,
        first_token_ns=at_ms[0] * MS,
        done_ns=(due_ms + 350) * MS,
        chunks_ns=tuple(at * MS for at in at_ms),
    )


def a_run(*records: RequestRecord) -> LoadRun:
    anchor = ClockAnchor(0, 1_795_240_810_000_000_000)
    return LoadRun("pods", {"open_loop": False}, anchor, records, client=CLIENT, complete=True)


def test_what_a_load_took_is_told_apart_from_all_else() -> None:
    told = _told(a_run(record(0, 1_000), record(1, 2_000)), 2, 4, 1, 3.0, 1_500_000)
    assert told.problem is None
    assert told.load_s == pytest.approx(1.35)  # from 1,000 to 2,350 ms
    assert told.rest_s == pytest.approx(1.65)
    assert told.send_lag_p99_ms == pytest.approx(2)
    assert told.itl_p99_ms == pytest.approx(100)
    assert told.cpu_share == 0.25
    assert told.clock_error_ms == pytest.approx(0.3)
    assert told.start_spread_ms == pytest.approx(1.2)


@pytest.mark.parametrize("change", [{"complete": False}, {"client": None}], ids=str)
def test_a_run_that_is_not_whole_counts_for_nothing(change: dict[str, object]) -> None:
    whole = a_run(record(0, 1_000))
    assert _told(whole, 1, 4, 1, 3.0, 1).problem is None
    assert _told(replace(whole, **change), 1, 4, 1, 3.0, 1).problem is not None  # type: ignore[arg-type]
    assert _told(whole, 2, 4, 1, 3.0, 1).problem == "1 of 2 streams came to their end; None; ()"


def test_the_table_has_medians_of_times_and_the_worst_of_errors() -> None:
    first = PodRun(64, 4, 1, None, 64, False, 0.1, 1.0, 2.0, 0.3, 0.5, 101.0, 8.0, 2.0, 100_000)
    second = replace(first, round=2, send_lag_p99_ms=3.0, clock_error_ms=0.9, rest_s=4.0)
    broken = PodRun(64, 4, 3, problem="a Pod was lost")
    text = report(SAVED, [first, second, broken])
    (line,) = [line for line in text.splitlines() if line.startswith("| 64 ")]
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    assert cells == ["64", "2", "0", "10.0", "3.00", "2.00", "0.90", "0.50", "101", "8.00", "3.00", "0.10"]
    assert "* 64 streams (3): a Pod was lost" in text


def test_it_has_its_place_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    changed = placed(page, "a table")
    assert f"{MARKS[0]}\n\na table\n\n{MARKS[1]}" in changed
    assert placed(changed, "a table") == changed
    with pytest.raises(ValueError, match="expected the lines"):
        placed("a page without", "a table")


def test_the_server_is_told_the_timing_that_the_table_names() -> None:
    deployment, service = _objects("a-namespace", "image:1")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    words = container["args"]
    assert words[words.index("--itl-ms") + 1] == "100"
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
