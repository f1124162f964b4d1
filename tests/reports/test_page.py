"""The page: the right numbers, honest about bad runs, self-contained, and safe to open."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.document import verdict_document
from reports.history import find_since
from reports.model import read_report
from reports.page import render
from tests.reports.markup import Page
from tests.reports.runs import MS, RunBuilder, answered, even_load, failed, law, objective, waves


def page_of(run: RunBuilder) -> Page:
    return Page(render(read_report(run.folder.path)))


def test_the_verdict_comes_first_with_its_reason_and_exit_code(met: RunBuilder) -> None:
    text = page_of(met).text
    assert text.index("✓ MET") < text.index("1 of 1 required objective met, 1 of 1 claim passed.")
    assert text.index("exit code 0") < text.index("Against its limit")


def test_an_objectives_row_has_the_numbers_worked_out_by_hand(met: RunBuilder) -> None:
    # 1.2 s over 0.95 s is 1.263.
    row = "≤ 1.2 s 0.95 s [0.9, 0.99] 95 % 0 of 100 1.26×"
    assert row in page_of(met).text


def test_quantiles_have_interval_and_count(met: RunBuilder) -> None:
    text = page_of(met).text
    # p50 at 95 %: ranks 40 and 61 of 100 (binomial(100, 1/2): P(<= 39) = 0.0176, P(<= 40) = 0.0284), and
    # 41 for 40 with what is left of 5 %: P(<= 40) + P(>= 61) = 0.0284 + 0.0176.
    assert "TTFT 100 of 100 500 ms [410, 610] 900 ms" in text
    assert "TPOT 100 of 100 20 ms [20, 20]" in text


def test_the_throughput_row_adds_up(met: RunBuilder) -> None:
    # 100 answers of 11 tokens in a window of 10 s, of which 10 a second were offered.
    assert "chat-10 100 100 100 % 10 10 10 110" in page_of(met).text


def test_the_client_says_which_limits_it_can_judge(met: RunBuilder) -> None:
    # Send lag 0, loop lag 1 ms at p99 and 4 ms at most, a quarter of a core; a client that stamps what it
    # reads is as late as its loop: 1 ms, and judges limits of twice that.
    text = page_of(met).text
    # 1 ms of a limit of 1.2 s is 0.083 %.
    assert (
        "chat-10 0.001 s send lag 0 ms stamps 1 ms, by the client itself 1.2 s TTFT p95 0.083 % 2 ms" in text
    )
    assert "2 ms 1 ms at most 4 ms 25 % none was kept with the load" in text


def test_a_void_run_says_so_and_why(run: RunBuilder) -> None:
    late = [replace(record, due_ns=record.due_ns - 500 * MS) for record in even_load()]
    run.judge(run.load("chat-10", late), objective())
    text = page_of(run.claim("failed").session(exit_code=11)).text
    assert (
        "chat-10 is void: requests were sent 0.5 s late at p99 (bound: 0.1 s). No verdict stands on it."
        in text
    )
    assert "? INCONCLUSIVE" in text


def test_a_run_in_which_everything_failed_shows_dashes_and_no_zero_latency(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    text = page_of(run.claim("failed").session(exit_code=10)).text
    assert "No request completed: there is no latency to draw." in text
    assert "≤ 1.2 s – too few have one – 95 % 60 of 60 –" in text
    assert "TTFT 0 of 60 – – – – – – – –" in text
    assert "0 ms [" not in text


def test_an_empty_run_has_a_page_that_says_nothing_was_measured(run: RunBuilder) -> None:
    text = page_of(run.session(exit_code=12)).text
    assert "∅ NOTHING MEASURED" in text
    assert "No objective was judged in this run." in text
    assert "No claim ended in this run." in text
    assert "The run left no fingerprint" in text
    assert "✓ MET" not in text


def test_a_cut_journal_is_a_reason_to_doubt(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load(), end=False), objective())
    text = page_of(run.session(finished_at=None, exit_code=None)).text
    assert "? INCONCLUSIVE" in text
    assert "Reasons to doubt" in text
    assert "loads/chat-10.jsonl: the run was cut off: the journal has no closing line" in text
    assert "did not end well: cut off" in text


def test_every_verdict_of_a_simulated_engine_says_simulated(met: RunBuilder) -> None:
    plain = page_of(met).text
    simulated = page_of(met.session(simulated=True, engine="simulator")).text
    assert "simulated" not in plain
    assert simulated.index("✓ MET simulated") < simulated.index("exit code")
    assert "The engine was simulated" in simulated
    objectives = simulated[simulated.index("Against its limit") :]
    assert objectives.index("MET simulated") < objectives.index("Latency")


def test_failures_come_before_passes_and_skips_have_their_reasons(met: RunBuilder) -> None:
    met.claim("passed", "suites/a.py::test_a", title="First by name")
    met.claim("passed", "suites/z.py::test_y", title="Passes beside it")
    met.claim(
        "failed", "suites/z.py::test_z", title="Last by name", reason="it broke", detail="the traceback"
    )
    met.claim("skipped", "suites/b.py::test_b", title="Skipped one", reason="the stack lacks a GPU")
    text = page_of(met.session(exit_code=1)).text
    claims = text[text.index("What was claimed") :]
    assert "1 failed, 3 passed, 1 skipped of 5 claims" in claims
    assert claims.index("Last by name") < claims.index("First by name") < claims.index("Passes beside it")
    assert "it broke details the traceback" in claims
    assert "suites/z.py 1 of 2 passed" in claims
    assert "the stack lacks a GPU – 1 of 5 claims" in claims


@pytest.mark.parametrize(("at_most", "told"), [(1.2, "? undecided"), (0.001, "✕ failed")])
def test_a_claim_is_not_called_failed_where_the_data_cannot_tell(
    run: RunBuilder, at_most: float, told: str
) -> None:
    """Ten requests: too few for 1.2 s, and enough to know that not one of them took 1 ms."""
    journal = run.load("chat-10", [answered(i, 10 * (i + 1)) for i in range(10)])
    run.judge(journal, objective(at_most=at_most))
    text = page_of(run.claim("failed").session(exit_code=11)).text
    claims = text[text.index("What was claimed") :]
    assert f"1 {told.split()[1]} of 1 claim" in claims
    assert f"{told} A chat is answered" in claims


def test_what_the_place_changed_of_the_catalog_is_told(met: RunBuilder) -> None:
    left_out = ({"id": "chat.tpot", "why": "for qwen*, this is llama"},)
    replaced = {"chat.ttft": {"catalog": 0.5, "here": 1.2}}
    text = page_of(met.session(left_out=left_out, limits_replaced=replaced, overhead_budget_s=0.2)).text
    for said in (
        "Not judged here: chat.tpot: for qwen*, this is llama",
        "Limit of this place: chat.ttft 1.2 s, in the catalog 0.5 s",
        "Laws on overhead: a budget of 0.2 s at this place, else 0.05 s",
    ):
        assert said in text
    assert "What this place changes" not in page_of(met.session()).text


def test_an_incident_shows_what_died_and_the_end_of_its_log(met: RunBuilder) -> None:
    log = "first line\n" + "x" * 20_000 + "\nlast words"
    met.folder.append_incident(IncidentRecord("2026-11-21T06:00:30+00:00", "gateway", "exit code 137", log))
    text = page_of(met).text
    assert text.index("gateway 2026-11-21 06:00:30 UTC exit code 137") < text.index("Against its limit")
    assert "last words" in text
    assert "first line" not in text


def test_startup_seconds_notes_fingerprint_and_commands_are_there(met: RunBuilder) -> None:
    met.session(
        startup_s={"gateway": 1.5, "engine": 150.0},
        notes=("No Prometheus on this machine.",),
        command=("pytest", "--env", "local", "-m", "not slow", "--api-key", "sk-hush", "--token=hush"),
    )
    text = page_of(met).text
    assert text.index("engine 2 min 30 s") < text.index("gateway 1.5 s")
    assert "No Prometheus on this machine." in text
    assert "vllm 0.11.2 quantization –" in text
    assert "pytest --env local -m 'not slow' --api-key HIDDEN --token=HIDDEN" in text
    assert "hush" not in text
    assert "python -m reports results/run-1" in text


def test_requests_that_hang_together_are_said_to_be_worth_fewer(run: RunBuilder) -> None:
    verdict = run.judge(run.load("chat-10", waves()), objective(statistic="p50", at_most=0.015))
    assert verdict.requests_effective is not None
    assert verdict.requests_effective < 300
    text = page_of(run.claim("failed").session(exit_code=11)).text
    assert f"of 600 ≈ {verdict.requests_effective:.0f} independent" in text
    assert "Test: exact binomial test at the planned size." in text


def test_a_family_and_a_run_until_it_was_decided_are_told(run: RunBuilder) -> None:
    sampling = {"looks": "open", "requests_fewest": 50, "requests_most": 2000}
    journal = run.load("chat-10", even_load(), decided_at=100, sampling=sampling)
    for name in ("a", "b"):
        run.judge(journal, objective(id=name, at_most=5.0), family=2)
    text = page_of(run.claim("passed").session()).text
    assert "sampled until decided: 100 of at most 2,000 requests" in text
    assert "2 objectives share a 5 % chance of any false alarm" in text


def test_laws_are_told_the_broken_first_and_those_that_cannot_be_checked_once(met: RunBuilder) -> None:
    met.folder.append_law(law(State.MET, law="requests", statement="sent = answered", seen="100 = 100"))
    for name in ("drained", "kv-cache"):
        met.folder.append_law(law(State.INCONCLUSIVE, law=name, reason="nobody told"))
    met.folder.append_law(law(State.VIOLATED, expected="1,100 tokens", seen="1,099 tokens"))
    page = page_of(met.session(exit_code=10))
    text = page.text[page.text.index("Conservation laws What") :]
    assert "1 of 4 laws kept" in text
    assert text.index("✕ VIOLATED") < text.index("? INCONCLUSIVE") < text.index("1 law kept")
    assert "chat-4 1,100 tokens 1,099 tokens Because." in text
    assert text.count("Nobody told.") == 1
    assert "2 laws drained , kv-cache" in text
    assert page.faults == []


def test_what_the_gate_missed_is_named(met: RunBuilder) -> None:
    text = page_of(met.session(gate=True, expected=("chat.ttft", "chat.tpot"))).text
    assert "required objectives met 0 of 2" in text
    assert "Not judged, and required by the gate: chat.tpot ." in text


def test_claims_without_an_objective_are_not_called_met(run: RunBuilder) -> None:
    text = page_of(run.claim("passed").session()).text
    assert "✓ CLAIMS HOLD" in text
    assert "No required objective was judged, 1 of 1 claim passed." in text
    assert "✓ MET" not in text


def test_the_servers_numbers_say_where_they_come_from(met: RunBuilder) -> None:
    met.server("chat-10", every_s=0.5, clock_error_s=0.012, problems=("it did not answer at 06:00:20",))
    assert "chat-10 direct scrape 0.50 s 12 ms it did not answer at 06:00:20" in page_of(met).text


def test_the_page_is_well_formed_self_contained_and_small(met: RunBuilder) -> None:
    text = render(read_report(met.folder.path))
    page = Page(text)
    assert page.faults == []
    assert len(page.ids) == len(set(page.ids))
    assert [one for one in page.references if not one.startswith("#")] == []
    assert not re.search(r"url\((?!#)|@import", text)
    assert page.tags.count("svg") > 3
    assert {"script", "link", "iframe", "img", "object"}.isdisjoint(page.tags)
    assert len(text.encode()) < 2_000_000


def test_every_reference_leads_somewhere(met: RunBuilder) -> None:
    page = page_of(met)
    assert {one[1:] for one in page.references} <= set(page.ids)


def test_a_drawing_is_described_and_takes_its_colours_from_the_page(met: RunBuilder) -> None:
    text = render(read_report(met.folder.path))
    plots = re.findall(r'<svg class="plot".*?</svg>', text, flags=re.S)
    assert len(plots) == 3
    # 10, 20, … 1000 ms: the 50th, the 95th and the 99th of 100.
    assert (
        'aria-label="Share of requests against TTFT; TTFT: 100 of 100 requests have one; '
        "p50 0.5 s, p95 0.95 s, p99 0.99 s; limit 1.2 s"
    ) in text
    for plot in plots:
        assert "var(--curve)" in plot
        assert "<text" in plot
        assert not re.search(r"#[0-9a-f]{6}", plot)


def test_the_verdict_says_what_changed_since_the_last_run(met: RunBuilder, run: RunBuilder) -> None:
    met.folder.write_document("verdict.json", verdict_document(read_report(met.folder.path)))
    later = RunBuilder(met.folder.path.parent / "run-2")
    later.judge(later.load("chat-10", even_load()), objective(at_most=0.5))
    later.folder.write_document("fingerprint.json", {"vllm": "0.11.2", "quantization": None})
    later.claim("failed").session(
        run_id="run-2",
        started_at="2026-11-21T07:00:00+00:00",
        finished_at="2026-11-21T07:01:00+00:00",
        exit_code=10,
    )
    report = read_report(later.folder.path)
    found = Page(render(report, find_since(report)))
    assert "Since last time:" in found.text
    assert "#since" in found.references
    assert "Since last time:" not in page_of(met).text
