"""What a settings file says is true of the engine that it starts: a real vLLM, started once for all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.engine import architecture, coldstart, memory
from deploy.setup import clone, engine

KEY = "sk-of-the-launched-engine"
AUTH = {"Authorization": f"Bearer {KEY}"}
TINY = clone.ROOT / ".cache" / "models" / "tiny"
START_LIMIT_S = 120.0
pytestmark = [
    pytest.mark.skipif(
        not (engine.DESCRIPTION.is_file() and (TINY / "config.json").is_file()),
        reason="vLLM or its tiny model is not there: `make setup PARTS='engine model'`",
    ),
    pytest.mark.skipif(
        shutil.which("lscpu") is None, reason="vLLM's CPU build asks lscpu, which is not here"
    ),
]


@dataclass(frozen=True)
class Engine:
    """A launched one: its process, address, log and the record of its start."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    record: dict[str, Any]
    waited_s: float

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=10).text


def settings_here(folder: Path, port: int) -> Path:
    """local.yaml with two sequences at most, and refusal of a third."""
    document = yaml.safe_load((clone.ROOT / "deploy/engine/settings/local.yaml").read_text())
    document["batch"]["max_num_seqs"] = 2
    document["queue"] = {"max_num_queued_reqs": 2}
    document["listen"] = {"port": port}
    document["shutdown_timeout_s"] = 1
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "deploy.engine.launch", "--settings", str(settings_here(folder, port))]
    command += ["--record", str(folder / "start.json")]
    env = os.environ | {"VLLM_API_KEY": KEY, "VLLM_SLO_SCRATCH": str(folder / "scratch")}
    log, began = folder / "log", time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=env, cwd=clone.ROOT, stdout=out, stderr=out, start_new_session=True
        )
    try:
        until = began + START_LIMIT_S
        while not (folder / "start.json").is_file():
            if process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"the engine was not recorded as ready; its log ends:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        record = json.loads((folder / "start.json").read_text())
        yield Engine(process, f"http://127.0.0.1:{port}", log, record, time.monotonic() - began)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_limit_of_an_objective_is_a_bound_of_the_servers_histogram(served: Engine) -> None:
    bounds = re.findall(r'^vllm:time_to_first_token_seconds_bucket\{.*?le="([^"]+)"', served.metrics(), re.M)
    assert bounds[6:11] == ["0.08", "0.1", "0.2", "0.25", "0.5"]
    latency = re.findall(r'^vllm:e2e_request_latency_seconds_bucket\{.*?le="([^"]+)"', served.metrics(), re.M)
    assert "3.0" in latency


def test_the_kv_cache_holds_what_the_budget_says(served: Engine) -> None:
    said = re.search(r"CPU KV cache size: ([\d,]+) tokens", served.log.read_text())
    assert said is not None
    tiny = architecture.read(json.loads((TINY / "config.json").read_text()))
    # 2 · 2 layers · 2 heads · 64 · 2 bytes are 1 KiB a token: 64 MiB hold 65,536.
    ours = memory.kv_tokens(67_108_864, memory.kv_bytes_of_one(tiny, 1, 2), block_size=128)
    assert int(said[1].replace(",", "")) == ours == 65_536
    assert served.record["kv_cache_tokens"] == ours


def test_the_record_of_the_start_has_its_stages_in_order(served: Engine) -> None:
    record = served.record
    stages = [record[name] for name in ("imports_s", "weights_s", "kv_cache_s", "engine_s", "healthy_s")]
    stages.append(record["first_token_s"])
    assert all(stage is not None for stage in stages)
    assert stages == sorted(stages)
    assert stages[0] > 0
    assert stages[-1] < served.waited_s
    assert (record["model"], record["notes"]) == ("tiny", [])


def stream(url: str, name: str) -> contextlib.AbstractContextManager[httpx.Response]:
    asked = {"model": "tiny", "prompt": "The queue", "max_tokens": 900, "ignore_eos": True, "stream": True}
    return httpx.stream(
        "POST", f"{url}/v1/completions", json=asked, headers={**AUTH, "X-Request-Id": name}, timeout=30
    )


def test_a_request_beyond_the_queues_limit_is_refused_with_503_and_counted(served: Engine) -> None:
    asked = {"model": "tiny", "prompt": "The queue", "max_tokens": 1}
    with stream(served.url, "one") as first, stream(served.url, "two") as second:
        lines = [one.iter_lines() for one in (first, second)]  # a stream whose iterator is dropped is closed
        assert all(next(one).startswith("data: ") for one in lines)
        refused = httpx.post(f"{served.url}/v1/completions", json=asked, headers=AUTH, timeout=30)
        assert refused.status_code == 503
        assert first.headers["X-Request-Id"] == "one", "request_id_headers is on by default"
    counted = re.search(
        r'^vllm:admission_rejections_total\{[^}]*reason="max_num_queued_reqs"[^}]*\} (\S+)',
        served.metrics(),
        re.M,
    )
    assert counted is not None
    assert float(counted[1]) == 1.0


def test_the_engine_is_closed_without_the_key_and_has_no_interactive_pages(served: Engine) -> None:
    assert httpx.get(f"{served.url}/v1/models", timeout=10).status_code == 401
    assert httpx.get(f"{served.url}/docs", timeout=10).status_code == 404
    assert KEY not in served.log.read_text()


def test_sigterm_to_the_launcher_ends_the_engine_within_its_timeout(served: Engine) -> None:
    """Last, since nothing is served after it."""
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.url}/health", timeout=2)


def test_stages_are_read_from_the_log_of_a_gpu_too() -> None:
    record = coldstart.Record("m", 0.0)
    lines = [
        "(EngineCore) INFO [default_loader.py:502] Loading weights took 11.20 seconds",
        "(EngineCore) INFO [gpu_model_runner.py:5150] Model loading took 14.99 GiB memory and 12.1 seconds",
        "(EngineCore) INFO [kv_cache_utils.py:2327] GPU KV cache size: 32,224 tokens, Maximum concurrency",
        "(EngineCore) INFO [core.py:402] init engine (profile, create kv cache, warmup model) took 31.00 s",
    ]
    for now_s, line in enumerate(lines, 1):
        record.read(line, now_s)
    assert (record.imports_s, record.weights_s, record.kv_cache_s, record.engine_s) == (None, 2, 3, 4)
    assert record.kv_cache_tokens == 32_224
