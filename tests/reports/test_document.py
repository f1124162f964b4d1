"""verdict.json and the Markdown summary."""

from __future__ import annotations

import json

from instruments.slo import State
from reports.document import verdict_document
from reports.markdown import markdown
from reports.model import read_report
from tests.reports.runs import CLAIM, RunBuilder, answered, failed, law, objective, waves


def test_the_document_has_the_evidence_of_each_objective(met: RunBuilder) -> None:
    document = verdict_document(read_report(met.folder.path))
    assert (document["schema"], document["state"], document["exit_code"]) == (2, "MET", 0)
    assert document["claims"] == {"total": 1, "passed": 1}
    (one,) = document["objectives"]
    assert (one["id"], one["at_most"], one["state"], one["claim"]) == ("chat.ttft", 1.2, "MET", CLAIM)
    assert (one["value"], one["low"], one["high"]) == (0.95, 0.9, 0.99)
    assert (one["requests"], one["bad"], one["requests_more"]) == (100, 0, None)
    (load,) = document["loads"]
    assert (load["due"], load["outcomes"], load["output_tokens_per_s"]) == (100, {"COMPLETED": 100}, 110.0)


def test_undefined_is_null(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    report = read_report(run.session(exit_code=10).folder.path)
    document = json.loads(json.dumps(verdict_document(report), allow_nan=False))
    (one,) = document["objectives"]
    assert (one["value"], one["low"], one["high"], one["headroom"]) == (None, None, None, None)
    assert (one["bad"], one["requests"]) == (60, 60)


def test_the_document_says_what_the_verdict_can_be_trusted_for(run: RunBuilder) -> None:
    verdict = run.judge(run.load("chat-10", waves()), objective(statistic="p50", at_most=0.015), family=7)
    run.server("chat-10", clock_error_s=0.012).claim("failed").session(exit_code=11, telemetry="Prometheus")
    document = verdict_document(read_report(run.folder.path))
    (one,) = document["objectives"]
    assert (one["family"], one["family_size"], one["trimmed"]) == ("gate", 7, verdict.trimmed)
    assert one["requests_effective"] == verdict.requests_effective
    assert one["test"] == "exact binomial test at the planned size"
    assert document["telemetry"] == {"source": "Prometheus", "clock_error_s": 0.012}
    (load,) = document["loads"]
    assert load["server"]["source"] == "direct scrape"
    assert load["calibration_problem"] == "none was kept with the load"


def test_simulated_is_said_of_the_run_and_of_each_verdict(met: RunBuilder) -> None:
    report = read_report(met.session(simulated=True).folder.path)
    document = verdict_document(report)
    assert (document["simulated"], document["objectives"][0]["simulated"]) == (True, True)
    assert markdown(report).count("MET, simulated") == 2


def test_a_law_keeps_its_value(met: RunBuilder) -> None:
    met.folder.append_law(law(State.MET, law="ttft-overhead", value=0.0125))
    met.folder.append_law(law(State.MET))
    told = verdict_document(read_report(met.folder.path))["laws"]
    assert [one["value"] for one in told] == [0.0125, None]


def test_markdown_tells_what_the_place_left_out(met: RunBuilder) -> None:
    met.session(left_out=({"id": "chat-tpot", "why": "for qwen, this is llama"},))
    assert "- not judged here: chat-tpot: for qwen, this is llama\n" in markdown(read_report(met.folder.path))


def test_markdown_has_a_row_an_objective(run: RunBuilder) -> None:
    # 5 of 20 failed: Clopper and Pearson at 95 % give 8.66 % to 49.1 %.
    records = [answered(i, 10) for i in range(15)] + [failed(15 + i) for i in range(5)]
    judged = objective(id="errors", indicator="error_share", statistic="share", at_most=0.01)
    run.judge(run.load("chat-10", records), judged)
    text = markdown(read_report(run.claim("failed", reason="VIOLATED").session(exit_code=10).folder.path))
    assert text.startswith("## ❌ VIOLATED\n")
    assert (
        "| ❌ VIOLATED | errors: error share | ≤ 1 % | 25 % \\[8.657, 49.1\\] | 5 of 20 bad | 0.04× |" in text
    )


def test_hostile_text_is_no_markup(met: RunBuilder) -> None:
    hostile = "<b>x</b> | [y](javascript:z) `q`\n# title"
    text = markdown(read_report(met.claim("error", hostile, reason=hostile).session().folder.path))
    assert "<b>" not in text
    assert "[y](" not in text.replace("\\[", "").replace("\\]", "")
    assert "\n# title" not in text
