"""`python -m instruments run` and `show` as processes, against a simulator: what they print and return."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from instruments.journal import load_run
from instruments.records import Outcome, Phase
from tests.deploy.running import Simulator, simulator

ROOT = Path(__file__).parents[2]
KEY = "sk-never-to-be-seen"
BOUND_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("simulator")
    with simulator(folder, "--ttft-ms", "5", "--itl-ms", "1", "--max-model-len", "4096", key=KEY) as sim:
        yield sim


def environment(**told: str) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if name != "STACK_KEY"}
    # A proxy of the environment that nobody answers at: whoever used it would fail.
    return without | {"STACK_KEY": KEY, "http_proxy": "http://127.0.0.1:9"} | told


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "instruments", *words]


def by_hand(*words: str, **told: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. It never shows a traceback, nor the key."""
    done = subprocess.run(
        command(*words), cwd=ROOT, env=environment(**told), capture_output=True, text=True, timeout=BOUND_S
    )
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


def load(server: Simulator, journal: Path, *words: str) -> list[str]:
    return ["run", "--base-url", server.url, "--api-key-env", "STACK_KEY", "--journal", str(journal), *words]


def test_a_load_completes_and_its_journal_joins_with_the_servers_log(
    server: Simulator, tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"
    done = by_hand(
        *load(server, journal, "--users", "3", "--requests", "9", "--warmup", "3"),
        *("--prompt-tokens", "20", "--output-tokens", "8", "--seed", "7"),
    )
    assert done.returncode == 0, done.stderr
    assert "COMPLETED   9 of 9 (100.00%)" in done.stdout
    assert "SIMULATED" in done.stdout
    run = load_run(journal)
    assert [record.phase for record in run.records] == [Phase.WARMUP] * 3 + [Phase.MEASURED] * 9
    assert {record.completion_tokens for record in run.records} == {8}
    assert run.description["model"] == "tiny"
    assert run.description["seed"] == 7
    logged = {line["request_id"] for line in server.traced()}
    assert {record.request_id for record in run.records} <= logged
    assert KEY not in journal.read_text()


def test_json_is_one_document_and_show_prints_it_again(server: Simulator, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    done = by_hand(
        *load(server, journal, "--rate", "50", "--requests", "10", "--output-tokens", "4", "--json")
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["requests"]["due"] == told["requests"]["completed"] == 10
    assert told["requests"]["errors"] == told["requests"]["failed"] == 0
    assert told["offered_per_s"] == pytest.approx(50.0)
    assert told["output_tokens"] == 40
    assert told["latencies"]["ttft_s"]["count"] == 10
    assert told["latencies"]["itl_s"]["count"] == 30
    assert told["latencies"]["ttft_s"]["p50"] >= 0.005
    assert told["simulated"] is True
    assert told["void_because"] == []
    shown = by_hand("show", str(journal), "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout) == told
    assert "COMPLETED   10 of 10" in by_hand("show", str(journal)).stdout


def test_requests_that_the_server_refuses_are_told_and_counted(server: Simulator, tmp_path: Path) -> None:
    done = by_hand(*load(server, tmp_path / "run.jsonl", "--requests", "3", "--output-tokens", "9000"))
    assert done.returncode == 1
    assert "COMPLETED   0 of 3 (0.00%)" in done.stdout
    assert "REFUSED     3 of 3 (100.00%)" in done.stdout
    assert "3 REFUSED: HTTP 400" in done.stdout
    assert "TTFT               0  " in done.stdout  # undefined is a dash, never 0


@contextmanager
def started(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on until it is told to stop."""
    with subprocess.Popen(
        command(*words),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a signal to its group, as Ctrl-C is, does not reach this process
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def metrics(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=BOUND_S) as answer:
        return str(answer.read().decode())


def value(text: str, series: str) -> float:
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(series)), 0.0)


def command_lines(pid: int) -> str:
    """Of a process and its children, as anybody can read them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return " ".join(Path(f"/proc/{one}/cmdline").read_text() for one in [str(pid), *children])


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_is_summed_up_and_its_journal_is_whole(
    server: Simulator, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    journal = tmp_path / "run.jsonl"
    words = ("--users", "4", "--requests", "5000", "--output-tokens", "5", "--metrics-port", "0")
    with started(*load(server, journal, *words)) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # bounded: the process ends by itself after 5,000 requests
        assert first.startswith("metrics of this load: http://127.0.0.1:"), first
        url, deadline = first.split()[-1], time.monotonic() + BOUND_S
        completed = 'vllm_slo_load_requests_total{load="run",outcome="COMPLETED"}'
        while not value(seen := metrics(url), completed):
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
        assert value(seen, 'vllm_slo_load_in_flight{load="run"}') == 4
        if sys.platform == "linux":
            assert "instruments.worker" in (lines := command_lines(process.pid))
            assert KEY not in lines
        os.killpg(process.pid, sent) if sent is signal.SIGINT else process.send_signal(sent)
        said, complained = process.communicate(timeout=BOUND_S)
    assert process.returncode == status, complained
    assert "STOPPED: the run was interrupted" in said
    assert "Traceback" not in complained
    run = load_run(journal)
    assert run.problems == ()
    assert not run.complete
    assert any(record.outcome is Outcome.COMPLETED for record in run.records)
    assert f"of {len(run.records):,}" in said
    assert KEY not in journal.read_text() + said + complained


def test_an_existing_journal_is_left_as_it_is(server: Simulator, tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    journal.write_text("measured before\n")
    done = by_hand(*load(server, journal, "--requests", "1"))
    assert done.returncode == 2
    assert "there already" in done.stderr
    assert "show" in done.stderr
    assert journal.read_text() == "measured before\n"


def test_a_taken_metrics_port_is_refused_before_any_load(server: Simulator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        done = by_hand(*load(server, tmp_path / "run.jsonl", "--requests", "1", "--metrics-port", number))
    assert done.returncode == 2
    assert f"the metrics port {number} cannot be opened" in done.stderr
    assert not (tmp_path / "run.jsonl").exists()


def test_a_missing_key_is_said_by_the_name_of_its_variable(server: Simulator, tmp_path: Path) -> None:
    words = ("run", "--base-url", server.url, "--requests", "1", "--journal", str(tmp_path / "run.jsonl"))
    done = by_hand(*words, "--api-key-env", "NO_SUCH_KEY")
    assert done.returncode == 2
    assert "the environment variable NO_SUCH_KEY is not set" in done.stderr
    refused = by_hand(*words)
    assert refused.returncode == 2
    assert "HTTP 401" in refused.stderr
    assert "--api-key-env" in refused.stderr
    wrong = by_hand(*words, "--api-key-env", "STACK_KEY", STACK_KEY="sk-wrong-one")
    assert wrong.returncode == 2
    assert "sk-wrong-one" not in wrong.stdout + wrong.stderr
    assert not (tmp_path / "run.jsonl").exists()


def test_a_server_that_is_not_there_is_said_before_any_load(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    url, journal = f"http://127.0.0.1:{port}", tmp_path / "run.jsonl"
    done = by_hand("run", "--base-url", url, "--requests", "1", "--journal", str(journal))
    assert done.returncode == 2
    assert f"127.0.0.1:{port} cannot be asked" in done.stderr
    assert "refused" in done.stderr
    assert not journal.exists()


def test_nonsense_is_a_usage_error_and_help_is_not(tmp_path: Path) -> None:
    assert by_hand("run", "--base-url", "http://127.0.0.1:1", "--users", "none").returncode == 2
    assert by_hand("run", "--base-url", "http://127.0.0.1:1", "--no-such-option").returncode == 2
    assert by_hand().returncode == 2
    assert by_hand("show", str(tmp_path / "no.jsonl")).returncode == 2
    helped = by_hand("run", "--help")
    assert helped.returncode == 0
    for said in ("target:", "load:", "limits", "examples:", "exit codes:"):
        assert said in helped.stdout


def test_a_run_imports_nothing_heavy() -> None:
    heavy = (
        "numpy",
        "pandas",
        "matplotlib",
        "pydantic",
        "httpx",
        "rich",
        "prometheus_client",
        "yaml",
        "pytest",
    )
    imports = "import sys, instruments.__main__, instruments.cli.run, instruments.cli.show"
    program = f"{imports}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=True
    )
    assert done.stdout.strip() == "[]"
