"""Streams through the ingress: passed on as they come, waited for, left by clients, kept by a reload."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.deploy.ingress_stage import Ingress, envelope, ingress, until
from tests.deploy.running import AUTH, Simulator, simulator

COMPLETIONS = "/v1/completions"
ITL_S, TTFT_S = 0.04, 0.1
TOKENS = 25


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    flags = ("--ttft-ms", str(1000 * TTFT_S), "--itl-ms", str(1000 * ITL_S))
    with simulator(tmp_path_factory.mktemp("engine"), *flags) as running:
        yield running


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, engine: Simulator) -> Iterator[Ingress]:
    with ingress(tmp_path_factory.mktemp("ingress"), f"127.0.0.1:{engine.port}") as running:
        yield running


def body(tokens: int = TOKENS) -> dict[str, object]:
    return {"model": "tiny", "prompt": "a", "max_tokens": tokens, "stream": True}


def arrivals(answer: httpx.Response) -> list[float]:
    """The instants at which events with text came."""
    return [time.monotonic() for line in answer.iter_lines() if '"text"' in line]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_events_arrive_with_the_gaps_with_which_they_were_sent(stage: Ingress, encoding: str) -> None:
    headers = {**AUTH, "Accept-Encoding": encoding}
    with stage.client().stream("POST", COMPLETIONS, json=body(), headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        at = arrivals(answer)
    assert len(at) == TOKENS
    # Held back they would come in one burst. The time between first and last is dictated: 24 gaps of 40 ms. A
    # busy machine makes single gaps longer and shorter, and cannot make the whole shorter than it was sent.
    spread_s = at[-1] - at[0]
    assert spread_s > 0.8 * (TOKENS - 1) * ITL_S
    gaps = sorted(later - earlier for earlier, later in pairwise(at))
    assert 0.5 * ITL_S < gaps[len(gaps) // 2] < 2 * ITL_S


def test_a_long_pause_before_the_first_token_is_waited_for(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--ttft-ms", "1200", "--itl-ms", "0") as engine,
        ingress(tmp_path, f"127.0.0.1:{engine.port}") as running,
    ):
        answer = running.client().post(COMPLETIONS, json=body(4), headers=AUTH)
        assert answer.status_code == 200
        assert answer.text.rstrip().endswith("data: [DONE]")


def test_a_gateway_that_is_silent_for_longer_than_the_bound_is_504_in_the_envelope(tmp_path: Path) -> None:
    slow = ("--ttft-ms", "30000", "--slow-header-ms", "30000")
    with (
        simulator(tmp_path, *slow) as engine,
        ingress(tmp_path, f"127.0.0.1:{engine.port}", read_timeout_s=1) as running,
    ):
        answer = running.client().post(COMPLETIONS, json={**body(4), "stream": False}, headers=AUTH)
        assert envelope(answer) == (504, "upstream_timeout")


def test_a_client_that_leaves_is_499_in_the_log_and_stops_its_generation(
    stage: Ingress, engine: Simulator
) -> None:
    headers = {**AUTH, "X-Request-Id": "leaves-early"}
    with stage.client().stream("POST", COMPLETIONS, json=body(900), headers=headers) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")

    def ended() -> list[dict[str, object]]:
        return [one for one in engine.traced() if one["request_id"] == "leaves-early"]

    until(ended, "the engine learns that the client left")
    (line,) = ended()
    assert line["finish"] == "cancelled"
    left = stage.log("leaves-early")
    assert (left["status"], left["completed"]) == (200, "")  # the status line had gone out


def test_a_stream_that_was_read_to_its_end_is_completed_in_the_log(stage: Ingress) -> None:
    headers = {**AUTH, "X-Request-Id": "reads-on"}
    assert stage.client().post(COMPLETIONS, json=body(3), headers=headers).status_code == 200
    line = stage.log("reads-on")
    assert (line["status"], line["completed"]) == (200, "OK")


def test_a_client_that_leaves_before_any_answer_is_499_in_the_log(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--ttft-ms", "20000") as engine,
        ingress(tmp_path, f"127.0.0.1:{engine.port}") as running,
    ):
        client = running.client(headers={**AUTH, "X-Request-Id": "left-at-once"})
        with pytest.raises(httpx.ReadTimeout):
            client.post(COMPLETIONS, json={**body(4), "stream": False}, timeout=0.3)
        line = running.log("left-at-once")
        assert line["status"] == 499
        until(lambda: engine.metric("vllm:num_requests_running") == 0, "the engine's slot is free")


def test_a_reload_keeps_streams_and_serves_new_requests(stage: Ingress) -> None:
    tokens = 60  # 2.5 s
    with stage.client().stream("POST", COMPLETIONS, json=body(tokens), headers=AUTH) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        old = workers(stage)
        stage.process.send_signal(signal.SIGHUP)
        until(lambda: workers(stage) - old, "new workers are there")
        assert stage.client(headers=AUTH).get("/v1/models").status_code == 200
        rest = [line for line in lines if line]
    assert rest[-1] == "data: [DONE]"
    assert sum('"text"' in line for line in rest) == tokens - 1
    until(lambda: not workers(stage) & old, "the old workers end once their streams have")


def workers(stage: Ingress) -> set[int]:
    """Process ids of nginx's workers."""
    listed = Path(f"/proc/{stage.process.pid}/task/{stage.process.pid}/children").read_text()
    return set(map(int, listed.split()))
