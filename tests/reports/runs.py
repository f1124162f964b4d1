"""Run folders made by hand, with the real writers: every number below was worked out on paper.

`even_load` holds 100 answers with a TTFT of 10, 20, … 1000 ms and a TPOT of 20 ms, in an order that goes
nowhere and in which no answer is like its neighbour: the run is steady, and its requests independent.
Its p50 is the 50th (500 ms), its p95 the 95th (950 ms). At 95 % the interval of p95 goes from the 90th to
the 99th: with Y binomial(100, 0.05), P(Y >= 11) = 0.0115 and P(Y >= 10) = 0.0282 give rank 90;
P(Y <= 0) = 0.0059 gives rank 100, and what is left of 5 % gives rank 99: P(Y <= 1) + P(Y >= 11) is
0.0371 + 0.0115.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instruments.clock import ClockAnchor
from instruments.journal import Journal, load_run
from instruments.records import ClientCheck, Outcome, Phase, RequestRecord, Window
from instruments.results import ClaimRecord, RunFolder, SessionRecord
from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.slo.conservation import LawVerdict
from instruments.statistics import summarize
from instruments.telemetry import Snapshot
from instruments.telemetry.record import ServerRecord

MS = 1_000_000
SECOND = 1_000_000_000
TOKENS = 11
CLAIM = "suites/latency/test_ttft.py::test_chat"
# The loads begin ten seconds after the session, on the wall clock: 2026-11-21 06:00:10 UTC.
BEGAN_UNIX_NS = 1_795_240_810 * SECOND
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


def law(state: State, **changes: Any) -> dict[str, Any]:
    """A line of laws.jsonl: what became of the sum of generated tokens on the load chat-4."""
    told = LawVerdict("generation-tokens", "chat-4", state, "because").document()
    return {**told, "state": str(state), **changes}


def even_load() -> list[RequestRecord]:
    """100 answers with a TTFT of 10, 20, … 1000 ms: 37 and 100 have no common divisor."""
    return [answered(index, 10 * (index * 37 % 100 + 1)) for index in range(100)]


def waves() -> list[RequestRecord]:
    """600 answers of 10 ms and of 20 ms, ten of the one after ten of the other: neighbours are alike."""
    return [answered(index, 20 if index // 10 % 2 else 10) for index in range(600)]


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

    def load(
        self,
        name: str,
        records: list[RequestRecord],
        *,
        end: bool = True,
        decided_at: int | None = None,
        **described: Any,
    ) -> Path:
        path = self.folder.loads / f"{name}.jsonl"
        described = {"workload": {"id": "chat", "rate_per_s": 10.0}, "open_loop": True, **described}
        with Journal(path, name, described, ClockAnchor(0, BEGAN_UNIX_NS)) as journal:
            for record in records:
                journal.append(record)
            if end:
                journal.end(Window(SECOND, 11 * SECOND), CLIENT, None, decided_at)
        return path

    def judge(
        self, journal: Path, judged: ServiceLevelObjective, claim: str = CLAIM, family: int = 1
    ) -> Verdict:
        verdict = evaluate(summarize(load_run(journal)), judged, family=family)
        self.folder.append_verdict(verdict, journal, claim)
        return verdict

    def server(self, name: str, **changes: Any) -> RunBuilder:
        """What the server said around a load: two snapshots of nothing, unless it is changed."""
        given: dict[str, Any] = {
            "source": "direct scrape",
            "before": Snapshot({}),
            "after": Snapshot({}),
            "series": {},
            "every_s": None,
            "clock_error_s": None,
        }
        self.folder.write_document(f"loads/{name}.server.json", ServerRecord(**given | changes).document())
        return self

    def claim(self, outcome: str, nodeid: str = CLAIM, **changes: Any) -> RunBuilder:
        given: dict[str, Any] = {"title": "A chat is answered", "duration_s": 1.5, "suite": "latency"}
        self.folder.append_claim(ClaimRecord(nodeid=nodeid, outcome=outcome, **given | changes))
        return self
