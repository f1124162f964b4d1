"""The drain, with several replicas and a queue: who runs ends well, who waits is told at once."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx

from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Hold,
    Upstream,
    fleet,
    settings_of,
    until,
    upstream_of,
)


async def test_streams_at_several_replicas_run_to_their_end_and_the_queue_is_told_at_once() -> None:
    admission = {"in_flight": 4, "queued": 10, "queue_timeout_s": 60}
    async with fleet(2, admission=admission, drain_timeout_s=10) as (upstreams, running):
        hold = Hold()
        for upstream in upstreams:
            upstream.script = hold

        def asking(count: int) -> list[asyncio.Task[httpx.Response]]:
            return [
                asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))
                for _ in range(count)
            ]

        streams = asking(4)
        await until(lambda: sum(one.serving for one in upstreams) == 4, "four streams")
        queued = asking(3)
        await running.reading("gateway_queued_requests", 3)
        running.gateway.stop()
        answers = await asyncio.wait_for(asyncio.gather(*queued), 2)
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert not any(task.done() for task in streams)
        assert await running.metric("gateway_shed_requests_total", reason="draining") == 3
        assert await running.metric("gateway_active_requests") == 4
        hold.go.set()
        ended = await asyncio.wait_for(asyncio.gather(*streams), 5)
        assert all(answer.content.endswith(DONE) for answer in ended)
        await until(lambda: bool(running.lines("drained")), "the drain")
        assert running.lines("drained")[0]["cut"] == 0
        assert sum(len(one.requests) for one in upstreams) == 4


async def test_what_outlives_the_drain_is_cut_at_every_replica(tmp_path: Path) -> None:
    async with Upstream().running() as first, Upstream().running() as second:
        first.script = second.script = Hold()
        block = upstream_of(replicas=[first.url, second.url])
        document = settings_of("", upstream=block, drain_timeout_s=0.3)
        async with (
            process(tmp_path, document) as started,
            httpx.AsyncClient(base_url=await started.listening(), trust_env=False) as client,
        ):
            asking = [asyncio.create_task(client.post(CHAT, headers=AUTHORIZED, json={})) for _ in range(4)]
            await until(lambda: first.serving + second.serving == 4, "four streams", 15)
            assert (first.serving, second.serving) == (2, 2)
            started.signal(signal.SIGTERM)
            answers = await asyncio.wait_for(asyncio.gather(*asking), 5)
            assert all('"code": 503' in answer.text and "[DONE]" not in answer.text for answer in answers)
            assert await started.exit_code() == 0
        await until(lambda: first.serving + second.serving == 0, "both engines to be freed")
