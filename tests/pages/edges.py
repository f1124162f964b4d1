"""Runs at the edges: met, violated, undecided, all failed, empty, cut, blind, simulated, huge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from instruments.results import IncidentRecord
from instruments.slo import State
from tests.reports.runs import RunBuilder, answered, even_load, failed, law, objective

CLAIMS, FAILURES, LOADS = 1_600, 80, 150
TRACE = "\n".join(
    f"    raise AssertionError(\"line {line} of a long <traceback> & its 'quotes'\")" for line in range(99)
)


def met(run: RunBuilder) -> None:
    """An objective met, all laws kept, a claim with cases, one skipped."""
    run.judge(run.load("chat-10", even_load()), objective())
    _laws(run, State.MET)
    run.claim("passed")
    for case in ("16", "64", "256"):
        run.claim("passed", f"suites/latency/test_ttft.py::test_context[{case}]", title=f"A prompt of {case}")
    run.claim("skipped", "suites/latency/test_gpu.py::test_power", reason="the stack has no GPU")
    run.folder.write_document("fingerprint.json", {"vllm": "0.11.2", "model": "tiny", "gpu": None})
    run.session(
        startup_s={"gateway": 1.5, "engine": 41.0}, telemetry="Prometheus", command=("pytest", "-m", "smoke")
    )


def violated(run: RunBuilder) -> None:
    """Two objectives broken, one of them advisory, one met; a law broken; a part of the stack died."""
    journal = run.load("chat-10", even_load())
    run.judge(journal, objective(at_most=0.5))
    run.judge(journal, objective(id="chat.ttft.p50", statistic="p50", at_most=1.0))
    run.judge(journal, objective(id="chat.advice", at_most=0.4, required=False))
    _laws(run, State.VIOLATED, expected="1,100 tokens", seen="1,099 tokens")
    run.folder.append_incident(
        IncidentRecord("2026-11-21T06:00:30+00:00", "gateway", "exit code 137", "killed\n" * 400)
    )
    run.claim("failed", reason="VIOLATED: chat.ttft", detail=TRACE).session(exit_code=10)


def inconclusive(run: RunBuilder) -> None:
    """Ten answers are too few."""
    run.judge(run.load("chat-10", [answered(index, 10 * (index + 1)) for index in range(10)]), objective())
    run.claim("failed", reason="INCONCLUSIVE: chat.ttft").session(exit_code=11)


def all_failed(run: RunBuilder) -> None:
    """Not one request was answered."""
    run.judge(run.load("chat-10", [failed(index) for index in range(60)]), objective())
    run.claim("failed", reason="VIOLATED: chat.ttft", detail=TRACE).session(exit_code=10)


def empty(run: RunBuilder) -> None:
    """Nothing was collected."""
    run.session(exit_code=12)


def cut(run: RunBuilder) -> None:
    """The machine lost its power in the middle of a line of the journal; the session never finished."""
    journal = run.load("chat-10", even_load(), end=False)
    run.judge(journal, objective())
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) * 6 // 10])
    run.session(finished_at=None, exit_code=None)


def blind(run: RunBuilder) -> None:
    """Prometheus was down: what the server said has gaps, and no law can be checked."""
    run.judge(run.load("chat-10", even_load()), objective())
    run.server("chat-10", problems=("Prometheus did not answer for 41 s: connection refused",))
    _laws(run, State.INCONCLUSIVE)
    run.claim("passed").session(telemetry="Prometheus")


def simulated(run: RunBuilder) -> None:
    """All met, by a simulator."""
    met(run)
    run.session(simulated=True, engine="simulator", notes=("A simulator stood in for the engine.",))


def gate_with_gaps(run: RunBuilder) -> None:
    """A gate that judged one of the three objectives that it had to, without a calibration."""
    run.judge(run.load("chat-10", even_load()), objective())
    _laws(run, State.INCONCLUSIVE)
    run.claim("passed")
    run.session(gate=True, expected=("chat.ttft", "chat.tpot", "chat.e2e"), exit_code=11)


def huge(run: RunBuilder) -> None:
    """1,600 claims of which 80 failed, 150 loads, 60 objectives, 1,200 laws."""
    loads = [run.load(f"load-{number:03d}", even_load()[:40]) for number in range(LOADS)]
    for number, journal in enumerate(loads[:60]):
        limit_s = 0.2 if number % 12 == 0 else 1.0 + number / 10
        run.judge(journal, objective(id=f"chat.ttft.{number}", statistic="p50", at_most=limit_s))
    for number in range(LOADS * 8):
        run.folder.append_law(
            law(State.MET, law=f"law-{number % 8}", load=f"load-{number // 8:03d}", seen="40 = 40")
        )
    for number in range(CLAIMS):
        file, test, case = number % 40, number // 40 % 5, number // 200
        nodeid = f"suites/area/test_{file:02d}.py::test_claim_{test}[case-{case}]"
        lost = number % (CLAIMS // FAILURES) == 0
        said = {"reason": f"claim {number} does not hold", "detail": TRACE} if lost else {}
        run.claim("failed" if lost else "passed", nodeid, title=f"Claim {test} of file {file}", **said)
    run.session(exit_code=1, startup_s={f"part-{part}": float(part) for part in range(1, 8)})


EDGES: dict[str, Callable[[RunBuilder], None]] = {
    edge.__name__.replace("_", "-"): edge
    for edge in (met, violated, inconclusive, all_failed, empty, cut, blind, simulated, gate_with_gaps, huge)
}


def build(name: str, folder: Path) -> Path:
    """The folder of a run with that edge."""
    run = RunBuilder(folder / "results" / name)
    EDGES[name](run)
    return run.folder.path


def _laws(run: RunBuilder, state: State, **told: str) -> None:
    run.folder.append_law(
        law(State.MET, law="requests", statement="sent = answered", load="chat-10", seen="100 = 100")
    )
    run.folder.append_law(law(state, law="tokens", statement="tokens = tokens", load="chat-10", **told))
