"""Several replicas behind one gateway: who gets a request, who is left out, who comes back."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter

import httpx
import pytest

from deploy.gateway.pool import Pool
from deploy.gateway.replicas import Replica, Replicas
from deploy.gateway.upstream_settings import Health, Outlier
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Hold,
    Reply,
    Request,
    Running,
    Upstream,
    fleet,
    saying,
    streaming,
    until,
)

SELDOM = {"every_s": 60}  # checks that cannot be what a test saw
NEVER_EJECTED = {"most_ejected_share": 0}


def ask(running: Running) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={}))


async def statuses(running: Running, count: int) -> Counter[int]:
    """The statuses of so many requests, one after the other."""
    return Counter([(await ask(running)).status_code for _ in range(count)])


def shares(upstreams: list[Upstream]) -> list[int]:
    return [len(one.requests) for one in upstreams]


async def test_requests_go_where_fewest_are_in_flight() -> None:
    async with fleet(3, {"health": SELDOM}) as (upstreams, running):
        holds = [Hold() for _ in upstreams]
        for upstream, hold in zip(upstreams, holds, strict=True):
            upstream.script = hold
        asking = [ask(running) for _ in range(9)]
        await until(lambda: sum(one.serving for one in upstreams) == 9, "nine streams")
        assert [one.serving for one in upstreams] == [3, 3, 3]
        for index, upstream in enumerate(upstreams):
            assert await running.metric("gateway_upstream_in_flight", replica=upstream.url) == 3, index

        holds[1].go.set()  # the second is free again, and gets all that comes until it has as many
        await until(lambda: upstreams[1].serving == 0, "the second's streams to end")
        upstreams[1].script = later = Hold()
        asking += [ask(running) for _ in range(3)]
        await until(lambda: sum(one.serving for one in upstreams) == 9, "three more streams")
        assert shares(upstreams) == [3, 6, 3]

        for hold in (*holds, later):
            hold.go.set()
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
        assert await running.metric("gateway_upstream_in_flight") == 0


async def test_ties_go_in_turn() -> None:
    async with fleet(3) as (upstreams, running):
        await statuses(running, 6)
        assert shares(upstreams) == [2, 2, 2]


async def test_a_replica_that_dies_fails_what_it_had_and_nothing_after() -> None:
    async with fleet(2, {"health": {"every_s": 0.1, "unhealthy_after": 2}}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = Hold()
        asking = [ask(running) for _ in range(6)]
        await until(lambda: sum(one.serving for one in upstreams) == 6, "six streams")
        await upstreams[0].die()
        upstreams[1].script = streaming(DONE)
        assert await statuses(running, 20) == {200: 20}  # no pause, before any check could have run
        await until_healthy(running, upstreams[0], 0)
        assert await statuses(running, 5) == {200: 5}
        lost = [task for task in asking if task.done()]
        assert len(lost) == 3
        texts = [task.result().text for task in lost]
        assert all('"error"' in text and "[DONE]" not in text for text in texts)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        assert await running.metric("gateway_upstream_errors_total", kind="cut_short") == 3


async def until_healthy(running: Running, upstream: Upstream, value: float) -> None:
    await running.reading("gateway_upstream_healthy", value, replica=upstream.url)


async def test_a_replica_that_comes_back_gets_requests_again() -> None:
    async with fleet(2) as (upstreams, running):
        await upstreams[0].die()
        await until_healthy(running, upstreams[0], 0)
        await upstreams[0].live()
        await until_healthy(running, upstreams[0], 1)
        before = len(upstreams[0].requests)
        assert await statuses(running, 4) == {200: 4}
        assert len(upstreams[0].requests) - before == 2


async def test_a_replica_that_answers_5xx_is_ejected_and_comes_back_on_time() -> None:
    outlier = {"failures": 3, "window_s": 5, "ejected_s": 2}
    async with fleet(2, {"outlier": outlier, "health": SELDOM}) as (upstreams, running):
        upstreams[0].script = saying(500, b"{}")
        seen = await statuses(running, 12)
        assert seen == {500: 3, 200: 9}  # every second one until the third failure, then none
        assert await running.metric("gateway_upstream_ejections_total", replica=upstreams[0].url) == 1
        assert await running.metric("gateway_upstream_healthy", replica=upstreams[0].url) == 0
        upstreams[0].script = saying(200, b"{}")
        await until_healthy(running, upstreams[0], 1)
        before = len(upstreams[0].requests)
        await statuses(running, 4)
        assert len(upstreams[0].requests) - before == 2


async def test_no_more_than_the_share_is_ejected() -> None:
    outlier = {"failures": 1, "ejected_s": 60, "most_ejected_share": 0.5}
    async with fleet(4, {"outlier": outlier, "health": SELDOM}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = saying(500, b"{}")
        await statuses(running, 20)
        assert await running.metric("gateway_upstream_healthy") == 2
        assert await running.metric("gateway_upstream_ejections_total") == 2


async def test_a_single_replica_is_never_ejected() -> None:
    async with fleet(1, {"outlier": {"failures": 1, "ejected_s": 60}}) as (upstreams, running):
        upstreams[0].script = saying(500, b"{}")
        assert await statuses(running, 10) == {500: 10}


async def test_refusals_under_load_eject_nobody() -> None:
    outlier = {"failures": 1, "ejected_s": 60, "most_ejected_share": 1.0}
    async with fleet(2, {"outlier": outlier}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = saying(503, b'{"error":{"type":"Service Unavailable","code":503}}')
        assert await statuses(running, 6) == {503: 6}
        assert await running.metric("gateway_upstream_ejections_total") == 0


async def test_without_a_healthy_replica_the_answer_comes_at_once_and_is_counted_as_shed() -> None:
    async with fleet(2) as (upstreams, running):
        for upstream in upstreams:
            upstream.health_status = 503
        for upstream in upstreams:
            await until_healthy(running, upstream, 0)
        response = await ask(running)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert await running.metric("gateway_shed_requests_total", reason="no_replica") == 1
        assert shares(upstreams) == [0, 0]
        ready = await running.client.get("/ready")
        assert ready.status_code == 503
        assert "none of 2 engines is healthy: the engine answered 503 to /health" in ready.json()["reason"]
        upstreams[1].health_status = 200
        await until_healthy(running, upstreams[1], 1)
        assert (await running.client.get("/ready")).status_code == 200
        assert await statuses(running, 3) == {200: 3}
        assert shares(upstreams) == [0, 3]


async def test_a_late_health_answer_is_no_evidence_while_answers_flow() -> None:
    async def flows(request: Request, reply: Reply) -> None:
        await reply.stream()
        while True:
            await reply.chunk(b"data: 1\n\n")
            await asyncio.sleep(0.01)

    health = {"every_s": 0.05, "timeout_s": 0.05, "unhealthy_after": 1}
    async with fleet(1, {"health": health}) as ((upstream,), running):
        upstream.script = flows
        async with running.chat() as response:
            parts = response.aiter_raw()
            await anext(parts)
            upstream.health_answers.clear()
            checks = upstream.connections
            while upstream.connections < checks + 4:  # a check that ran out of time takes a new connection
                await anext(parts)
            assert (await running.client.get("/ready")).status_code == 200
        await until_healthy(running, upstream, 0)  # nothing flows now, and it counts
        upstream.health_answers.set()


async def test_a_check_that_is_late_because_we_are_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []
    health = {"every_s": 0.05, "timeout_s": 0.1, "unhealthy_after": 1}
    async with fleet(1, {"health": health}) as ((upstream,), running):
        assert (await running.client.get("/ready")).status_code == 200
        monkeypatch.setattr(Replica, "checked", lambda self, reason, *rest: found.append(reason))
        upstream.health_answers.clear()
        asked, connections = upstream.health_asked, upstream.connections
        await until(lambda: upstream.health_asked > asked, "a check to be under way")
        time.sleep(0.4)  # noqa: ASYNC251  nobody runs while its time is over
        upstream.health_answers.set()
        await until(lambda: upstream.connections > connections, "the check to be given up, and the next")
        assert set(found) <= {None}


@pytest.fixture
def replicas() -> list[Replica]:
    def one(port: int) -> Replica:
        pool = Pool(f"http://127.0.0.1:{port}", ssl.create_default_context(), 1, 1)
        return Replica(f"http://127.0.0.1:{port}", b"127.0.0.1", b"", pool, pool)

    made = [one(port) for port in (1, 2, 3, 4)]
    for replica in made:
        replica.checked(None, Health())
    return made


def test_failures_count_within_their_window_and_against_successes(replicas: list[Replica]) -> None:
    now_s = 0.0
    outlier = Outlier(failures=3, window_s=10, ejected_s=5)
    group = Replicas(replicas, Health(), outlier, lambda: now_s)
    replica = replicas[0]
    group.failed(replica)
    now_s = 6.0
    group.failed(replica)
    now_s = 11.0  # the first is 11 s old when the third comes
    group.failed(replica)
    assert group.is_serving(replica)
    now_s = 15.0  # 6, 11, 15: within 10 s
    for _ in range(4):  # but more went well than failed
        replica.succeeded()
    group.failed(replica)
    assert group.is_serving(replica)
    now_s = 16.0
    group.failed(replica)  # 11, 15, 16, still with four successes among them
    assert group.is_serving(replica)
    now_s = 17.0
    group.failed(replica)  # 15, 16, 17: none among them
    assert not group.is_serving(replica)
    now_s = 21.9
    assert not group.is_serving(replica)
    now_s = 22.0
    assert group.is_serving(replica)


def test_ejected_ones_are_asked_when_nobody_else_is_left(replicas: list[Replica]) -> None:
    group = Replicas(replicas[:2], Health(), Outlier(failures=1), lambda: 0.0)
    group.failed(replicas[0])
    assert [group.choose(), group.choose(), group.choose()] == [replicas[1]] * 3
    for _ in range(2):
        replicas[1].checked("the engine cannot be reached", Health())
    assert group.choose() is replicas[0]
    assert group.any_healthy()


def test_health_turns_only_after_so_many_checks_in_a_row(replicas: list[Replica]) -> None:
    health = Health(unhealthy_after=3, healthy_after=2)
    replica = replicas[0]
    turns = []
    for reason in ("x", "x", None, "x", "x", "x", None, "x", None, None):
        replica.checked(reason, health)
        turns.append(replica.healthy)
    assert turns == [True, True, True, True, True, False, False, False, False, True]
