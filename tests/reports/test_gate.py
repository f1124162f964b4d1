"""A gate judged from its folder: empty, failed, skipped and small runs do not pass, and each says why."""

from __future__ import annotations

from typing import Any

import pytest

from instruments.errors import SloError
from instruments.slo import State
from instruments.slo.conservation import LawVerdict
from reports.document import verdict_document
from reports.model import read_report
from reports.overall import Overall
from tests.reports.runs import RunBuilder, answered, even_load, failed, law, objective

MACHINE = {"machine.system": "Linux 6.1 x86_64", "machine.cores": "8", "machine.cpu": "a CPU"}
FRESH: dict[str, Any] = {
    "run_id": "run-1",
    "created_at": "2026-11-21T06:00:05.000+00:00",
    "machine": MACHINE,
    "streams": 4,
    "processes": 1,
    "error_p99_s": 0.0001,
}
EXPECTED = ("chat.ttft",)


def load(
    run: RunBuilder, records: list[Any], calibration: dict[str, Any] | None = FRESH, **described: Any
) -> Any:
    """A load of four users as a gate leaves it, on the machine that it was calibrated on."""
    run.folder.write_document("fingerprint.json", {**MACHINE, "vllm": "0.32.0"})
    workload = {"id": "chat", "users": 4}
    return run.load("chat-4", records, workload=workload, calibration=calibration, **described)


def judged(run: RunBuilder, **session: Any) -> tuple[Overall, str]:
    run.session(**{"gate": True, "expected": EXPECTED, **session})
    report = read_report(run.folder.path)
    return report.state, report.reason


def test_a_gate_that_met_what_it_had_to_is_met(run: RunBuilder) -> None:
    run.judge(load(run, even_load()), objective())
    run.claim("passed")
    assert judged(run) == (Overall.MET, "1 of 1 required objective met, 1 of 1 claim passed")


def test_an_empty_gate_measured_nothing(run: RunBuilder) -> None:
    state, reason = judged(run, exit_code=5, exit_reason="no tests collected", expected=())
    assert state is Overall.NOTHING_MEASURED
    assert reason == ("Nothing passed and no objective was judged: no claim was checked; no tests collected")


def test_a_gate_of_claims_alone_measured_nothing(run: RunBuilder) -> None:
    state, reason = judged(run.claim("passed"), expected=())
    assert state is Overall.NOTHING_MEASURED
    assert reason == (
        "A gate without a judged objective passes nothing: no required objective was judged, "
        "1 of 1 claim passed"
    )
    run.session(gate=False)
    assert read_report(run.folder.path).state is Overall.CLAIMS_HOLD


def test_a_gate_in_which_everything_failed_is_violated(run: RunBuilder) -> None:
    run.judge(load(run, [failed(index) for index in range(60)]), objective())
    state, reason = judged(run.claim("failed"), exit_code=10)
    assert state is Overall.VIOLATED
    assert "TTFT p95 (chat.ttft) is undefined (too few requests have one), limit ≤ 1.2 s" in reason


def test_a_gate_in_which_everything_was_skipped_failed(run: RunBuilder) -> None:
    run.claim("failed", reason="a gate cannot pass by skipping: no GPU")
    state, reason = judged(run, exit_code=1)
    assert (state, reason) == (
        Overall.FAILED,
        "Of 1 claim: 1 failed; the first: a gate cannot pass by skipping: no GPU",
    )


def test_a_gate_whose_claims_say_skipped_measured_nothing(run: RunBuilder) -> None:
    """A folder in which the skips were not turned into failures, by whatever way, does not pass either."""
    state, reason = judged(run.claim("skipped", reason="no GPU"))
    assert state is Overall.NOTHING_MEASURED
    assert "1 of 1 claim skipped" in reason


def test_64_requests_cannot_show_a_p99(run: RunBuilder) -> None:
    """0.99**299 is 0.0495, the first below 5 %: 299 good requests show a p99, 64 are 235 too few."""
    run.judge(load(run, [answered(index, 10) for index in range(64)]), objective(statistic="p99"))
    state, reason = judged(run.claim("failed"), exit_code=11)
    assert state is Overall.INCONCLUSIVE
    assert "too few requests to tell: 0 of 64 requests bad where 1 % of all may be" in reason
    (one,) = verdict_document(read_report(run.folder.path))["objectives"]
    assert (one["state"], one["requests_more"]) == ("INCONCLUSIVE", 235)


def test_an_objective_without_a_verdict_is_named(run: RunBuilder) -> None:
    run.judge(load(run, even_load()), objective())
    run.claim("passed")
    state, reason = judged(run, expected=("chat.ttft", "chat.tpot", "chat.errors"))
    assert state is Overall.INCONCLUSIVE
    assert reason == ("2 of 3 required objectives of the gate without a verdict: chat.tpot, chat.errors")
    document = verdict_document(read_report(run.folder.path))
    assert (document["missing"], document["exit_code"]) == (["chat.tpot", "chat.errors"], 11)


def test_an_advisory_verdict_does_not_make_a_gate(run: RunBuilder) -> None:
    run.judge(load(run, even_load()), objective(id="advice", required=False))
    state, reason = judged(run.claim("passed"))
    assert state is Overall.NOTHING_MEASURED
    assert reason.endswith(": chat.ttft")


def test_a_gate_that_was_interrupted_is_so_whatever_it_missed(run: RunBuilder) -> None:
    run.claim("passed")
    assert judged(run, exit_code=2)[0] is Overall.INTERRUPTED
    assert judged(run, exit_code=None, finished_at=None)[0] is Overall.INTERRUPTED


@pytest.mark.parametrize(
    ("calibration", "why"),
    [
        (None, "none was kept with the load"),
        ({}, "it was made in the session that it does not name"),
        ({**FRESH, "run_id": "run-0"}, "it was made in the session run-0"),
        ({**FRESH, "created_at": "2026-11-21T05:59:59+00:00"}, "before this session began"),
        ({**FRESH, "created_at": "yesterday"}, "it was made at yesterday, before"),
        ({**FRESH, "created_at": "2026-11-21T06:00:11+00:00"}, "it was made after the load began"),
        ({**FRESH, "machine": {}}, "it does not name its machine"),
        (
            {**FRESH, "machine": {**MACHINE, "machine.system": "Linux 6.2 x86_64"}},
            "its machine.system is Linux 6.2 x86_64, that of the run Linux 6.1 x86_64",
        ),
        ({**FRESH, "streams": 3}, "it was made at 3 streams, the load has 4 users"),
        ({**FRESH, "processes": 2}, "it was made with 2 processes, the load has 1"),
    ],
)
def test_without_a_fresh_calibration_nothing_is_met(
    run: RunBuilder, calibration: dict[str, Any] | None, why: str
) -> None:
    run.judge(load(run, even_load(), calibration), objective())
    state, reason = judged(run.claim("passed"))
    assert state is Overall.INCONCLUSIVE
    assert "the client's calibration is not fresh" in reason
    assert why in reason
    document = verdict_document(read_report(run.folder.path))
    assert document["objectives"][0]["state"] == "INCONCLUSIVE"
    assert why in document["loads"][0]["calibration_problem"]
    run.session(gate=False)
    assert read_report(run.folder.path).state is Overall.MET


def test_a_load_from_pods_is_not_calibrated_by_this_machine(run: RunBuilder) -> None:
    run.judge(load(run, even_load(), None, posts=["pod-0", "pod-1"]), objective())
    state, reason = judged(run.claim("passed"))
    assert state is Overall.INCONCLUSIVE
    assert "the client's calibration is not fresh: the load was sent from Pods, and only clients" in reason


def test_failures_need_no_calibration(run: RunBuilder) -> None:
    """That an answer never came does not depend on how late the client stamps."""
    journal = load(run, [failed(index) for index in range(60)], None)
    run.judge(journal, objective(indicator="errors", statistic="count", at_most=0))
    assert judged(run.claim("failed"), exit_code=10)[0] is Overall.VIOLATED


def test_a_load_that_was_simulated_makes_no_gate(run: RunBuilder) -> None:
    run.judge(load(run, even_load(), simulated=True), objective())
    state, reason = judged(run.claim("passed"))
    assert state is Overall.INCONCLUSIVE
    assert reason.startswith("A simulated engine never passes a gate")


@pytest.mark.parametrize(
    ("state", "gate", "expected"),
    [
        (State.MET, True, Overall.MET),
        (State.VIOLATED, True, Overall.VIOLATED),
        (State.VIOLATED, False, Overall.VIOLATED),
        (State.INCONCLUSIVE, True, Overall.INCONCLUSIVE),
        (State.INCONCLUSIVE, False, Overall.MET),
    ],
)
def test_a_broken_law_breaks_the_run_and_one_that_cannot_be_checked_a_gate(
    run: RunBuilder, state: State, gate: bool, expected: Overall
) -> None:
    run.judge(load(run, even_load()), objective())
    run.folder.append_law(law(state, expected="6400 tokens", seen="6336 tokens"))
    found, reason = judged(run.claim("passed"), gate=gate)
    assert found is expected
    if expected is not Overall.MET:
        assert "1 of 1 conservation law" in reason
        assert "generation-tokens on chat-4: expected 6400 tokens, seen 6336 tokens; because" in reason


def test_an_advisory_law_is_shown_and_no_more(run: RunBuilder) -> None:
    run.judge(load(run, even_load()), objective())
    run.folder.append_law(law(State.VIOLATED, required=False))
    assert judged(run.claim("passed"))[0] is Overall.MET


@pytest.mark.parametrize(
    ("state", "expected"),
    [(State.VIOLATED, Overall.VIOLATED), (State.INCONCLUSIVE, Overall.INCONCLUSIVE)],
)
def test_a_claim_that_failed_for_its_law_is_counted_as_the_law(
    run: RunBuilder, state: State, expected: Overall
) -> None:
    run.judge(load(run, even_load()), objective(), "suites/a.py::objective")
    verdict = LawVerdict("generation-tokens", "chat-4", state, "because")
    with pytest.raises(SloError) as raised:
        verdict.require_met()
    run.folder.append_law(verdict.document())
    reason = str(raised.value).partition("\n")[0]
    run.claim("passed", "suites/a.py::objective").claim("failed", "suites/a.py::law", reason=reason)
    assert judged(run, gate=False, exit_code=None)[0] is expected


def test_a_law_that_its_files_contradict_does_not_pass(run: RunBuilder) -> None:
    """Stored as MET; the two snapshots that are left hold no counter to take a sum from."""
    run.judge(load(run, even_load()), objective())
    run.server("chat-4").folder.append_law(law(State.MET))
    state, reason = judged(run.claim("passed"))
    assert state is Overall.INCONCLUSIVE
    assert "stored as MET; its files now give INCONCLUSIVE" in reason
    assert any("law generation-tokens on chat-4" in one for one in read_report(run.folder.path).problems)


def with_server(run: RunBuilder) -> None:
    """A law stored as MET, as the session stores it, with what it was judged from."""
    run.judge(load(run, even_load()), objective())
    run.server("chat-4").folder.append_law(law(State.MET, journal="loads/chat-4.jsonl", exclusive=True))
    run.claim("passed")


def test_a_law_without_what_the_server_said_is_not_claimed_any_more(run: RunBuilder) -> None:
    with_server(run)
    (run.folder.loads / "chat-4.server.json").unlink()
    state, reason = judged(run)
    assert state is Overall.INCONCLUSIVE
    assert (
        "stored as MET; its files now give INCONCLUSIVE: what the server said around it cannot be" in reason
    )


def test_a_law_without_its_load_is_not_claimed_any_more(run: RunBuilder) -> None:
    with_server(run)
    (run.folder.loads / "chat-4.jsonl").unlink()
    judged(run)
    (found,) = read_report(run.folder.path).laws
    assert (found.state, found.required) == (State.INCONCLUSIVE, True)
    assert found.reason.endswith("its load cannot be read")


WRITTEN = {"claims": 2, "verdicts": 1, "laws": 1}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("claims", None), ("claims", 0), ("claims", 1), ("verdicts", None), ("verdicts", 0), ("laws", None)],
)
def test_lines_that_are_gone_take_the_pass_away(run: RunBuilder, name: str, kept: int | None) -> None:
    """The file or lines of it, advisory ones too: what is not there cannot be known not to matter."""
    run.judge(load(run, even_load()), objective())
    run.folder.append_law(law(State.INCONCLUSIVE, required=False))
    run.claim("passed").claim("passed", "suites/a.py::other")
    assert judged(run, written=WRITTEN)[0] is Overall.MET
    path = run.folder.path / f"{name}.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.unlink()
    if kept is not None:
        path.write_text("".join(lines[:kept]))
    state, reason = judged(run, written=WRITTEN)
    assert state is Overall.INCONCLUSIVE
    gone = WRITTEN[name] - (kept or 0)
    assert reason.endswith(f"{name}.jsonl: {gone} of {WRITTEN[name]} lines that were written are gone")


def test_a_gate_that_finished_without_a_claim_is_inconclusive(run: RunBuilder) -> None:
    """Of a folder that does not say how much was written, too."""
    run.judge(load(run, even_load()), objective())
    state, reason = judged(run)
    assert state is Overall.INCONCLUSIVE
    assert reason.startswith("The gate finished, and no claim of it is left")


def test_a_torn_law_takes_the_pass_away(run: RunBuilder) -> None:
    run.judge(load(run, even_load()), objective())
    run.folder.append_law({"law": "generation-tokens", "load": "chat-4", "state": "FINE"})
    state, reason = judged(run.claim("passed"))
    assert state is Overall.INCONCLUSIVE
    assert "laws.jsonl cannot be read" in reason
