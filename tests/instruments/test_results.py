"""A run's folder: all that is written is read again; a reader never sees half a document."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import fields
from pathlib import Path

import pytest

from instruments.errors import JournalError
from instruments.results import ClaimRecord, IncidentRecord, RunFolder, SessionRecord
from instruments.slo import ServiceLevelObjective, State, Verdict

SESSION = SessionRecord(
    run_id="r1",
    started_at="2026-01-01T00:00:00Z",
    environment="local",
    command=("pytest", "--gate"),
    engine="vllm",
    simulated=True,
    gate=True,
    seed=7,
    telemetry="direct scrape",
    notes=("no Prometheus", "π"),
    finished_at="2026-01-01T00:01:00Z",
    exit_code=3,
    exit_reason="objectives violated",
    startup_s={"engine": 12.5},
    expected=("ttft", "errors"),
    left_out=({"id": "tpot", "why": "for qwen*, this is llama"},),
    limits_replaced={"ttft": {"catalog": 0.5, "here": 0.9}},
    overhead_budget_s=0.2,
    duration_scale=0.1,
    written={"claims": 12, "laws": 11},
)
CLAIM = ClaimRecord(
    "suites/a.py::b", "It holds.", "failed", 1.5, "smoke", "why", "trace \udc80", ("gpu", "slow")
)
INCIDENT = IncidentRecord("2026-01-01T00:00:30Z", "engine", "died", "last\nwords")
VERDICT = Verdict(
    ServiceLevelObjective(
        "g",
        "d",
        "w",
        "goodput_share",
        "share",
        at_least=0.9,
        confidence=0.99,
        required=False,
        per_request={"ttft_s": 1.0},
    ),
    "a-run",
    State.INCONCLUSIVE,
    "too few",
    10,
    2,
    0.8,
    0.4,
    None,
    requests_more=33,
)


def test_laws_are_read_again_in_their_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    told = [
        {"law": "tokens", "state": "MET", "seen": "64"},
        {"law": "idle", "state": "VIOLATED"},
    ]
    for law in told:
        folder.append_law(law)
    assert folder.laws() == told


def test_a_session_is_read_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.write_session(SESSION)
    assert folder.read_session() == SESSION
    defaults = SessionRecord("r", "t", "e")
    folder.write_session(defaults)
    assert folder.read_session() == defaults
    assert all(getattr(SESSION, one.name) != getattr(defaults, one.name) for one in fields(SessionRecord))


def test_claims_verdicts_and_incidents_are_read_again_in_their_order(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    second = ClaimRecord("n", "t", "passed", 0.1)
    folder.append_claim(CLAIM)
    folder.append_claim(second)
    folder.append_incident(INCIDENT)
    folder.append_verdict(VERDICT, folder.loads / "a.jsonl", CLAIM.nodeid)
    assert folder.claims() == [CLAIM, second]
    assert folder.incidents() == [INCIDENT]
    assert folder.verdicts() == [(VERDICT, "loads/a.jsonl", CLAIM.nodeid)]


def test_what_was_written_is_counted_by_whoever_wrote_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_claim(CLAIM)
    folder.append_claim(CLAIM)
    folder.append_verdict(VERDICT, folder.loads / "a.jsonl", CLAIM.nodeid)
    folder.append_law({"law": "tokens"})
    folder.append_incident(INCIDENT)
    (tmp_path / "claims.jsonl").unlink()
    assert folder.written == {"claims": 2, "verdicts": 1, "laws": 1, "incidents": 1}
    assert RunFolder(tmp_path).written == {}


def test_an_empty_folder_has_nothing_and_is_no_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (folder.claims(), folder.verdicts(), folder.incidents(), folder.journals()) == ([], [], [], [])
    assert folder.read_document("verdict.json") is None
    with pytest.raises(JournalError, match="is not the folder of a run"):
        folder.read_session()


@pytest.mark.parametrize("text", ['{"schema": 2}', "[]", "{", ""])
def test_a_folder_with_another_run_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(JournalError):
        RunFolder(tmp_path).read_session()


def test_a_torn_last_claim_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append_claim(CLAIM)
    folder.append_claim(CLAIM)
    path = tmp_path / "claims.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert folder.claims() == [CLAIM]


def test_journals_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.loads.mkdir()
    for name in ("b.jsonl", "a.jsonl", "note.txt"):
        (folder.loads / name).touch()
    assert [path.name for path in folder.journals()] == ["a.jsonl", "b.jsonl"]


def test_a_document_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_document("verdict.json", {"version": 1})

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(JournalError, match="No space left"):
        folder.write_document("verdict.json", {"version": 2})
    assert folder.read_document("verdict.json") == {"version": 1}


def test_a_reader_sees_the_old_document_or_the_new_one_and_never_a_part(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    documents = [{"version": number, "filler": "x" * 200_000} for number in (1, 2)]
    folder.write_document("verdict.json", documents[0])

    def write() -> None:
        for turn in range(60):
            folder.write_document("verdict.json", documents[turn % 2])

    writing = threading.Thread(target=write)
    writing.start()
    while writing.is_alive():
        assert json.loads((tmp_path / "verdict.json").read_bytes()) in documents
    writing.join()
    assert os.listdir(tmp_path) == ["verdict.json"]  # noqa: PTH208 - names only


def test_a_folder_that_cannot_be_made_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = RunFolder(tmp_path / "file")
    with pytest.raises(JournalError, match="cannot write"):
        folder.write_session(SESSION)
    with pytest.raises(JournalError, match="cannot write"):
        folder.append_claim(CLAIM)


def test_a_full_disk_is_a_journal_error(tmp_path: Path) -> None:
    (tmp_path / "claims.jsonl").symlink_to("/dev/full")
    with pytest.raises(JournalError, match="No space left"):
        RunFolder(tmp_path).append_claim(CLAIM)
