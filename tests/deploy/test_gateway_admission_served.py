"""The queue before the engine as its clients meet it, on real sockets."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx

from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    Reply,
    Request,
    Running,
    Upstream,
    settings_of,
    stage,
    until,
)

KEYS = [{"name": "suite", "key_env": "GATEWAY_KEY"}, {"name": "second", "key_env": "SECOND_KEY"}]
SECOND = {"X-API-Key": "sk-second-08d1"}


class Held:
    """An engine that answers when it is told to, and knows how many it had at one time."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.now = self.most = 0

    async def __call__(self, request: Request, reply: Reply) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            await reply.whole(200, b"{}")
        finally:
            self.now -= 1


def ask(running: Running, headers: dict[str, str] = AUTHORIZED) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(running.client.post(CHAT, headers=headers, json={}))


def queue(in_flight: int, queued: int, queue_timeout_s: float = 30.0) -> dict[str, float]:
    return {"in_flight": in_flight, "queued": queued, "queue_timeout_s": queue_timeout_s}


async def test_at_most_n_are_at_the_engine_m_wait_and_the_rest_is_503_at_once() -> None:
    async with stage(admission=queue(2, 3)) as (upstream, running):
        upstream.script = held = Held()
        asked = [ask(running) for _ in range(12)]
        await until(lambda: sum(one.done() for one in asked) == 7, "seven to be turned away")
        assert await running.metric("gateway_queued_requests") == 3
        assert await running.metric("gateway_active_requests") == 5
        # what is no POST is neither held up nor counted
        upstream.script = lambda request, reply: reply.whole(200, b"{}")
        assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200
        upstream.script = held
        held.go.set()
        answers = await asyncio.gather(*asked)
        shed = [answer for answer in answers if answer.status_code == 503]
        assert (len(shed), held.most) == (7, 2)
        assert {answer.headers["retry-after"] for answer in shed} == {"1"}
        assert {answer.json()["error"]["type"] for answer in shed} == {"service_unavailable"}
        assert await running.metric("gateway_shed_requests_total", reason="queue_full") == 7
        assert await running.metric("gateway_queued_requests") == 0
        assert await running.metric("gateway_active_requests") == 0


async def test_a_stream_holds_its_slot_to_its_last_byte() -> None:
    go = asyncio.Event()

    async def streams(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(b"data: 1\n\n")
        await go.wait()
        await reply.chunk(b"data: [DONE]\n\n")
        await reply.end()

    async with stage(admission=queue(1, 0)) as (upstream, running):
        upstream.script = streams
        async with running.chat() as response:
            parts = response.aiter_raw()
            await anext(parts)
            assert (await ask(running)).status_code == 503
            go.set()
            assert b"".join([part async for part in parts]) == b"data: [DONE]\n\n"
        assert (await ask(running)).status_code == 200


async def test_keys_take_turns_end_to_end() -> None:
    order: list[str] = []

    async with stage(admission=queue(1, 9), keys=KEYS) as (upstream, running):
        go = asyncio.Event()

        async def notes(request: Request, reply: Reply) -> None:
            order.append(request.header("x-request-id") or "")
            if len(order) == 1:
                await go.wait()
            await reply.whole(200, b"{}")

        upstream.script = notes
        asked = []
        for number, (name, headers) in enumerate([("a", AUTHORIZED)] * 4 + [("b", SECOND)] * 2):
            asked.append(ask(running, {**headers, "X-Request-ID": f"{name}{number}"}))
            await until(lambda n=number: running.gateway.waiting + len(order) == n + 1, "it to wait")  # type: ignore[misc]
        go.set()
        await asyncio.gather(*asked)
        assert order == ["a0", "a1", "b4", "a2", "b5", "a3"]


async def test_who_waits_too_long_is_503_with_when_to_come_back() -> None:
    async with stage(admission=queue(1, 5, 0.05)) as (upstream, running):
        upstream.script = held = Held()
        first = ask(running)
        await until(lambda: held.now == 1, "the engine to be busy")
        late = await ask(running)
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        assert await running.metric("gateway_shed_requests_total", reason="queue_timeout") == 1
        assert [line["outcome"] for line in running.lines()] == ["shed"]
        held.go.set()
        assert (await first).status_code == 200


async def test_a_client_that_leaves_the_queue_frees_its_place_and_never_reaches_the_engine() -> None:
    async with stage(admission=queue(1, 1)) as (upstream, running):
        upstream.script = held = Held()
        first = ask(running)
        await until(lambda: held.now == 1, "the engine to be busy")
        leaving = ask(running)
        await until(lambda: running.gateway.waiting == 1, "it to wait")
        leaving.cancel()
        await until(lambda: running.gateway.waiting == 0, "its place to be free")
        stays_on = ask(running)
        await until(lambda: running.gateway.waiting == 1, "the next to wait")
        held.go.set()
        assert [(await first).status_code, (await stays_on).status_code] == [200, 200]
        assert len(upstream.requests) == 2
        assert await running.metric("gateway_client_disconnects_total") == 1
        assert await running.metric("gateway_requests_total", status_code="499") == 1


async def test_a_drain_sends_away_who_waits_and_serves_who_is_at_the_engine(tmp_path: Path) -> None:
    async with (
        Upstream().running() as upstream,
        process(tmp_path, settings_of(upstream.url, admission=queue(1, 5))) as started,
        httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
    ):
        upstream.script = held = Held()

        def post() -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.post(CHAT, headers=AUTHORIZED, json={}))

        first = post()
        await until(lambda: held.now == 1, "the engine to be busy")
        waiting = [post() for _ in range(3)]
        await asyncio.sleep(0.1)  # sent; whether one of them waits or comes too late, it is told the same
        started.signal(signal.SIGTERM)
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert [(a.status_code, a.headers["retry-after"]) for a in answers] == [(503, "1")] * 3
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        held.go.set()
        assert (await first).status_code == 200
        assert await started.exit_code() == 0
