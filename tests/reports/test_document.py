"""verdict.json: what each field says, and nothing that was not measured."""

from __future__ import annotations

import json

from instruments.slo import State
from reports.document import verdict_document
from reports.history import find_since
from reports.model import read_report
from tests.reports.runs import CLAIM, RunBuilder, even_load, failed, law, objective, waves
from tests.reports.schema import faults, verdict_schema


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


def test_a_law_keeps_its_value(met: RunBuilder) -> None:
    met.folder.append_law(law(State.MET, law="ttft-overhead", value=0.0125))
    met.folder.append_law(law(State.MET))
    told = verdict_document(read_report(met.folder.path))["laws"]
    assert [one["value"] for one in told] == [0.0125, None]


def test_searches_and_trials_are_told_without_their_probes(met: RunBuilder) -> None:
    (met.folder.path / "capacity/knee").mkdir(parents=True)
    (met.folder.path / "trials/itself").mkdir(parents=True)
    write = met.folder.write_document
    write("capacity/knee/capacity.json", {
        "asked": {"by": "users", "promise": 8.0}, "promise": "MET", "low": 48.0, "high": None,
        "violated": None, "monotone": True, "reason": "MET at 48", "simulated": False,
        "probes": [{"level": 8}],
    })  # fmt: skip
    write("trials/itself/comparison.json", {
        "figure": {"indicator": "e2e_s", "statistic": "p50"}, "rule": {"tolerance": 0.25},
        "change": "INCONCLUSIVE", "reason": "too few pairs",
        "ratio": {"value": 0.9, "low": 0.7, "high": None},
        "requests": {"a": 4, "b": 4}, "failed": {"a": 0, "b": 1},
        "pairs_more": 37, "pairs": [{"first": "a"}, {"first": "b"}], "simulated": False,
    })  # fmt: skip
    document = verdict_document(read_report(met.folder.path))
    assert document["searches"] == [{
        "workload": "knee", "by": "users", "promised": 8.0, "promise": "MET", "low": 48.0, "high": None,
        "violated": None, "monotone": True, "reason": "MET at 48", "simulated": False,
        "journals": "capacity/knee/loads",
    }]  # fmt: skip
    (trial,) = document["trials"]
    assert (trial["name"], trial["change"], trial["pairs"], trial["pairs_more"]) == (
        "itself", "INCONCLUSIVE", 2, 37,
    )  # fmt: skip
    assert (trial["ratio"]["value"], trial["tolerance"], trial["failed"]["b"]) == (0.9, 0.25, 1)
    assert faults(json.loads(json.dumps(document)), verdict_schema()) == []


def test_a_search_of_another_shape_costs_nothing_else(met: RunBuilder) -> None:
    (met.folder.path / "capacity/knee").mkdir(parents=True)
    (met.folder.path / "trials/a").mkdir(parents=True)
    met.folder.write_document("capacity/knee/capacity.json", {"asked": [1]})
    met.folder.write_document("trials/a/comparison.json", {"rule": 1, "pairs": None})
    document = verdict_document(read_report(met.folder.path))
    assert (document["searches"][0]["low"], document["trials"][0]["pairs"]) == (None, 0)
    assert faults(json.loads(json.dumps(document)), verdict_schema()) == []


def test_a_load_tells_the_hash_of_what_was_asked(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", waves(), workload_sha256="8e05fb6319ede40d"), objective())
    (load,) = verdict_document(read_report(run.session().folder.path))["loads"]
    assert load["workload_sha256"] == "8e05fb6319ede40d"


def test_what_changed_is_told_where_there_is_an_earlier_run(run: RunBuilder) -> None:
    earlier = RunBuilder(run.folder.path.parent / "run-0")
    for one, began in ((earlier, "2026-11-20T06:00:00+00:00"), (run, "2026-11-21T06:00:00+00:00")):
        one.judge(one.load("chat-10", even_load()), objective())
        one.claim("passed").session(run_id=one.folder.path.name, started_at=began)
    before = verdict_document(read_report(earlier.folder.path))
    assert before["since"] is None
    earlier.folder.write_document("verdict.json", before)
    report = read_report(run.folder.path)
    document = verdict_document(report, find_since(report))
    assert document["since"]["before"]["run"] == "run-0"
    assert document["since"]["like"] is True
    assert faults(json.loads(json.dumps(document)), verdict_schema()) == []
