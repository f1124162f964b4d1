"""ctrf.json: the format's required fields, its closed objects, and never green where the verdict is not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from reports.ctrf import ctrf
from reports.model import read_report
from reports.overall import Overall
from tests.reports.runs import CLAIM, RunBuilder, answered, even_load, objective
from tests.reports.states import STATES, Make

# From the format's schema, by hand: what must be there, and all that may be; its objects are closed.
ROOT = (
    {"reportFormat", "specVersion", "results"},
    {"reportId", "timestamp", "generatedBy", "insights", "baseline", "extra"},
)
RESULTS = ({"tool", "summary", "tests"}, {"environment", "extra"})
TOOL = ({"name"}, {"version", "extra"})
SUMMARY = (
    {"tests", "passed", "failed", "skipped", "pending", "other", "start", "stop"},
    {"flaky", "suites", "duration", "extra"},
)
TEST = (
    {"name", "status", "duration"},
    set(
        "id start stop suite message trace snippet ai line rawStatus tags labels type filePath retries "
        "retryAttempts flaky stdout stderr threadId browser device screenshot attachments parameters steps "
        "insights extra".split()
    ),
)
ENVIRONMENT: tuple[set[str], set[str]] = (
    set(),
    set(
        "reportName appName appVersion buildId buildName buildNumber buildUrl repositoryName repositoryUrl "
        "commit branchName osPlatform osRelease osVersion testEnvironment healthy extra".split()
    ),
)
STATUSES = {"passed", "failed", "skipped", "pending", "other"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read(run: RunBuilder) -> dict[str, Any]:
    """The document as a reader has it; its shape is that of every one."""
    document: dict[str, Any] = json.loads(json.dumps(ctrf(read_report(run.folder.path)), allow_nan=False))
    results = document["results"]
    for found, (must, may) in (
        (document, ROOT),
        (results, RESULTS),
        (results["tool"], TOOL),
        (results["summary"], SUMMARY),
        (results["environment"], ENVIRONMENT),
        *((test, TEST) for test in results["tests"]),
    ):
        assert must <= found.keys() <= must | may, found
    assert document["reportFormat"] == "CTRF"
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["specVersion"])
    assert UUID.fullmatch(document["reportId"])
    _check_summary(results["summary"], results["tests"])
    for test in results["tests"]:
        _check_test(test)
    return document


def _check_summary(summary: dict[str, Any], tests: list[dict[str, Any]]) -> None:
    assert all(type(value) is int for value in summary.values())
    assert summary["tests"] == len(tests)
    for status in STATUSES:
        assert summary[status] == sum(test["status"] == status for test in tests)
    assert summary["stop"] - summary["start"] == summary["duration"] >= 0


def _check_test(test: dict[str, Any]) -> None:
    assert test["status"] in STATUSES
    assert type(test["duration"]) is int
    assert test["name"]
    assert test["suite"]
    assert UUID.fullmatch(test["id"])
    assert all(isinstance(line, str) for line in test.get("stdout", []))


@pytest.mark.parametrize(("make", "state"), STATES, ids=[f"{make.__name__}" for make, _ in STATES])
def test_it_fails_wherever_the_verdict_is_not_green(run: RunBuilder, make: Make, state: Overall) -> None:
    make(run)
    document = read(run)
    assert document["extra"]["verdict"]["state"] == state
    assert (document["results"]["summary"]["failed"] == 0) is (state in (Overall.MET, Overall.CLAIMS_HOLD))
    assert document["results"]["environment"]["healthy"] is (state.exit_code == 0)


def test_a_claim_is_a_test_with_its_objective(met: RunBuilder) -> None:
    document = read(met)
    # 2026-11-21 06:00:00 UTC, ten seconds before the loads begin, and 90 s later.
    summary = document["results"]["summary"]
    assert (summary["start"], summary["stop"]) == (1_795_240_800_000, 1_795_240_890_000)
    assert document["timestamp"] == "2026-11-21T06:01:30Z"
    (test,) = document["results"]["tests"]
    assert (test["name"], test["status"], test["duration"]) == ("test_chat", "passed", 1500)
    assert (test["suite"], test["filePath"]) == (["suites", "latency", "test_ttft"], CLAIM.partition("::")[0])
    (one,) = test["extra"]["objectives"]
    assert (one["id"], one["state"], one["limit"]) == ("chat.ttft", "MET", "≤ 1.2 s")
    assert (one["value"], one["low"], one["high"], one["requests"], one["bad"]) == (0.95, 0.9, 0.99, 100, 0)


def test_what_it_was_is_kept_beside_failed(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", [answered(i, 10) for i in range(10)]), objective())
    run.claim("failed", reason="INCONCLUSIVE: chat.ttft: too few", detail="story")
    run.claim("error", "suites/b.py::t", reason="StackDied").session(exit_code=1)
    first, second = read(run)["results"]["tests"]
    assert (first["status"], first["rawStatus"], first["trace"]) == ("failed", "inconclusive", "story")
    assert (second["status"], second["rawStatus"], second["message"]) == ("failed", "error", "StackDied")


def test_a_test_has_the_same_id_in_every_run(met: RunBuilder) -> None:
    before = read(met)
    after = read(met.session(run_id="another"))
    assert before["reportId"] != after["reportId"]
    ids = [[test["id"] for test in one["results"]["tests"]] for one in (before, after)]
    assert ids[0] == ids[1]


def test_a_session_that_was_cut_off_ends_with_its_last_claim(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").session(finished_at=None, exit_code=None)
    document = read(run)
    assert document["results"]["summary"]["duration"] == 1500
    assert "timestamp" not in document


def test_simulated_is_said(met: RunBuilder) -> None:
    document = read(met.session(simulated=True))
    assert document["results"]["environment"]["appName"] == "vLLM, simulated"
    assert document["extra"]["verdict"]["simulated"] is True
