"""Run folders made by hand, with the real writers: every number below was worked out on paper.

`even_load` holds 100 answers with a TTFT of 10, 20, … 1000 ms and a TPOT of 20 ms. Its p50 is the 50th
(500 ms), its p95 the 95th (950 ms). At 95 % the interval of p95 goes from the 90th to the 100th: with Y
binomial(100, 0.05), P(Y >= 11) = 0.0115 and P(Y >= 10) = 0.0282 give rank 90, P(Y <= 0) = 0.0059 and
P(Y <= 1) = 0.0371 give rank 100.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruments.clock import ClockAnchor
from instruments.journal import Journal, load_run
from instruments.records import ClientCheck, Outcome, Phase, RequestRecord, Window
from instruments.results import ClaimRecord, RunFolder, SessionRecord
from instruments.slo import ServiceLevelObjective, Verdict, evaluate
from instruments.statistics import summarize

MS = 1_000_000
SECOND = 1_000_000_000
TOKENS = 11
CLAIM = "suites/latency/test_ttft.py::test_chat"
CLIENT = ClientCheck(loop_lag_p99_s=0.001, loop_lag_max_s=0.004, gc_pause_max_s=0.002, cpu_share=0.25)


def objective(**changes: Any) -> ServiceLevelObjective:
    """TTFT p95 ≤ 1.2 s on the workload 'chat', or what is changed of it."""
    given: dict[str, Any] = {
        "id": "chat.ttft",
        "description": "An answer begins soon",
        "workload": "chat",
        "indicator": "ttft_s",
        "statistic": "p95",
        "at_most": 1.2,
    }
    return ServiceLevelObjective(**given | changes)


def answered(index: int, ttft_ms: int) -> RequestRecord:
    """A completed request: first token after `ttft_ms`, then ten gaps of 20 ms."""
    due_ns = SECOND + index * 100 * MS
    first_ns = due_ns + ttft_ms * MS
    chunks = tuple(first_ns + gap * 20 * MS for gap in range(TOKENS))
    return RequestRecord(
        index=index,
        request_id=f"chat-{index}",
        user=0,
        phase=Phase.MEASURED,
        outcome=Outcome.COMPLETED,
        due_ns=due_ns,
        sent_ns=due_ns,
        first_token_ns=first_ns,
        last_token_ns=chunks[-1],
        done_ns=chunks[-1],
        status=200,
        completion_tokens=TOKENS,
        chunks_ns=chunks,
        chunk_tokens=(1,) * TOKENS,
    )


def failed(index: int, error: str = "HTTP 500") -> RequestRecord:
    due_ns = SECOND + index * 100 * MS
    return RequestRecord(
        index=index,
        request_id=f"chat-{index}",
        user=0,
        phase=Phase.MEASURED,
        outcome=Outcome.FAILED,
        due_ns=due_ns,
        sent_ns=due_ns,
        done_ns=due_ns + MS,
        status=500,
        error=error,
    )


def even_load() -> list[RequestRecord]:
    """100 answers with a TTFT of 10, 20, … 1000 ms."""
    return [answered(index, 10 * (index + 1)) for index in range(100)]


class RunBuilder:
    """Writes one run's folder. The measured window of every load is 10 s."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)

    def session(self, **changes: Any) -> RunBuilder:
        given: dict[str, Any] = {
            "run_id": "run-1",
            "started_at": "2026-11-21T06:00:00+00:00",
            "environment": "local",
            "finished_at": "2026-11-21T06:01:30+00:00",
            "exit_code": 0,
            "engine": "vllm",
        }
        self.folder.write_session(SessionRecord(**given | changes))
        return self

    def load(self, name: str, records: list[RequestRecord], *, end: bool = True) -> Path:
        path = self.folder.loads / f"{name}.jsonl"
        described = {"workload": {"id": "chat", "rate_per_s": 10.0}, "open_loop": True}
        with Journal(path, name, described, ClockAnchor(0, 0)) as journal:
            for record in records:
                journal.append(record)
            if end:
                journal.end(Window(SECOND, 11 * SECOND), CLIENT, None)
        return path

    def judge(self, journal: Path, judged: ServiceLevelObjective, claim: str = CLAIM) -> Verdict:
        verdict = evaluate(summarize(load_run(journal)), judged)
        self.folder.append_verdict(verdict, journal, claim)
        return verdict

    def claim(self, outcome: str, nodeid: str = CLAIM, **changes: Any) -> RunBuilder:
        given: dict[str, Any] = {"title": "A chat is answered", "duration_s": 1.5, "suite": "latency"}
        self.folder.append_claim(ClaimRecord(nodeid=nodeid, outcome=outcome, **given | changes))
        return self
