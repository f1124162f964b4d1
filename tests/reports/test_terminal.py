"""Lines for a terminal: one an objective, evidence only where something is not as it must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.model import read_report
from reports.terminal import WIDTH, fitting, lines
from tests.reports.runs import RunBuilder, answered, even_load, failed, law, objective


def shown(run: RunBuilder, *, colour: bool = False) -> list[str]:
    return lines(read_report(run.folder.path), colour)


def test_a_met_objective_is_one_line_without_evidence(met: RunBuilder) -> None:
    assert shown(met) == [
        "MET  run run-1, exit code 0",
        "  1 of 1 required objective met, 1 of 1 claim passed",
        "",
        "  ✓ MET  chat.ttft  0.95 s [0.9, 0.99] ≤ 1.2 s  0 of 100 bad  1.26×",
        "",
        "  1 claim: 1 passed",
        f"  {met.folder.path / 'report.html'}",
    ]


def test_what_is_not_met_has_its_evidence(run: RunBuilder) -> None:
    # Ten good answers of ten: 0.95**10 is 0.6. 59 would do (0.95**59 = 0.0485), 49 more.
    run.judge(run.load("chat-10", [answered(i, 10 * (i + 1)) for i in range(10)]), objective())
    text = " ".join(" ".join(shown(run.claim("failed").session(exit_code=11))).split())
    assert "? INCONCLUSIVE chat.ttft 0.1 s ≤ 1.2 s 0 of 10 bad" in text
    assert "- chat.ttft: too few requests to tell: 0 of 10 requests bad where 5 % of all may be;" in text
    assert "49 more requests would decide it loads/chat-10.jsonl" in text
    assert "failed: suites/" not in text  # told already, as the objective
    assert "1 claim: 1 undecided" in text


def test_a_claim_that_failed_by_itself_and_what_died_are_told(met: RunBuilder) -> None:
    met.claim("error", "suites/a.py::test_a", reason="StackDied: gateway")
    met.folder.append_incident(IncidentRecord("now", "gateway", "exit code 137", ""))
    text = "\n".join(shown(met.session(exit_code=1)))
    assert "    - error: suites/a.py::test_a: StackDied: gateway" in text
    assert "    - died: gateway: exit code 137" in text


def test_a_gates_misses_laws_and_shared_alarms_are_told(run: RunBuilder) -> None:
    sampling = {"looks": "open", "requests_most": 2000}
    journal = run.load("chat-10", even_load(), decided_at=100, sampling=sampling)
    run.judge(journal, objective(at_most=5.0), family=20)
    for name in ("drained", "kv-cache"):
        run.folder.append_law(law(State.INCONCLUSIVE, law=name, reason="nobody told"))
    run.folder.append_law(law(State.VIOLATED, expected="1,100", seen="1,099"))
    run.claim("passed").session(gate=True, expected=("chat.ttft", "chat.tpot"))
    told = shown(run)
    assert "  chat-10: sampled until decided: 100 of at most 2,000 requests" in told
    assert "  20 objectives share a 5 % chance of any false alarm" in told
    assert "    - required by the gate, and not judged: chat.tpot" in told
    assert "    - law INCONCLUSIVE: 2 laws on chat-4: nobody told" in told
    assert any("law VIOLATED: generation-tokens on chat-4: expected 1,100, seen 1,099" in one for one in told)
    assert "  1 claim: 1 passed; 0 of 3 conservation laws kept" in told


def test_what_the_place_changed_is_told_of_a_run_that_was_met(met: RunBuilder) -> None:
    met.session(
        left_out=(
            {"id": "chat.tpot", "why": "for qwen*, this is llama"},
            *({"id": f"a.{number}", "why": "for eks, this is local"} for number in range(5)),
        ),
        limits_replaced={"chat.ttft": {"catalog": 0.5, "here": 1.2}, "chat.other": {"catalog": 1, "here": 2}},
        overhead_budget_s=0.2,
    )
    told = shown(met)
    assert told[4:8] == [  # and nothing of chat.other, by which nothing was judged
        "  not judged here: chat.tpot: for qwen*, this is llama",
        "  not judged here: a.0, a.1, a.2 and 2 more: for eks, this is local",
        "  limit of this place: chat.ttft 1.2 s, in the catalog 0.5 s",
        "  laws on overhead: a budget of 0.2 s at this place, else 0.05 s",
    ]
    later = lines(read_report(met.folder.path, {"x": objective()}, objectives_from="o.yaml"))
    assert not any("chat.tpot" in line or "in the catalog" in line for line in later)


def test_no_line_is_wider_than_the_terminal(run: RunBuilder) -> None:
    long = "a-name-that-goes-on-and-on." * 6
    journal = run.load("chat-10", [*even_load(), *(failed(100 + i) for i in range(30))])
    run.judge(journal, objective(id=long))
    run.judge(journal, objective(indicator="error_share", statistic="share", at_most=0.01))
    run.claim("error", f"suites/{long}.py::t", reason=long)
    run.session(simulated=True, run_id=long, exit_code=10)
    assert max(len(line) for line in shown(run)[:-1]) <= WIDTH


def test_every_verdict_of_a_simulated_engine_says_simulated(met: RunBuilder) -> None:
    told = [line for line in shown(met.session(simulated=True)) if "MET" in line]
    assert len(told) == 2
    assert all("simulated" in line for line in told)


def test_colours_only_when_asked(met: RunBuilder) -> None:
    assert "\x1b" not in "".join(shown(met))
    assert shown(met, colour=True)[0].startswith("\x1b[1;32mMET\x1b[0m")


def test_a_servers_error_does_not_steer_the_terminal(met: RunBuilder) -> None:
    met.claim("error", "suites/a.py::t", reason="\x1b]0;owned\x07 \x1b[2J")
    assert not any("\x1b" in line or "\x07" in line for line in shown(met.session(exit_code=1)))


def test_the_path_is_that_of_the_page(met: RunBuilder) -> None:
    told = lines(read_report(met.folder.path), page=Path("elsewhere.html"))
    assert told[-1] == "  elsewhere.html"


def test_many_met_objectives_are_folded_and_none_that_failed(run: RunBuilder) -> None:
    """120 objectives: 2 violated, 118 met, of which 93 have no line of their own.

    The value of each is 0.95 s; the limit of number n is 1.2 s + n × 10 ms, so that the 25 with the least
    headroom are the first ones, and the next has 1.45 s / 0.95 s = 1.526.
    """
    journal = run.load("chat-10", even_load())
    for number in range(118):
        run.judge(journal, objective(id=f"met-{number:03d}", at_most=1.2 + number / 100), family=120)
    for number in range(2):
        run.judge(journal, objective(id=f"violated-{number}", at_most=0.5), family=120)
    told = shown(run.claim("failed").session(exit_code=10))
    of_each = [line.split()[2] for line in told if line.startswith(("  ✓ MET", "  ✗ VIOLATED"))]
    assert of_each == [f"met-{number:03d}" for number in range(25)] + ["violated-0", "violated-1"]
    assert "  ✓ 93 more met, least headroom 1.53×" in told
    assert sum(line.startswith("    - violated-") for line in told) == 2
    assert len(told) < 50


def test_what_is_only_advice_says_so_and_has_no_headroom_where_there_is_none(run: RunBuilder) -> None:
    """Of nothing lost at most nothing may be: 0 fits into 0 any number of times, and no headroom is told."""
    journal = run.load("chat-10", even_load())
    none_lost = {"indicator": "errors", "statistic": "count", "at_most": 0}
    for number in range(26):
        run.judge(journal, objective(id=f"met-{number:02d}", **none_lost), family=27)
    run.judge(journal, objective(id="advised", at_most=0.5, required=False), family=27)
    told = shown(run.claim("passed").session(exit_code=0))
    assert "  ✓ 1 more met" in told
    (advised,) = (line for line in told if line.startswith("  ✗"))
    assert advised.split()[:4] == ["✗", "VIOLATED", "advised", "(advisory)"]


def test_evidence_ends_somewhere(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load())
    for number in range(45):
        run.judge(journal, objective(id=f"violated-{number:02d}", at_most=0.5), family=45)
    told = shown(run.claim("failed").session(exit_code=10))
    assert sum("✗ VIOLATED" in line for line in told) == 45
    assert sum(line.startswith("    - violated-") for line in told) == 40
    assert "    - and 5 more objectives" in told


@pytest.mark.parametrize("width", [20, 60, 80, 100, 140, 500])
def test_lines_are_as_wide_as_asked(run: RunBuilder, width: int) -> None:
    long = "a-name-that-goes-on-and-on." * 6
    journal = run.load("chat-10", [*even_load(), *(failed(100 + i) for i in range(30))])
    run.judge(journal, objective(id=long))
    run.judge(journal, objective(indicator="error_share", statistic="share", at_most=0.01))
    run.folder.append_law(law(State.VIOLATED, load=long, expected=long, seen=long))
    run.claim("error", f"suites/{long}.py::t", reason=f"{long} " * 9).session(run_id=long, simulated=True)
    told = lines(read_report(run.folder.path), width=width)[:-1]
    assert max(map(len, told)) <= max(60, width)
    text = "".join("".join(told).split())
    for words in ("30 of 130 bad", "≤ 1 %", "≤ 1.2 s"):
        assert words.replace(" ", "") in text


@pytest.mark.parametrize(
    ("columns", "width"), [("40", 60), ("60", 60), ("99", 99), ("140", 140), ("300", 140), ("", 100)]
)
def test_the_width_is_the_terminals_within_what_is_read_well(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.__stdout__", None)  # as where no terminal is: 100
    assert fitting() == width
