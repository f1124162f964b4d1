"""Limits that gateways keep together, in a real Redis; and what happens when it does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import limits
import pytest
from redis.asyncio import Redis

from deploy.gateway import redis_storage
from deploy.gateway.limiter import StorageFailed
from deploy.gateway.logs import json_logger
from deploy.gateway.redis_storage import SharedStorage
from deploy.gateway.settings import Limits, SettingsError
from deploy.gateway.tokens import Charge, Shortage
from tests.deploy.gateway_process import process
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    ENVIRONMENT,
    Upstream,
    saying,
    settings_of,
    stage,
)
from tests.deploy.redis_server import RedisServer, binary, redis_server

pytestmark = pytest.mark.skipif(binary() is None, reason="no redis-server here: PATH, .cache/redis/root")

LIMITS: dict[str, Any] = {"storage": "redis", "redis_url_env": "LIMITS_REDIS_URL", "storage_timeout_s": 2}
HOUR = limits.parse("10/hour")
TOKENS = limits.parse("1000/hour")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@contextlib.asynccontextmanager
async def storage(url: str, log: io.StringIO | None = None, **rates: Any) -> AsyncIterator[SharedStorage]:
    """One gateway's side of it."""
    asked = Limits(**{**LIMITS, **rates})
    shared = SharedStorage(asked, {"LIMITS_REDIS_URL": url}, json_logger(log or io.StringIO()))
    try:
        yield shared
    finally:
        await shared.aclose()


@pytest.mark.parametrize("window", ["moving", "sliding"])
async def test_two_gateways_admit_together_what_one_may(server: RedisServer, window: str) -> None:
    async with (
        storage(server.url, window=window) as one,
        storage(server.url, window=window) as other,
    ):
        who = f"both-{window}"
        passed = await asyncio.gather(
            *(side.hit(HOUR, "key", who) for _ in range(30) for side in (one, other))
        )
        assert sum(passed) == 10
        wait_s, left = await one.stats(HOUR, "key", who)
        assert left == 0
        assert 0 < wait_s <= 3600
        assert await other.hit(HOUR, "key", f"another-{window}")


async def test_tokens_are_charged_and_settled_by_either_side(server: RedisServer) -> None:
    async with storage(server.url) as one, storage(server.url) as other:

        async def left(side: SharedStorage, asked: int) -> int:
            outcome = await side.reserve("t", TOKENS, asked)
            assert isinstance(outcome, Shortage)
            assert 3590 < outcome.wait_s <= 3600
            return outcome.left

        first = await one.reserve("t", TOKENS, 600)
        assert isinstance(first, Charge)
        assert await left(other, 401) == 400
        await one.settle(first, 100)  # 500 of 600 come back
        second = await other.reserve("t", TOKENS, 800)
        assert isinstance(second, Charge)
        assert await left(one, 101) == 100
        await other.settle(second, 950)  # 150 more than reserved: 100 + 950
        assert await left(one, 1) == 0
        await other.settle(second, 950)  # said twice by mistake, an excess is charged twice, never lost
        assert isinstance(await one.reserve("another", TOKENS, 1000), Charge)


async def test_charges_leave_with_their_period(server: RedisServer) -> None:
    rate = limits.parse("100/second")
    async with storage(server.url) as shared:
        charge = await shared.reserve("p", rate, 60)
        assert isinstance(charge, Charge)
        short = await shared.reserve("p", rate, 60)
        assert isinstance(short, Shortage)
        assert short.left == 40
        await asyncio.sleep(short.wait_s)
        assert isinstance(await shared.reserve("p", rate, 60), Charge)  # it kept its word
        await shared.settle(charge, 10)  # long over: nothing is given back
        again = await shared.reserve("p", rate, 60)
        assert isinstance(again, Shortage)
        assert again.left == 40


@pytest.mark.parametrize("evicted", ["at", "amounts"])
async def test_a_redis_that_forgets_one_of_the_two_places_locks_nobody_out(
    server: RedisServer, evicted: str
) -> None:
    who = f"evicted-{evicted}"
    async with storage(server.url) as shared:
        first = await shared.reserve(who, TOKENS, 1000)
        assert isinstance(first, Charge)
        async with Redis.from_url(server.url) as direct:
            await direct.delete(f"{redis_storage.PREFIX}:{{tokens:{who}}}:{evicted}")
        second = await shared.reserve(who, TOKENS, 900)
        assert isinstance(second, Charge)
        await shared.settle(first, 10)
        await shared.settle(second, 500)
        short = await shared.reserve(who, TOKENS, 1000)
        assert isinstance(short, Shortage)
        assert 0 < short.wait_s <= 3600
        assert short.left == 500


async def test_a_hundred_reservations_at_once_stay_within_the_limit(server: RedisServer) -> None:
    async with storage(server.url) as one, storage(server.url) as other:
        made = await asyncio.gather(
            *(side.reserve("many", TOKENS, 30) for _ in range(50) for side in (one, other))
        )
        assert sum(isinstance(outcome, Charge) for outcome in made) == 33  # 33 × 30 = 990


async def statuses(url: str, count: int) -> list[int]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answers = await asyncio.gather(
            *(client.post(CHAT, headers=AUTHORIZED, json={"max_tokens": 10}) for _ in range(count))
        )
        return [answer.status_code for answer in answers]


@pytest.mark.parametrize(("where", "admitted"), [("redis", 20), ("memory", 40)])
async def test_two_processes_keep_one_limit_in_redis_and_one_each_in_memory(
    tmp_path: Path, server: RedisServer, where: str, admitted: int
) -> None:
    shared = LIMITS if where == "redis" else {}
    keys = [{"name": f"k-{where}", "key_env": "GATEWAY_KEY", "limit": "20/hour"}]
    environment = {**ENVIRONMENT, "LIMITS_REDIS_URL": server.url}
    async with Upstream().running() as upstream, contextlib.AsyncExitStack() as stack:
        document = settings_of(upstream.url, keys=keys, limits={**shared, "storage": where})
        running = []
        for name in ("one", "other"):
            (folder := tmp_path / name).mkdir()
            running.append(await stack.enter_async_context(process(folder, document, environment)))
        urls = [await started.listening() for started in running]
        answered = [
            status for each in await asyncio.gather(*(statuses(u, 30) for u in urls)) for status in each
        ]
        assert sorted(answered) == [200] * admitted + [429] * (60 - admitted)
        for started in running:
            started.signal(signal.SIGTERM)
            assert await started.exit_code() == 0
        assert not any(server.password in line for started in running for line in started.stderr)


async def test_tokens_limits_are_kept_together_end_to_end(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "LIMITS_REDIS_URL", server.url)
    keys = [{"name": "tokens", "key_env": "GATEWAY_KEY", "tokens_limit": "100/hour"}]
    used = b'{"usage":{"prompt_tokens":10,"completion_tokens":10}}'
    async with (
        stage(keys=keys, limits=LIMITS) as (upstream, one),
        stage(keys=keys, limits=LIMITS) as (second_upstream, other),
    ):
        upstream.script = second_upstream.script = saying(200, used)

        async def ask(side: Any, tokens: int) -> int:
            body = {"max_tokens": tokens}
            return int((await side.client.post(CHAT, headers=AUTHORIZED, json=body)).status_code)

        assert [await ask(one, 100), await ask(other, 80), await ask(one, 61), await ask(other, 60)] == [
            200,  # settled: 20
            200,  # 20 + 80 fits; settled: 40
            429,  # 40 + 61
            200,
        ]


@pytest.mark.parametrize(("policy", "status"), [("refuse", 503), ("allow", 200)])
async def test_a_redis_that_dies_refuses_or_allows_is_counted_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, status: int
) -> None:
    monkeypatch.setattr(redis_storage, "RETRY_S", 0.4)
    with redis_server(tmp_path) as mine:
        monkeypatch.setitem(ENVIRONMENT, "LIMITS_REDIS_URL", mine.url)
        shared = {**LIMITS, "storage_timeout_s": 1, "client": "1000/hour", "on_storage_failure": policy}
        async with stage(limits=shared) as (upstream, running):

            async def ask() -> httpx.Response:
                response: httpx.Response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
                return response

            assert (await ask()).status_code == 200
            mine.process.send_signal(signal.SIGSTOP)  # it takes connections and does not answer
            began = asyncio.get_running_loop().time()
            stopped = await ask()
            assert asyncio.get_running_loop().time() - began < 3  # its bound is 1 s
            assert stopped.status_code == status
            began = asyncio.get_running_loop().time()
            for _ in range(5):
                stopped = await ask()
                assert stopped.status_code == status
            # it is not asked again at once: five questions would have taken five times its bound
            assert asyncio.get_running_loop().time() - began < 4
            if status == 503:
                assert stopped.headers["retry-after"] == "1"
                assert stopped.json()["error"]["type"] == "service_unavailable"
            assert await running.metric("gateway_limit_storage_errors_total") == 6
            assert len(running.lines("limits_storage_failed")) == 1
            mine.process.send_signal(signal.SIGCONT)

            back = asyncio.create_task(_asked_until_back(ask, running))
            await asyncio.wait_for(back, 10)
            assert (await ask()).status_code == 200
            assert mine.password not in running.log_text
            assert len(upstream.requests) >= 2


async def _asked_until_back(ask: Any, running: Any) -> None:
    while not running.lines("limits_storage_back"):
        await ask()
        await asyncio.sleep(0.05)


async def test_nobody_there_is_a_failure_within_the_bound() -> None:
    log = io.StringIO()
    async with storage("redis://:sk-very-secret@127.0.0.1:9/0", log) as shared:
        for _ in range(3):
            with pytest.raises(StorageFailed):
                await shared.hit(HOUR, "key", "a")
    assert log.getvalue().count("limits_storage_failed") == 1
    assert "sk-very-secret" not in log.getvalue()


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "LIMITS_REDIS_URL is not set"),
        ({"LIMITS_REDIS_URL": "http://:sk-secret@h:1"}, "holds no URL of a Redis"),
        ({"LIMITS_REDIS_URL": "redis://:sk-secret@h:port"}, "holds no URL of a Redis"),
    ],
)
def test_a_url_that_is_none_is_refused_and_not_shown(environment: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=r"limits\.redis_url_env") as caught:
        SharedStorage(Limits(**LIMITS), environment, json_logger(io.StringIO()))
    assert complaint in str(caught.value)
    assert "sk-secret" not in str(caught.value)
