"""Without a fault the saboteur is not there; with one, a client that leaves is still gone upstream."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.deploy.running import AUTH, ROOT, events, simulator
from tests.faults.browser import BOUND_S, DONE, ROLE, TOKENS, Browser, answered, between, streamed
from tests.faults.planted import metrics, streams
from tests.faults.saboteur import Saboteur
from tests.faults.upstream import STREAM_HEAD, Pause, chunk, chunked, upstream, whole


async def test_the_control_forwards_requests_whole() -> None:
    body = b'{"prompt": "\xc3\xa9 \x00"}'
    async with upstream(whole(b"{}")) as up, between(up, "none") as browser:
        await browser.ask(
            b"/v1/x?a=b", body, b"authorization: Bearer sk", b"X-Request-Id: abc", b"Connection: keep-alive"
        )
        await browser.answer()
    assert up.asked == [
        b"POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nauthorization: Bearer sk\r\n"
        b"X-Request-Id: abc\r\nConnection: close\r\n\r\n%b" % (len(body), body)
    ]


async def test_the_control_keeps_chunks_and_bytes() -> None:
    cut_anywhere = [b"data: {", b'"a"', b":1}\n", b"\n" + ROLE + TOKENS[0], b"\x00\xff\r\n"]
    assert await streamed("none", cut_anywhere) == cut_anywhere


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"503 Service Unavailable"])
async def test_the_control_keeps_status_headers_and_body(status: bytes) -> None:
    answer = whole(bytes(range(256)), status).replace(b"\r\n\r\n", b"\r\nX-Two: 2\r\nx-TWO: 3\r\n\r\n", 1)
    head, body = await answered("none", answer)
    assert head + body == answer


async def test_the_control_takes_many_requests_on_one_connection() -> None:
    async with upstream(whole(b"{}")) as up, between(up, "none") as browser:
        for _ in range(3):
            await browser.ask()
            assert (await browser.answer())[1] == b"{}"
    assert len(up.asked) == 3


async def test_the_control_turns_a_chunked_request_into_one_with_a_length() -> None:
    async with upstream(whole(b"{}")) as up, between(up, "none") as browser:
        browser.writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ab", b"c"))
        await browser.answer()
    assert up.asked == [b"POST / HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"]


async def test_the_control_passes_each_piece_on_before_the_next_is_there() -> None:
    seen = Pause()
    async with upstream(STREAM_HEAD, chunk(ROLE), seen, chunked(DONE)) as up, between(up, "none") as browser:
        await browser.ask()
        await browser.until(ROLE)  # the upstream says no more until this has arrived
        seen.set()
        await browser.until(b"0\r\n\r\n")


async def test_a_body_without_a_length_lasts_as_long_as_its_connection() -> None:
    async with upstream(b"HTTP/1.1 200 OK\r\n\r\nabc") as up, between(up, "none") as browser:
        await browser.ask()
        text = await browser.reader.read()
    assert text == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


async def test_an_answer_that_breaks_off_is_not_made_whole() -> None:
    async with upstream(STREAM_HEAD, chunk(ROLE)) as up, between(up, "none") as browser:
        await browser.ask()
        await browser.until(ROLE)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await browser.until(b"0\r\n\r\n")


async def test_without_an_upstream_there_is_a_502_that_says_so() -> None:
    async with upstream() as gone:
        pass
    async with between(gone, "none") as browser:
        await browser.ask()
        head, body = await browser.answer()
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"expected an upstream at 127.0.0.1:%d" % gone.port in body


# --- clients that leave ---


@pytest.mark.parametrize("fault", [one.name for one in (*streams.FAULTS, *metrics.FAULTS) if not one.leaks])
async def test_a_client_that_leaves_is_gone_upstream_too(fault: str) -> None:
    never = Pause()
    async with upstream(STREAM_HEAD, chunk(ROLE), never) as up, between(up, fault, delay_s=600) as browser:
        await browser.ask()
        await browser.until(b"\r\n\r\n")
        browser.writer.close()
        async with asyncio.timeout(BOUND_S):
            await up.left.wait()
    assert not up.finished.is_set()


async def test_slot_leak_reads_on_for_a_client_that_has_left() -> None:
    let_on = Pause()
    async with (
        upstream(STREAM_HEAD, chunk(ROLE), let_on, chunked(*TOKENS)) as up,
        between(up, "slot-leak") as browser,
    ):
        await browser.ask()
        await browser.until(ROLE)
        browser.writer.close()
        await browser.writer.wait_closed()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(up.left.wait(), 0.1)
        let_on.set()
        async with asyncio.timeout(BOUND_S):
            await up.finished.wait()


@pytest.mark.parametrize(("fault", "running"), [("none", 0.0), ("slot-leak", 1.0)])
async def test_the_simulators_slot_is_held_by_slot_leak_alone(
    tmp_path: Path, fault: str, running: float
) -> None:
    body = b'{"prompt":"x","max_tokens":1000,"stream":true}'
    flags = ("--itl-ms", "20", "--tokens-per-chunk", "1000")  # one token, then nothing for 20 s
    with simulator(tmp_path, *flags, key="") as sim:
        saboteur = Saboteur("127.0.0.1", sim.port, fault, 0.0)
        server = await asyncio.start_server(saboteur.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        browser = Browser(reader, writer)
        await browser.ask(b"/v1/completions", body, b"Content-Type: application/json")
        await browser.until(b"data: {")
        writer.close()
        deadline = time.monotonic() + (BOUND_S if fault == "none" else 0.2)
        while (seen := await asyncio.to_thread(sim.metric, "vllm:num_requests_running")) == 1.0:
            if time.monotonic() > deadline:
                break
        server.close()
        assert seen == running
        sim.process.kill()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait({task}, timeout=BOUND_S)


def test_the_program_stands_between_a_client_and_the_simulator(tmp_path: Path) -> None:
    with simulator(tmp_path) as sim:
        command = [sys.executable, "-m", "tests.faults.saboteur", "--upstream", sim.url, "--port", "0"]
        with subprocess.Popen(
            [*command, "--fault", "no-done"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as saboteur:
            assert saboteur.stdout is not None
            url = saboteur.stdout.readline().rpartition(" ")[2].strip()
            body = {"prompt": "x", "max_tokens": 3, "stream": True}
            straight, bent = (
                httpx.post(base + "/v1/completions", json=body, headers=AUTH | {"X-Request-Id": "r"}).text
                for base in (sim.url, url)
            )
            taken = [*command[:-1], url.rpartition(":")[2], "--fault", "none"]
            second = subprocess.run(
                taken, cwd=ROOT, capture_output=True, text=True, timeout=BOUND_S, check=False
            )
            saboteur.terminate()
            assert saboteur.wait(BOUND_S) == 0
    texts = [
        [event["choices"][0]["text"] for event in events(text) if event != "[DONE]"]
        for text in (straight, bent)
    ]
    assert texts[0] == texts[1]
    assert ("[DONE]" in straight, "[DONE]" in bent) == (True, False)
    assert second.returncode == 1
    assert "to be free; seen: Address already in use; try" in second.stderr
