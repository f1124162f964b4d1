"""Fuzzes the gateway on raw sockets: `python -m tests.fuzz.gateway --requests 100000 [--seed S]`.

The gateway is a process of its own; behind it stands an engine that notes every path that it is asked for.
What counts as a finding: a 5xx (the engine never says one), an answer that is owed and does not come, a path
at the engine that is not on the list, a body there that is no JSON object, a client's address that was made
up, a mistake in the log, a request that stays active, and a gateway that no longer serves at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import httpx

from tests.deploy.gateway_stage import Upstream
from tests.fuzz.gateway_shapes import KEY, Shape, make_shape
from tests.fuzz.gateway_target import Engine, Findings, Target, target

AT_ONCE = 48
OWED_S = 10.0  # an answer that is owed; generous, as the machine may be busy
BEATS = 4  # answers to other clients since, after which one that has not come is not coming
STEP_S = 0.002  # between the pieces of a slow request
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)")
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Pulse:
    """Asks for /health without end: a gateway that has answered it a few times has read what came before.

    So how long to wait for an answer that may never come does not depend on how busy the machine is.
    """

    def __init__(self, url: httpx.URL, findings: Findings) -> None:
        self._url = url
        self._findings = findings
        self._beat = asyncio.Condition()

    async def beats(self) -> None:
        """Returns after BEATS more answers."""
        for _ in range(BEATS):
            async with self._beat:
                await self._beat.wait()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(OWED_S):
                    answer = await self._asked()
            except (TimeoutError, OSError) as error:
                self._findings.add(f"/health did not answer within {OWED_S:g} s", repr(error))
                answer = b""
            if not answer.startswith(b"HTTP/1.1 200 "):
                self._findings.add("/health is not well", answer)
            async with self._beat:
                self._beat.notify_all()

    async def _asked(self) -> bytes:
        # A connection of its own for each: it stands behind all that were opened before.
        reader, writer = await asyncio.open_connection(self._url.host, self._url.port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
            return await reader.read()
        finally:
            writer.transport.abort()


async def send(shape: Shape, url: httpx.URL, pulse: Pulse, findings: Findings) -> None:
    """Play one shape and judge what comes back."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    answer = b""
    try:
        for piece in shape.pieces:
            if writer.transport.is_closing():  # refused before all was said
                break
            writer.write(piece)
            if len(shape.pieces) > 1:
                await asyncio.sleep(STEP_S)
        if shape.leaves:
            writer.transport.abort()
            return
        async with asyncio.timeout(OWED_S):
            await writer.drain()
            answer = await _answer(reader, shape.owed, pulse)
    except ConnectionError as error:  # refused in the middle of a flood
        findings.kinds[f"({type(error).__name__})"] += 1
    except TimeoutError:
        findings.add(f"no answer within {OWED_S:g} s", (shape.kind, shape.pieces))
    finally:
        writer.transport.abort()
    for found in STATUS.findall(answer):
        findings.statuses[int(found)] += 1
        if int(found) >= 500:
            findings.add(f"status {int(found)}", (shape.kind, shape.pieces, answer[-800:]))
    if not answer:
        findings.kinds["(no answer)"] += 1
    if shape.owed and not _is_whole(answer):
        findings.add("an answer that is owed is not whole", (shape.kind, shape.pieces, answer[-800:]))


async def _answer(reader: asyncio.StreamReader, owed: bool, pulse: Pulse) -> bytes:
    """All that comes until the other side closes or is quiet for some beats; what is owed is waited for."""
    answer = b""
    while True:
        if owed and not _is_whole(answer):
            chunk = await reader.read(65536)
        else:
            chunk = await _within_beats(reader, pulse)
        if not chunk:
            return answer
        answer += chunk


async def _within_beats(reader: asyncio.StreamReader, pulse: Pulse) -> bytes:
    reading, beating = asyncio.create_task(reader.read(65536)), asyncio.create_task(pulse.beats())
    try:
        await asyncio.wait({reading, beating}, return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else b""
    finally:
        for task in (reading, beating):
            task.cancel()
        await asyncio.gather(reading, beating, return_exceptions=True)


def _is_whole(answer: bytes) -> bool:
    """Whether the first answer is there to its last byte."""
    lines, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = LENGTH.search(lines)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


async def run(requests: int, seed: int, seconds: float, folder: Path) -> tuple[int, Findings]:
    """Send so many requests, or as many as fit; how many were sent, and what was found."""
    findings, done = Findings(), 0
    numbers = iter(range(requests))
    ends_s = time.monotonic() + seconds

    async def worker(url: httpx.URL, pulse: Pulse) -> None:
        nonlocal done
        for number in numbers:
            if time.monotonic() > ends_s:
                return
            shape = make_shape(Random(seed * 1_000_003 + number))
            findings.kinds[shape.kind.removeprefix("spoiled ").removeprefix("left ")] += 1
            await send(shape, url, pulse, findings)
            done += 1

    async with Upstream().running() as upstream:
        engine = Engine(upstream, findings)
        async with target(upstream.url, folder) as gateway:
            pulse = Pulse(gateway.url, findings)
            beating = asyncio.create_task(pulse.run())
            await asyncio.gather(*(worker(gateway.url, pulse) for _ in range(AT_ONCE)))
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await _judge_after(gateway, engine, findings)
    return done, findings


async def _judge_after(gateway: Target, engine: Engine, findings: Findings) -> None:
    """Whether it still serves, holds nothing, has a clean log, and ends in good order."""
    async with httpx.AsyncClient(trust_env=False, timeout=OWED_S) as client:
        answer = await client.get(f"{gateway.url}/v1/models", headers={"X-API-Key": KEY})
        if answer.status_code != 200:
            findings.add("it no longer serves", answer.text)
        await _settled(client, gateway, findings)
    if not engine.asked:
        findings.add("nothing ever reached the engine, so nothing was tested", "")
    gateway.process.send_signal(signal.SIGTERM)
    if await asyncio.wait_for(gateway.process.wait(), 30) != 0:
        findings.add("it did not end in good order", gateway.process.returncode)
    for raw in gateway.log.read_bytes().splitlines():
        _judge_line(raw, findings)


async def _settled(client: httpx.AsyncClient, gateway: Target, findings: Findings) -> None:
    until_s = time.monotonic() + OWED_S
    page = ""
    while time.monotonic() < until_s:
        page = (await client.get(gateway.metrics_url)).text
        if "\ngateway_active_requests 0.0" in page and "\ngateway_queued_requests 0.0" in page:
            break
        await asyncio.sleep(0.05)
    else:
        findings.add("requests stay active", [line for line in page.splitlines() if "_requests " in line])
    for line in page.splitlines():
        if line.startswith("gateway_requests_total") and 'status_code="5' in line:
            findings.add("a 5xx was counted", line)


def _judge_line(raw: bytes, findings: Findings) -> None:
    try:
        line = json.loads(raw)
    except ValueError:
        findings.add("a line of the log is no JSON", raw[:500])
        return
    if line["event"] == "request" and line["client"] != "127.0.0.1":
        findings.add("a client chose its address", line["client"])
    invalid = line.get("message") == "Invalid HTTP request received."
    if line["level"] in ("error", "critical") or (line["event"] == "library" and not invalid):
        findings.add(f"the log says {line['event']}", line.get("exception", line))
    if KEY in raw.decode("utf-8", "replace"):
        findings.add("the key is in the log", raw[:500])


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(line + "\n")


def main() -> int:
    """Exit code 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.gateway", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=530.0, help="stop after so long")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done, findings = asyncio.run(run(asked.requests, asked.seed, asked.seconds, Path(folder)))
    say(f"{done} requests in {time.monotonic() - began:.1f} s, {sum(findings.counts.values())} findings")
    say(f"answers: {dict(sorted(findings.statuses.items()))}")
    say(f"kinds: {dict(sorted(findings.kinds.items()))}")
    for what, count in findings.counts.most_common():
        say(f"{count:8d} {what}")
    return 1 if findings.counts else 0


if __name__ == "__main__":
    sys.exit(main())
