"""What is to go wrong goes wrong as dictated, to the requests that the seed says, and the trace says so."""

import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.simulator.faults import Ending, Fault, Faults
from deploy.simulator.settings import read_settings
from tests.deploy.asking import BOUND_S, CHAT, HELLO, eventually
from tests.deploy.running import Simulator, simulator

MS = 1_000_000


def ask_by_name(sim: Simulator, name: str, tokens: int = 6, stream: bool = True) -> bytes:
    """The raw answer to one request, until the server closes or resets."""
    body = b'{"prompt":"x","max_tokens":%d,"stream":%b}' % (tokens, b"true" if stream else b"false")
    with socket.create_connection(("127.0.0.1", sim.port), BOUND_S) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"X-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b" % (name.encode(), len(body), body)
        )
        answer = b""
        while piece := _received(client):
            answer += piece
        return answer


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def by_name(sim: Simulator, count: int) -> dict[str, dict[str, Any]]:
    """The trace's lines, once there are `count`."""
    eventually(f"{count} lines", lambda: len(sim.traced()) == count)
    return {line["request_id"]: line for line in sim.traced()}


def test_draws_are_the_requests_own_and_come_in_the_dictated_share() -> None:
    faults = Faults(seed=5, error_share=0.2, error_status=503, share=0.25, fault=Fault(stall_ns=1))
    names = [f"r{number}" for number in range(4000)]
    drawn = [faults.draw(name) for name in names]
    assert [*reversed([faults.draw(name) for name in reversed(names)])] == drawn
    refused = sum(fault.status == 503 for fault in drawn)
    stalled = sum(fault.stall_ns == 1 for fault in drawn)
    assert 800 - 100 < refused < 800 + 100  # 4 standard deviations of 25
    assert 800 - 100 < stalled < 800 + 100  # a quarter of the 3200 that are left
    other = Faults(seed=6, error_share=0.2, share=0.25, fault=Fault(stall_ns=1))
    assert [other.draw(name).status for name in names[:100]] != [fault.status for fault in drawn[:100]]


def test_a_fault_that_a_request_does_not_live_to_see_is_not_named() -> None:
    fault = Fault(ending=Ending.RESET, ending_after=3, stall_after=4, stall_ns=1)
    assert fault.names(3) is None
    assert fault.names(9) == "reset"  # at the instant of the fourth token: the stall is after the fourth
    assert Fault(stall_after=3, stall_ns=1, slow_header_ns=1).names(4) == "slow_header,stall"


def test_the_same_requests_are_hit_whatever_the_order(tmp_path: Path) -> None:
    names = [f"q{number}" for number in range(40)]
    flags: tuple[str, ...] = ("--ttft-ms", "1", "--itl-ms", "0.2", "--seed", "9", "--jitter-ms", "3")
    flags += ("--error-share", "0.3", "--error-status", "429", "--fault-share", "0.5", "--reset-after", "2")
    seen = []
    for turn, order in enumerate((names, names[::-1])):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with simulator(folder, *flags, key="") as sim, ThreadPoolExecutor(4) as pool:
            [*pool.map(lambda name: ask_by_name(sim, name), order)]
            lines = by_name(sim, 40)
        seen.append(
            {
                name: (line["finish"], line["fault"], [due - line["start_ns"] for due in line["dues"]])
                for name, line in lines.items()
                if line["start_ns"]
            }
        )
        refused = {name for name, line in lines.items() if line["fault"] == "error_status"}
        assert refused == {name for name in names if name not in seen[-1]}
        assert 3 <= len(refused) <= 24
    assert seen[0] == seen[1]
    assert {(finish, fault) for finish, fault, _ in seen[0].values()} == {
        ("length", None),
        ("reset", "reset"),
    }


def test_a_refusal_has_the_status_and_leaves_the_connection_open(tmp_path: Path) -> None:
    with (
        simulator(tmp_path, "--error-share", "1", "--error-status", "503", key="") as sim,
        httpx.Client(base_url=sim.url) as client,
    ):
        answers = [client.post(CHAT, json={"messages": HELLO, "stream": True}) for _ in range(2)]
        assert client.get("/health").status_code == 200
        lines = sim.traced()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert answers[0].json()["error"]["type"] == "ServiceUnavailableError"
    assert answers[0].json()["error"]["code"] == 503
    assert [(line["finish"], line["sends"], line["start_ns"]) for line in lines] == [("error", [], None)] * 2
    assert all(line["arrival_ns"] < line["headers_ns"] for line in lines)


def _said(answer: bytes) -> list[Any]:
    """The events of a chunked stream, JSON read."""
    lines = [line for line in answer.split(b"\r\n\r\n", 1)[1].splitlines() if line.startswith(b"data: ")]
    return [json.loads(line[6:]) if line != b"data: [DONE]" else "[DONE]" for line in lines]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Answer and trace line of a request of 6 tokens, by how it ended after 2."""
    found = {}
    for ending in Ending:
        flag = f"--{ending.value.replace('_', '-')}-after"
        flags = ("--ttft-ms", "20", "--itl-ms", "10", flag, "2")
        with simulator(tmp_path_factory.mktemp("ended"), *flags, key="") as sim:
            answer = ask_by_name(sim, ending.value)
            found[ending.value] = answer, by_name(sim, 1)[ending.value]
    return found


def test_an_error_event_takes_the_place_of_the_third_token(ended: dict[str, Any]) -> None:
    answer, line = ended["error_event"]
    first, second, error, done = _said(answer)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert [event["choices"][0]["finish_reason"] for event in (first, second)] == [None, None]
    assert (error["error"]["code"], error["error"]["type"]) == (500, "InternalServerError")
    assert done == "[DONE]"
    assert answer.endswith(b"0\r\n\r\n")
    assert (line["finish"], line["fault"]) == ("error", "error_event")


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_a_stream_that_is_cut_has_two_tokens_and_no_end(ended: dict[str, Any], ending: str) -> None:
    answer, line = ended[ending]
    assert len(_said(answer)) == 2
    assert answer.endswith(b"}\n\n\r\n")  # a whole chunk, and not the last
    assert (line["finish"], line["fault"]) == (ending, ending)


@pytest.mark.parametrize("ending", [ending.value for ending in Ending])
def test_it_ends_when_the_next_token_was_due(ended: dict[str, Any], ending: str) -> None:
    _, line = ended[ending]
    assert line["chunks"] == [1, 1]
    assert len(line["sends"]) == 2
    assert line["dues"] == [line["start_ns"] + 20 * MS, line["start_ns"] + 30 * MS]
    assert line["ended_ns"] >= line["start_ns"] + 40 * MS


def test_a_reset_is_a_reset_and_a_close_is_none(tmp_path: Path) -> None:
    for ending, error in (("reset", ConnectionResetError), ("close", None)):
        folder = tmp_path / ending
        folder.mkdir()
        with simulator(folder, "--ttft-ms", "1", f"--{ending}-after", "0", key="") as sim:
            client = socket.create_connection(("127.0.0.1", sim.port), BOUND_S)
            with contextlib.closing(client):
                body = b'{"prompt":"x","stream":true}'
                client.sendall(b"POST /generate HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                seen: type | None = None
                try:
                    while client.recv(4096):
                        pass
                except ConnectionResetError as caught:
                    seen = type(caught)
            assert seen is error
            assert sim.traced()[0]["sends"] == []


def test_an_answer_in_one_piece_fails_with_500_or_not_at_all(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "1", "--itl-ms", "1", "--error-event-after", "2", key="") as sim:
        failed, whole = ask_by_name(sim, "a", 6, stream=False), ask_by_name(sim, "b", 2, stream=False)
        lines = by_name(sim, 2)
    assert failed.startswith(b"HTTP/1.1 500 ")
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert (lines["a"]["finish"], lines["a"]["sends"], lines["a"]["chunks"]) == ("error", [], [])
    assert (lines["b"]["finish"], len({*lines["b"]["sends"]}), lines["b"]["chunks"]) == ("length", 1, [2])


def test_an_error_event_is_no_token_to_the_metrics(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "1", "--itl-ms", "1", "--error-event-after", "2", key="") as sim:
        ask_by_name(sim, "a")
        by_name(sim, 1)
        counted = {
            name: sim.metric(f"vllm:{name}")
            for name in (
                "generation_tokens_total", "request_generation_tokens_sum",
                "inter_token_latency_seconds_count", "time_to_first_token_seconds_count",
            )
        }  # fmt: skip
        failed = sim.metric("vllm:request_success_total", finished_reason="error")
    assert [*counted.values()] == [2, 2, 1, 1]
    assert failed == 1


def test_a_stall_holds_up_the_rest(tmp_path: Path) -> None:
    with simulator(tmp_path, "--itl-ms", "2", "--stall-after", "3", "--stall-ms", "80", key="") as sim:
        answer = ask_by_name(sim, "slow")
        line = by_name(sim, 1)["slow"]
    gaps = [(b - a) / MS for a, b in zip(line["dues"], line["dues"][1:], strict=False)]
    assert gaps == [2, 2, 82, 2, 2]
    assert line["sends"][3] - line["dues"][2] >= 82 * MS
    assert (line["finish"], line["fault"]) == ("length", "stall")
    assert len(_said(answer)) == 7  # six tokens and [DONE]


def test_slow_headers_come_in_two_pieces_and_hold_up_the_tokens(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "10", "--itl-ms", "1", "--slow-header-ms", "300", key="") as sim:
        client = socket.create_connection(("127.0.0.1", sim.port), BOUND_S)
        with contextlib.closing(client):
            body = b'{"prompt":"x","max_tokens":3,"stream":true}'
            client.sendall(b"POST /generate HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            first = client.recv(65536)
            rest = b""
            while not rest.endswith(b"0\r\n\r\n"):
                rest += client.recv(65536)
        (line,) = sim.traced()
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in first  # the end of the headers is not in the first piece
    assert line["headers_ns"] >= line["arrival_ns"] + 300 * MS
    assert line["dues"] == [line["arrival_ns"] + 300 * MS] * 3  # 10, 11 and 12 ms would have been before
    assert line["headers_ns"] < line["sends"][0]
    assert line["fault"] == "slow_header"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--fault-share", "0.5"), "expected a fault that --fault-share is of"),
        (("--stall-after", "1"), "expected --stall-after and --stall-ms (more than 0) together"),
        (("--stall-ms", "1"), "expected --stall-after and --stall-ms (more than 0) together"),
        (("--error-share", "1.5"), "expected a share from 0 to 1, seen 1.5"),
        (("--error-status", "499"), "expected a status that HTTP names for --error-status, seen 499"),
        (("--reset-after", "1", "--close-after", "2"), "not allowed with argument --reset-after"),
        (("--certfile", "/no/such"), "expected a file, seen /no/such"),
        (("--certfile", __file__), "expected --certfile and --keyfile together"),
        (("--usage", "some"), "invalid"),
    ],
)
def test_contradictions_are_refused(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        read_settings(flags)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
