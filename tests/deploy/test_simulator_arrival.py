"""Requests count from the instant when the kernel had them; tokens leave together in steps; over TLS too."""

import contextlib
import json
import signal
import socket
import ssl
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import trustme

from deploy.simulator.ask import Api, Ask
from deploy.simulator.clocks import (
    ANCILLARY_BYTES,
    SCM_TIMESTAMPNS,
    TRUSTED_NS,
    ArrivalClock,
    ask_for_instants,
)
from deploy.simulator.generation import Arrival, Generation
from deploy.simulator.line import PlainLine
from deploy.simulator.lobby import Lobby
from deploy.simulator.trace import line as traced
from deploy.simulator.watch import WRITE, new_watch
from tests.deploy.asking import BOUND_S, CHAT, HELLO, eventually, send
from tests.deploy.running import Simulator, events, simulator

MS = 1_000_000


def kernel_stamps() -> bool:
    """Whether this system stamps what it receives; asked of sockets of the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if sys.platform != "linux" or not ask_for_instants(listener):
            return False
        for _ in range(50):
            with socket.create_connection(listener.getsockname(), BOUND_S) as client:
                accepted, _ = listener.accept()
                with accepted:
                    client.sendall(b"x")
                    _, ancillary, _, _ = accepted.recvmsg(16, ANCILLARY_BYTES)
                    if ancillary:
                        return True
            time.sleep(0.01)
    return False


def ended(sim: Simulator, count: int) -> list[dict[str, Any]]:
    """The trace's lines, once there are `count`."""
    eventually(f"{count} ended", lambda: len(sim.traced()) == count)
    return sim.traced()


def frozen(sim: Simulator, while_stopped_s: float, requests: list[tuple[str, int]]) -> list[socket.socket]:
    """Sends requests of (prompt, tokens) to a server that is stopped for so long, and lets it go on."""
    clients = [socket.create_connection(("127.0.0.1", sim.port), BOUND_S) for _ in requests]
    sim.metrics()  # by now it has accepted them
    sim.process.send_signal(signal.SIGSTOP)
    for client, (prompt, tokens) in reversed([*zip(clients, requests, strict=True)]):
        body = b'{"prompt":"%b","max_tokens":%d,"stream":true}' % (prompt.encode(), tokens)
        client.sendall(
            b"POST /generate HTTP/1.1\r\nX-Request-Id: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (prompt.encode(), len(body), body)
        )
        time.sleep(0.002)  # apart, so that the order of arrival is beyond doubt
    time.sleep(while_stopped_s)
    sim.process.send_signal(signal.SIGCONT)
    return clients


def test_times_count_from_the_kernels_instant_however_late_it_is_read(tmp_path: Path) -> None:
    if not kernel_stamps():
        pytest.skip("the kernel gives no instants of arrival here")
    with simulator(tmp_path, "--ttft-ms", "400", "--itl-ms", "1", key="") as sim, ExitStack() as stack:
        before_ns = time.monotonic_ns()
        for client in frozen(sim, 0.2, [("a", 2), ("b", 2)]):
            stack.enter_context(client)
        lines = ended(sim, 2)
    for line in lines:
        assert line["arrival_clock"] == "kernel"
        assert before_ns < line["arrival_ns"] < line["read_ns"] - 150 * MS
        assert line["dues"] == [line["arrival_ns"] + 400 * MS, line["arrival_ns"] + 401 * MS]
        assert line["sends"][0] >= line["dues"][0]
        assert line["headers_ns"] >= line["read_ns"]


def test_whom_the_kernel_had_first_is_served_first(tmp_path: Path) -> None:
    if not kernel_stamps():
        pytest.skip("the kernel gives no instants of arrival here")
    flags = ("--slots", "1", "--ttft-ms", "30", "--itl-ms", "5")
    with simulator(tmp_path, *flags, key="") as sim, ExitStack() as stack:
        # connected as a, b, c, d; sent as d, c, b, a; all read in one pass
        for client in frozen(sim, 0.02, [("a", 3), ("b", 3), ("c", 3), ("d", 3)]):
            stack.enter_context(client)
        lines = ended(sim, 4)
    assert [line["request_id"] for line in lines] == ["d", "c", "b", "a"]
    assert lines[0]["start_ns"] == lines[0]["arrival_ns"]
    for earlier, later in pairwise(lines):
        assert earlier["dues"][-1] == earlier["start_ns"] + 40 * MS
        assert later["start_ns"] == max(earlier["dues"][-1], later["arrival_ns"])
        assert earlier["arrival_ns"] < later["arrival_ns"]


def test_an_instant_is_taken_only_when_it_can_be_true() -> None:
    clock = ArrivalClock()
    now_ns = time.monotonic_ns()
    offset_ns = time.time_ns() - time.monotonic_ns()

    def said(arrival_ns: int) -> int:
        real_ns = arrival_ns + offset_ns
        data = (real_ns // 10**9).to_bytes(8, "little") + (real_ns % 10**9).to_bytes(8, "little")
        return clock.arrival_ns([(socket.SOL_SOCKET, SCM_TIMESTAMPNS, data)], now_ns)

    assert abs(said(now_ns - 5 * MS) - (now_ns - 5 * MS)) < MS
    assert said(now_ns + 5 * MS) == 0
    assert said(now_ns - TRUSTED_NS - 5 * MS) == 0
    assert clock.arrival_ns([], now_ns) == 0
    assert clock.arrival_ns([(socket.SOL_SOCKET, SCM_TIMESTAMPNS, b"short")], now_ns) == 0


def test_in_steps_all_streams_leave_together(tmp_path: Path) -> None:
    flags = ("--ttft-ms", "33", "--step-ms", "20", "--tokens-per-chunk", "1")
    with simulator(tmp_path, *flags) as sim, ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(send(sim, "x", 30))
            time.sleep(0.003)
        lines = ended(sim, 5)
    for line in lines:
        assert all(due % (20 * MS) == 0 for due in line["dues"])
        assert 0 <= line["dues"][0] - (line["start_ns"] + 33 * MS) < 20 * MS
        assert line["dues"] == [line["dues"][0] + k * 20 * MS for k in range(30)]
        assert all(sent >= due for sent, due in zip(line["sends"], line["dues"], strict=True))
    together = set.intersection(*({*line["dues"]} for line in lines))
    assert together  # they came within 30 steps of each other, and then share instants


def test_flat_out_each_token_is_a_write_and_streams_take_turns(tmp_path: Path) -> None:
    with simulator(tmp_path, "--ttft-ms", "150", "--itl-ms", "0") as sim, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(send(sim, "x", 50))
        lines = ended(sim, 3)
    for line in lines:
        assert line["dues"] == [line["start_ns"] + 150 * MS] * 50
        assert len({*line["sends"]}) == 50
        assert line["sends"] == sorted(line["sends"])


def test_what_a_client_does_not_read_is_not_claimed_to_have_been_sent(tmp_path: Path) -> None:
    """A client that reads nothing for a while: the socket fills, the stream waits, and all of it arrives."""
    flags = ("--ttft-ms", "1", "--itl-ms", "0", "--max-model-len", "100000")
    with simulator(tmp_path, *flags) as sim, send(sim, "x", 80_000) as client:  # 18 MB
        eventually("full", lambda: sim.metric("vllm:generation_tokens_total") > 1000)
        stuck: list[float] = []

        def stands_still() -> bool:
            stuck.append(sim.metric("vllm:generation_tokens_total"))
            return len(stuck) > 5 and len({*stuck[-5:]}) == 1

        eventually("stuck", stands_still)
        read_ns = time.monotonic_ns()
        answer = bytearray()
        while piece := client.recv(1 << 20):
            answer += piece
        (line,) = ended(sim, 1)
    assert stuck[-1] < 80_000
    assert line["finish"] == "length"
    assert answer.count(b"data: {") == len(line["chunks"])
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    before = sum(sent < read_ns for sent in line["sends"])
    assert before == stuck[-1]  # nothing is stamped between the standstill and the reading


def test_a_full_socket_takes_nothing_and_gets_no_stamp() -> None:
    watch = new_watch()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), BOUND_S) as client,
    ):
        accepted, _ = listener.accept()
        line = PlainLine(accepted, watch)
        watch.add(line.fd)
        filled = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                filled += accepted.send(b"x" * 100_000)
        assert line.send(b"y") == 0
        assert not line.pending
        line.write(b"z")  # this must not be lost: it waits
        assert line.pending == b"z"
        assert line.send(b"y") == 0
        while filled > 0:
            filled -= len(client.recv(1 << 20))
        assert [(fd, events & WRITE) for fd, events in watch.wait(int(BOUND_S * 1e9))] == [(line.fd, WRITE)]
        assert line.flush()
        before_ns = time.monotonic_ns()
        assert before_ns <= line.send(b"y") <= time.monotonic_ns()
        line.close()
        assert client.recv(100) + client.recv(100) == b"zy"
    watch.close()


def test_of_those_who_call_the_first_to_arrive_is_next() -> None:
    lobby = Lobby()
    late, early, same = Mock(), Mock(), Mock()
    for arrival_ns, connection in ((20, late), (10, early), (20, same)):
        lobby.call(arrival_ns, connection)
    assert [lobby.next() for _ in range(3)] == [early, late, same]
    assert not lobby.called


def test_cancelled_before_it_began_is_traced_as_such() -> None:
    ask = Ask(Api.CHAT, "x", 1, 5, True, False, False)
    generation = Generation(ask, "id", "id", Arrival(1000, 1200, True), [1, 2, 3, 4, 5], finish="cancelled")
    told = traced(generation)
    assert (told["start_ns"], told["headers_ns"], told["ended_ns"]) == (None, None, None)
    assert (told["dues"], told["sends"], told["chunks"]) == ([], [], [])


def test_tls_says_the_same_and_keeps_the_kernels_instants(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.private_key_pem.write_to_path(keyfile)
    for number, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(certfile, append=number > 0)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    flags = ("--certfile", str(certfile), "--keyfile", str(keyfile), "--ttft-ms", "20", "--itl-ms", "2")
    with simulator(tmp_path, *flags, key="") as sim, httpx.Client(verify=context) as client:
        url = f"https://127.0.0.1:{sim.port}"
        body: dict[str, Any] = {"messages": HELLO, "max_tokens": 5}
        streamed = client.post(url + CHAT, json=body | {"stream": True})
        long = client.post(url + CHAT, json={"messages": [{"role": "user", "content": "w " * 50_000}]})
        whole = client.post(url + CHAT, json=body)
        with socket.create_connection(("127.0.0.1", sim.port), BOUND_S) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            while plain.recv(1000):  # an alert, and the end: not an answer
                pass
        assert client.get(url + "/metrics").status_code == 200
        text = sim.trace.read_text().splitlines()
    said = "".join(event["choices"][0]["delta"]["content"] for event in events(streamed.text)[:-1])
    assert said == whole.json()["choices"][0]["message"]["content"]
    assert long.status_code == 400  # read whole: it is longer than the context
    first = json.loads(text[0])
    assert first["dues"] == [first["arrival_ns"] + (20 + 2 * k) * MS for k in range(5)]
    assert first["arrival_clock"] == ("kernel" if kernel_stamps() else "user")
    assert first["arrival_ns"] <= first["read_ns"]
