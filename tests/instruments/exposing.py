"""A component that exposes what a test writes, a Prometheus that scrapes it, and texts of vLLM's versions."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from environments.binaries import find_monitoring
from environments.ports import take_port
from environments.process import Process
from instruments.telemetry.prometheus import PrometheusTelemetry

JOB = 'job="engine"'
SCRAPED_EVERY_S = 0.2
BOUND_S = 30.0
NO_PROMETHEUS = "no Prometheus on this machine: `make setup` unpacks one"


class Exposition:
    """Serves `text` at /metrics. `scrapes` keeps (Unix seconds, who asked, text) of what Prometheus got."""

    def __init__(self) -> None:
        exposed = self
        self.text: str | Callable[[], str] = ""
        self.status = 200
        self.delay_s = 0.0
        self.scrapes: list[tuple[float, str, str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                text = exposed.text if isinstance(exposed.text, str) else exposed.text()
                if "?who=" in self.path:
                    exposed.scrapes.append((time.time(), self.path.partition("?who=")[2], text))
                time.sleep(exposed.delay_s)
                self.send_response(exposed.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Said to nobody."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.target}/metrics"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5.0)


@contextmanager
def exposing(text: str | Callable[[], str] = "") -> Iterator[Exposition]:
    exposition = Exposition()
    exposition.text = text
    try:
        yield exposition
    finally:
        exposition.close()


class Prometheus:
    """A real Prometheus that can be killed and started again on the same port and storage."""

    def __init__(self, folder: Path, *targets: str) -> None:
        binary = find_monitoring("prometheus", "prometheus-prometheus")
        if binary is None:
            pytest.skip(NO_PROMETHEUS)
        self._binary = binary
        self._folder = folder
        self._targets = len(targets)
        self._port = take_port(0, "Prometheus")
        self._process: Process | None = None
        every = f"{SCRAPED_EVERY_S * 1000:.0f}ms"
        config = {
            "global": {"scrape_interval": every, "scrape_timeout": every},
            "scrape_configs": [
                {
                    "job_name": "engine",
                    "params": {"who": [folder.name]},
                    "static_configs": [{"targets": list(targets)}],
                }
            ],
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        arguments = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        self._process = Process.start(
            "prometheus",
            [self._binary.path, *arguments],
            log=self._folder / "prometheus.log",
            cwd=self._folder,
        )

    def wait(self) -> None:
        """Until it has scraped its targets, which it looks up five seconds after it started."""
        bound = time.monotonic() + BOUND_S
        seen = "nothing"
        while time.monotonic() < bound:
            try:
                asked = {"query": f"count(up{{{JOB}}} == 1) == {self._targets}"}
                answer = httpx.get(f"{self.url}/api/v1/query", params=asked, trust_env=False, timeout=5.0)
                seen = answer.text
                if answer.status_code == 200 and answer.json()["data"]["result"]:
                    return
            except httpx.HTTPError as error:
                seen = repr(error)
            time.sleep(0.05)
        raise AssertionError(f"Prometheus scrapes nothing after {BOUND_S:g} s: {seen}")

    def kill(self) -> None:
        """End it at once."""
        assert self._process is not None
        self._process.stop(grace_s=0.0)

    def telemetry(self, **now: object) -> PrometheusTelemetry:
        return PrometheusTelemetry(self.url, JOB, **now)  # type: ignore[arg-type]


def v0(running: int = 0, tokens: int = 0, kv: float = 0.0, waiting: int = 0) -> str:
    """vLLM 0.6: one set of labels, old names, a reason of finishing only once it happened."""
    label = 'model_name="m"'
    return f"""\
# HELP vllm:num_requests_running Number of requests currently running on GPU.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{label}}} {running}.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{label}}} {waiting}.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{{{label}}} {kv}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{label}}} {tokens}.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{{finished_reason="stop",{label}}} 3.0
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_bucket{{le="0.01",{label}}} 4.0
vllm:time_per_output_token_seconds_bucket{{le="0.025",{label}}} 6.0
vllm:time_per_output_token_seconds_bucket{{le="+Inf",{label}}} 7.0
vllm:time_per_output_token_seconds_count{{{label}}} 7.0
vllm:time_per_output_token_seconds_sum{{{label}}} 0.2
"""


def v1(
    running: int = 0,
    tokens: int = 0,
    kv: float | str = 0.0,
    waiting: int = 0,
    ttft: tuple[int, int, int] = (0, 0, 0),
    engine: int = 0,
    created: float = 1.7e9,
) -> str:
    """vLLM 0.32: labels engine and model_name, new names, `_created` beside each counter."""
    label = f'engine="{engine}",model_name="m"'
    return f"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{label}}} {running}.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{{label}}} {waiting}.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{{label}}} {kv}
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{{label}}} {tokens}.0
# TYPE vllm:generation_tokens_created gauge
vllm:generation_tokens_created{{{label}}} {created}
# TYPE vllm:request_success_total counter
vllm:request_success_total{{finished_reason="stop",{label}}} 5.0
vllm:request_success_total{{finished_reason="abort",{label}}} 0.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{{le="0.25",{label}}} {ttft[0]}.0
vllm:time_to_first_token_seconds_bucket{{le="1.0",{label}}} {ttft[1]}.0
vllm:time_to_first_token_seconds_bucket{{le="+Inf",{label}}} {ttft[2]}.0
vllm:time_to_first_token_seconds_count{{{label}}} {ttft[2]}.0
vllm:time_to_first_token_seconds_sum{{{label}}} {0.1 * ttft[2]:.6f}
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{{le="0.01",{label}}} 90.0
vllm:inter_token_latency_seconds_bucket{{le="+Inf",{label}}} 90.0
vllm:inter_token_latency_seconds_count{{{label}}} 90.0
vllm:inter_token_latency_seconds_sum{{{label}}} 0.4
"""


def both() -> str:
    """vLLM 0.10: what 0.9 renamed is there under both names, with equal values."""
    label = 'engine="0",model_name="m"'
    renamed = (
        ("kv_cache_usage_perc", "gpu_cache_usage_perc", "gauge", 0.5),
        ("prefix_cache_queries_total", "gpu_prefix_cache_queries_total", "counter", 40.0),
        ("prefix_cache_hits_total", "gpu_prefix_cache_hits_total", "counter", 30.0),
    )
    return "".join(
        f"# TYPE vllm:{name} {kind}\nvllm:{name}{{{label}}} {value}\n"
        for new, old, kind, value in renamed
        for name in (old, new)
    )
