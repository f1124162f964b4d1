"""The simulator does what it was told when it was told to, counts it, and tells the truth about it."""

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from deploy.simulator.settings import read_settings
from tests.deploy.asking import BOUND_S, CHAT, COMPLETIONS, HELLO, eventually, post, send, stands
from tests.deploy.running import AUTH, ROOT, Simulator, events, simulator

MS = 1_000_000


# --- when it is said ---


def test_tokens_go_out_when_dictated_and_the_trace_says_so(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "20", "--itl-ms", "0.5") as sim:
        sent_ns = time.monotonic_ns()
        with httpx.stream(
            "POST",
            sim.url + CHAT,
            json={"messages": HELLO, "max_tokens": 9, "stream": True},
            headers=AUTH | {"X-Request-Id": "timed"},
        ) as answer:
            headers_ns = time.monotonic_ns()
            seen_ns = [time.monotonic_ns() for line in answer.iter_lines() if '"delta":{"content"' in line]
        (line,) = sim.traced()
    start_ns, sends = line["start_ns"], line["sends"]
    assert line["request_id"] == "timed"
    assert line["finish"] == "length"
    assert sent_ns < line["arrival_ns"] == start_ns
    assert line["dues"] == [start_ns + 20 * MS + k * MS // 2 for k in range(9)]
    assert len(sends) == len(seen_ns) == 9
    assert all(send >= due for send, due in zip(sends, line["dues"], strict=True))
    assert all(seen > send for seen, send in zip(seen_ns, sends, strict=True))
    assert headers_ns < sends[0]  # the head does not wait for the first token
    assert sorted(send - due for send, due in zip(sends, line["dues"], strict=True))[4] < 50 * MS


def test_a_chunk_of_several_tokens_leaves_when_its_last_token_is_due(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "5", "--itl-ms", "2", "--tokens-per-chunk", "4") as sim:
        answer = post(sim, COMPLETIONS, prompt="x", max_tokens=11, stream=True)
        (line,) = sim.traced()
        gaps = sim.metric("vllm:inter_token_latency_seconds_count")
    assert [len(event["choices"][0]["text"].split()) for event in events(answer.text)[:-1]] == [1, 4, 4, 2]
    sends, dues = line["sends"], line["dues"]
    assert [sends.index(send) for send in sorted({*sends})] == [0, 1, 5, 9]
    assert sends[1] >= dues[4]
    assert sends[5] >= dues[8]
    assert sends[9] >= dues[10]
    assert gaps == 3


def test_lateness_does_not_add_up(tmp_path: Path) -> None:
    """A server stopped for 200 ms is late for the tokens due meanwhile, and on time again for those after."""
    with simulator(tmp_path, "--ttft-ms", "5", "--itl-ms", "5") as sim:
        body = {"prompt": "x", "max_tokens": 120, "stream": True}
        with httpx.stream("POST", sim.url + COMPLETIONS, json=body, headers=AUTH) as answer:
            lines = answer.iter_lines()
            next(lines)
            sim.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            sim.process.send_signal(signal.SIGCONT)
            said = sum('"text"' in line for line in lines)
        (line,) = sim.traced()
    late_ms = [(send - due) / MS for send, due in zip(line["sends"], line["dues"], strict=True)]
    assert said == 119
    assert min(late_ms) >= 0
    assert max(late_ms) > 150
    assert sorted(late_ms[80:])[20] < 20  # the 120 tokens take 600 ms; these 40 were due after the stop
    assert len(line["sends"]) - len({*line["sends"]}) >= 30  # what had become due went out in one write


def test_with_one_slot_each_starts_when_the_one_before_was_due_to_end(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--slots", "1", "--ttft-ms", "150", "--itl-ms", "5") as sim,
        ExitStack() as stack,
    ):
        for waiting in (0, 1, 2):
            stack.enter_context(send(sim, "x " * (waiting + 1), max_tokens=11))
            eventually("running 1", lambda: sim.metric("vllm:num_requests_running") == 1)
            eventually("in line", partial(stands, sim, "vllm:num_requests_waiting", waiting))
        eventually("3 done", lambda: sim.metric("vllm:request_success_total", finished_reason="length") == 3)
        first, second, third = sim.traced()
        ttft_s = sim.metric("vllm:time_to_first_token_seconds_sum")
        queue_s = sim.metric("vllm:request_queue_time_seconds_sum")
    assert [line["prompt_tokens"] for line in (first, second, third)] == [1, 2, 3]
    assert first["dues"][-1] == first["start_ns"] + 200 * MS  # 150 + 10 gaps of 5
    assert second["arrival_ns"] < first["dues"][-1] == second["start_ns"]
    assert third["start_ns"] == second["dues"][-1] == first["start_ns"] + 400 * MS
    # the server counts time to first token from arrival, so the wait is in it
    waited_ns = sum(line["start_ns"] - line["arrival_ns"] for line in (first, second, third))
    firsts_ns = sum(line["sends"][0] - line["arrival_ns"] for line in (first, second, third))
    assert queue_s == pytest.approx(waited_ns / 1e9)
    assert ttft_s == pytest.approx(firsts_ns / 1e9)
    assert firsts_ns >= 450 * MS + waited_ns


def test_a_client_that_leaves_gives_its_slot_to_the_next_in_line(tmp_path: Path) -> None:
    with simulator(tmp_path, "--slots", "1", "--ttft-ms", "1", "--itl-ms", "20") as sim:
        with send(sim, "x", 900) as leaver:  # 18 s, were it not cut short
            eventually("running 1", lambda: sim.metric("vllm:num_requests_running") == 1)
            assert sim.metric("vllm:kv_cache_usage_perc") > 0
            husk = send(sim, "x", 900)
            eventually("waiting 1", lambda: sim.metric("vllm:num_requests_waiting") == 1)
            heir = send(sim, "x", 900)
            eventually("waiting 2", lambda: sim.metric("vllm:num_requests_waiting") == 2)
            husk.close()
            eventually("waiting 1", lambda: sim.metric("vllm:num_requests_waiting") == 1)
            assert leaver.recv(1) == b"H"
        with heir:
            eventually("waiting 0", lambda: sim.metric("vllm:num_requests_waiting") == 0)
            assert b"text/event-stream" in heir.recv(4096)
            assert heir.recv(4096)  # its first token
        eventually("running 0", lambda: sim.metric("vllm:num_requests_running") == 0)
        assert post(sim, COMPLETIONS, prompt="x", max_tokens=1).status_code == 200
        reasons = ("stop", "length", "abort", "error", "repetition")
        counted = [sim.metric("vllm:request_success_total", finished_reason=reason) for reason in reasons]
        traced = sim.traced()
        ok = sim.metric("http_requests_total", handler=COMPLETIONS, status="2xx")
    assert counted == [0, 1, 0, 0, 0]  # whoever left is counted nowhere, as in vLLM, but for the HTTP status
    assert ok == 4
    assert [line["finish"] for line in traced] == ["cancelled", "cancelled", "cancelled", "length"]
    assert traced[0]["sends"] == []


# --- what is counted ---


# Of three answers with 11, 2 and 5 tokens in and 4, 1 and 6 out.
COUNTED = {
    "prompt_tokens_total": 18,
    "generation_tokens_total": 11,
    "num_preemptions_total": 0,
    "prefix_cache_queries_total": 18,
    "prefix_cache_hits_total": 0,
    "num_requests_running": 0,
    "num_requests_waiting": 0,
    "kv_cache_usage_perc": 0,
    "time_to_first_token_seconds_count": 3,
    "inter_token_latency_seconds_count": 8,  # 3 + 0 + 5 gaps
    "request_time_per_output_token_seconds_count": 3,
    "e2e_request_latency_seconds_count": 3,
    "request_queue_time_seconds_count": 3,
    "request_prompt_tokens_sum": 18,
    "request_generation_tokens_sum": 11,
}


def test_metrics_count_exactly_what_was_asked(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "15", "--itl-ms", "1", "--max-model-len", "1024") as sim:
        ask_a_bit_of_everything(sim)
        answer = httpx.get(sim.url + "/metrics")
        totals = {name: sim.metric(f"vllm:{name}", engine="0", model_name="tiny") for name in COUNTED}
        first_token = [
            sim.metric("vllm:time_to_first_token_seconds_bucket", le=le) for le in ("0.01", "+Inf")
        ]
        in_tokens = [
            sim.metric("vllm:request_prompt_tokens_bucket", le=le) for le in ("2.0", "5.0", "20.0", "1000.0")
        ]
        http = [line for line in answer.text.splitlines() if line.startswith("http_requests_total")]
        assert sim.metric("vllm_slo_simulated") == 1
        assert sim.metric("vllm:cache_config_info", block_size="16") == 1
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert totals == COUNTED
    assert first_token == [0, 3]  # 15 ms can be late, never early
    assert in_tokens == [1, 2, 3, 3]
    assert sorted(http) == [
        'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 1.0',
        'http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 2.0',
        'http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 1.0',
        'http_requests_total{handler="none",method="GET",status="4xx"} 1.0',
    ]


def ask_a_bit_of_everything(sim: Simulator) -> None:
    post(sim, CHAT, messages=HELLO, max_tokens=4)  # 11 in, 4 out
    post(sim, COMPLETIONS, prompt="a b", max_tokens=1)  # 2 in, 1 out
    post(sim, COMPLETIONS, prompt=[5, 6, 7, 8, 9], max_tokens=6, stream=True)  # 5 in, 6 out
    post(sim, COMPLETIONS, prompt="", max_tokens=6)  # refused
    httpx.get(sim.url + "/v1/models")  # 401: not counted
    httpx.get(sim.url + "/health")  # a probe: not counted
    httpx.get(sim.url + "/unknown")


def test_buckets_are_those_of_vllm_0_32(tmp_path: Path) -> None:
    with simulator(tmp_path, "--max-model-len", "32") as sim:
        text = sim.metrics()

    def bounds(name: str) -> str:
        lines = [line for line in text.splitlines() if f"{name}_bucket" in line]
        return " ".join(line.split('le="')[1].split('"')[0] for line in lines)

    gap = "0.01 0.025 0.05 0.075 0.1 0.15 0.2 0.3 0.4 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 +Inf"
    request = "0.3 0.5 0.8 1.0 1.5 2.0 2.5 5.0 10.0 15.0 20.0 30.0 40.0 50.0 60.0 120.0 240.0 480.0 960.0 1920.0 7680.0 +Inf"  # fmt: skip # noqa: E501
    first = "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 20.0 40.0 80.0 160.0 640.0 2560.0 +Inf"  # fmt: skip # noqa: E501
    assert bounds("vllm:inter_token_latency_seconds") == gap
    assert bounds("vllm:request_time_per_output_token_seconds") == gap
    assert bounds("vllm:e2e_request_latency_seconds") == request
    assert bounds("vllm:request_queue_time_seconds") == request
    assert bounds("vllm:time_to_first_token_seconds") == first
    assert bounds("vllm:request_prompt_tokens") == "1.0 2.0 5.0 10.0 20.0 +Inf"  # of a context of 32


# --- the process ---


def test_sigterm_lets_open_streams_end_and_exits_0(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "5", "--itl-ms", "10") as sim, httpx.Client() as idle:
        idle.get(sim.url + "/health")  # keeps its connection, and must not hold up the end
        body = {"prompt": "x", "max_tokens": 40, "stream": True}
        with httpx.stream("POST", sim.url + COMPLETIONS, json=body, headers=AUTH) as answer:
            lines = answer.iter_lines()
            next(lines)
            sim.process.terminate()
            rest = [*lines]
        ended_s = time.monotonic()
        assert sim.process.wait(BOUND_S) == 0
        assert time.monotonic() - ended_s < 3  # neither the bound of 10 s nor the 5 s of an idle connection
        with pytest.raises(httpx.ConnectError):
            httpx.get(sim.url + "/health")
    assert rest[-2:] == ["data: [DONE]", ""]
    assert len(sim.traced()[0]["sends"]) == 40


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with simulator(tmp_path) as sim:
        command = [sys.executable, "-m", "deploy.simulator", "--port", str(sim.port)]
        second = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False
        )
    assert second.returncode == 1
    assert second.stdout == ""
    (line,) = second.stderr.splitlines()
    assert f"expected 127.0.0.1:{sim.port} to be free; seen: Address already in use; try" in line


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "65536"), "expected a whole number from 0 to 65535, seen 65536"),
        (("--slots", "0"), "expected a whole number from 1 up, seen 0"),
        (("--itl-ms", "-1"), "expected milliseconds from 0 up, seen -1"),
        (
            ("--trace", "/no/such/folder/t.jsonl"),
            "expected a file in a folder that exists, seen /no/such/folder",
        ),
    ],
)
def test_nonsense_is_refused_before_it_starts(
    flags: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(flags)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
