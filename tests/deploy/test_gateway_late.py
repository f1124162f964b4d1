"""A replica that is late with its /health is the last to be asked, and never a reason to refuse."""

from __future__ import annotations

import asyncio
import ssl

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
    Running,
    Upstream,
    fleet,
    gateway,
    saying,
    streaming,
    until,
    upstream_of,
)

# A check that is not answered is over soon, so that no test has to wait for it.
QUICK = {"every_s": 0.05, "timeout_s": 0.1}
BUSY = b'{"error":{"message":"busy","type":"Service Unavailable","param":null,"code":503}}'


async def post(running: Running) -> httpx.Response:
    return await running.client.post(CHAT, headers=AUTHORIZED, json={})


async def late(running: Running, upstream: Upstream) -> None:
    """Returns once two checks of this replica in a row were not answered."""
    upstream.health_answers.clear()
    await running.reading("gateway_upstream_healthy", 0, replica=upstream.url)


async def test_a_check_that_was_told_no_is_asked_again_over_another_connection() -> None:
    """Behind a name a connection can lead to who is not the engine: kept, it would say no for ever."""
    async with fleet(1, {"health": QUICK}) as ((upstream,), running):
        upstream.health_status = 404
        await running.reading("gateway_upstream_healthy", 0, replica=upstream.url)
        told, made = upstream.health_asked, upstream.connections
        await until(lambda: upstream.health_asked >= told + 3, "three further checks")
        assert upstream.connections >= made + 3 - 1, "the last one may not have been counted yet"


async def test_the_only_replica_is_asked_however_late_its_health_is() -> None:
    async with fleet(1, {"health": QUICK}) as ((upstream,), running):
        upstream.script = streaming(DONE)
        await late(running, upstream)
        ready = await running.client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["reason"] == "the engine did not answer its /health within 0.1 s"
        answers = [await post(running) for _ in range(3)]
        assert [(answer.status_code, answer.content) for answer in answers] == [(200, DONE)] * 3
        assert await running.metric("gateway_shed_requests_total") == 0


async def test_a_replica_that_was_late_from_the_first_check_is_asked_too() -> None:
    async with Upstream().running() as upstream:
        upstream.health_answers.clear()
        upstream.script = streaming(DONE)
        async with gateway("", upstream=upstream_of(url=upstream.url, health=QUICK)) as running:
            assert (await running.client.get("/ready")).status_code == 503
            assert (await post(running)).status_code == 200


async def test_a_late_one_gets_nothing_while_another_is_well_and_all_when_that_is_gone() -> None:
    async with fleet(2, {"health": QUICK}) as (upstreams, running):
        for upstream in upstreams:
            upstream.script = streaming(DONE)
        await late(running, upstreams[0])
        before = len(upstreams[0].requests)
        assert {(await post(running)).status_code for _ in range(6)} == {200}
        assert len(upstreams[0].requests) == before
        assert (await running.client.get("/ready")).status_code == 200
        await upstreams[1].die()
        assert {(await post(running)).status_code for _ in range(4)} == {200}
        assert len(upstreams[0].requests) == before + 4


async def test_a_late_one_that_then_refuses_connections_is_not_asked() -> None:
    async with fleet(1, {"health": QUICK}) as ((upstream,), running):
        await late(running, upstream)
        await upstream.die()

        async def shed() -> httpx.Response:
            while True:
                response = await post(running)
                if await running.metric("gateway_shed_requests_total", reason="no_replica"):
                    return response

        response = await asyncio.wait_for(shed(), 5)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_a_refusal_under_load_is_not_traded_for_a_wait_at_a_late_one() -> None:
    async with fleet(2, {"health": QUICK, "retries": 3}) as (upstreams, running):
        upstreams[0].script = saying(503, BUSY)
        upstreams[1].script = Hold()
        await late(running, upstreams[1])
        response = await asyncio.wait_for(post(running), 5)
        assert (response.status_code, response.content) == (503, BUSY)
        assert upstreams[1].requests == []


async def test_the_queue_is_open_while_the_engine_is_late() -> None:
    admission = {"in_flight": 1, "queued": 5, "queue_timeout_s": 60}
    async with fleet(1, {"health": QUICK}, admission=admission) as ((upstream,), running):
        upstream.script = hold = Hold()
        first = asyncio.create_task(post(running))
        await until(lambda: upstream.serving == 1, "the first at the engine")
        await late(running, upstream)
        second = asyncio.create_task(post(running))
        await running.reading("gateway_queued_requests", 1)
        hold.go.set()
        assert {(await first).status_code, (await second).status_code} == {200}


def made(port: int) -> Replica:
    pool = Pool(f"http://127.0.0.1:{port}", ssl.create_default_context(), 1, 1)
    return Replica(f"http://127.0.0.1:{port}", b"127.0.0.1", b"", pool, pool)


# w: well, l: late, x: refused or ill
@pytest.mark.parametrize(
    ("checks", "healthy", "shut"),
    [
        ("", "", ""),
        ("x", "-", "s"),  # nobody is sent where nobody ever answered
        ("l", "-", "-"),
        ("w", "h", "-"),
        ("wxx", "hh-", "--s"),
        ("wll", "hh-", "---"),
        ("wllxx", "hh---", "----s"),  # one refusal among time-outs is not yet an end
        ("wxlx", "hh--", "----"),
        ("wxxl", "hh--", "--s-"),
        ("wxxw", "hh-h", "--s-"),
    ],
)
async def test_so_many_of_a_kind_in_a_row_decide(checks: str, healthy: str, shut: str) -> None:
    replica, health = made(1), Health(unhealthy_after=2, healthy_after=1)
    seen = []
    for check in checks:
        replica.checked(None if check == "w" else "why", health, late=check == "l")
        seen.append(("h" if replica.healthy else "-", "s" if replica.shut else "-"))
    assert "".join(one for one, _ in seen) == healthy
    assert "".join(other for _, other in seen) == shut


async def test_the_well_come_first_then_the_ejected_then_the_late_and_the_shut_never() -> None:
    health = Health()
    well, ejected, slow, shut = replicas = [made(port) for port in (1, 2, 3, 4)]
    for replica in (well, ejected):
        replica.checked(None, health)
    slow.checked("late", health, late=True)
    shut.checked("refused", health)
    group = Replicas(replicas, health, Outlier(failures=1), lambda: 0.0)
    group.failed(ejected)
    well.in_flight = 100
    tried: list[Replica] = []
    while (chosen := group.choose(tried)) is not None:
        assert group.has_other(tried)
        assert group.has_other(tried, healthy=True) is (chosen is not slow)
        tried.append(chosen)
    assert tried == [well, ejected, slow]
    assert not group.has_other(tried)


async def test_what_fails_while_it_is_left_out_is_no_record_for_afterwards() -> None:
    now_s = 0.0
    replicas = [made(1), made(2)]
    group = Replicas(replicas, Health(), Outlier(failures=2, window_s=10, ejected_s=5), lambda: now_s)
    for _ in range(2):
        group.failed(replicas[0])
    assert replicas[0].ejected_until_s == 5.0
    now_s = 4.0
    for _ in range(3):  # streams that were open there
        group.failed(replicas[0])
    now_s = 5.5
    group.failed(replicas[0])  # the first since it is back
    assert replicas[0].ejections == 1
    group.failed(replicas[0])
    assert replicas[0].ejections == 2
