"""Who may ask, how often, and what a refused client is told."""

from __future__ import annotations

import asyncio
import contextlib
import io

import httpx
import pytest

from deploy.gateway import intake
from tests.deploy.gateway_stage import AUTHORIZED, CHAT, SECRET, stage

ENVELOPE = {"message", "type", "param", "code"}


def error_of(response: httpx.Response) -> dict[str, object]:
    error: dict[str, object] = response.json()["error"]
    assert set(error) == ENVELOPE
    assert error["code"] == response.status_code
    return error


async def test_a_key_is_taken_in_either_header_and_any_case_of_the_scheme() -> None:
    async with stage() as (_, running):
        for headers in (
            {"Authorization": f"Bearer {SECRET}"},
            {"Authorization": f"bearer {SECRET}"},
            {"X-API-Key": SECRET},
            {"Authorization": "Basic other", "X-API-Key": SECRET},
        ):
            assert (await running.client.get("/v1/models", headers=headers)).status_code == 200, headers


async def test_without_a_key_the_answer_is_401_and_the_engine_is_not_asked() -> None:
    wrong: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {SECRET}"},
        {"Authorization": SECRET},
        {"Authorization": f"Bearer {SECRET}x"},
        {"Authorization": f"Bearer {SECRET[:-1]}"},
        {"X-API-Key": ""},
    ]
    async with stage() as (upstream, running):
        for headers in wrong:
            response = await running.client.post(CHAT, headers=headers, json={})
            assert response.status_code == 401, headers
            assert response.headers["www-authenticate"] == "Bearer"
            assert error_of(response)["type"] == "authentication_error"
        assert upstream.requests == []
        assert await running.metric("gateway_auth_failures_total") == len(wrong)


async def test_authentication_off_lets_everybody_in() -> None:
    async with stage(authentication="off", keys=[]) as (_, running):
        assert (await running.client.get("/v1/models")).status_code == 200


async def test_guessing_keys_is_limited() -> None:
    async with stage(limits={"anonymous": "3/hour"}) as (_, running):
        statuses = [
            (await running.client.get("/v1/models", headers={"X-API-Key": f"guess{n}"})).status_code
            for n in range(5)
        ]
        assert statuses == [401, 401, 401, 429, 429]
        # the owner of a key, at the same address, is not locked out by somebody's guesses
        assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200
        assert await running.metric("gateway_rate_limited_total", scope="anonymous") == 2


async def test_a_forged_forwarded_for_does_not_widen_the_limit() -> None:
    async with stage(limits={"client": "3/hour"}) as (_, running):
        statuses = [
            (
                await running.client.get(
                    "/v1/models", headers={**AUTHORIZED, "X-Forwarded-For": f"203.0.113.{n}"}
                )
            ).status_code
            for n in range(5)
        ]
        assert statuses == [200, 200, 200, 429, 429]
        assert {line["client"] for line in running.lines()} == {"127.0.0.1"}


async def test_behind_a_trusted_proxy_only_the_last_hop_is_believed() -> None:
    async with stage(limits={"client": "2/hour"}, trusted_proxies=["127.0.0.0/8"]) as (_, running):

        async def ask(forwarded: str) -> int:
            headers = {**AUTHORIZED, "X-Forwarded-For": forwarded}
            return (await running.client.get("/v1/models", headers=headers)).status_code

        # what stands left of the proxy's own entry was written by the client
        assert [await ask(f"198.51.100.{n}, 203.0.113.7") for n in range(3)] == [200, 200, 429]
        assert await ask("203.0.113.8") == 200
        assert running.lines()[0]["client"] == "203.0.113.7"


async def test_429_says_when_and_keeps_its_word() -> None:
    async with stage(limits={"key": "2/second"}) as (_, running):
        answers = [await running.client.get("/v1/models", headers=AUTHORIZED) for _ in range(3)]
        refused = answers[2]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert error_of(refused)["type"] == "rate_limit_error"
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["x-ratelimit-limit"] == "2"
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert refused.headers["x-ratelimit-reset"] == "1"
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200


async def test_a_keys_own_limit_outranks_the_default_and_is_its_own() -> None:
    keys = [
        {"name": "suite", "key_env": "GATEWAY_KEY", "limit": "1/hour"},
        {"name": "second", "key_env": "SECOND_KEY"},
    ]
    async with stage(keys=keys, limits={"key": "3/hour"}) as (_, running):

        async def statuses(key: str, count: int) -> list[int]:
            return [
                (await running.client.get("/v1/models", headers={"X-API-Key": key})).status_code
                for _ in range(count)
            ]

        assert await statuses(SECRET, 2) == [200, 429]
        assert await statuses("sk-second-08d1", 4) == [200, 200, 200, 429]


async def test_probes_are_neither_limited_nor_guarded() -> None:
    async with stage(limits={"client": "1/hour", "anonymous": "1/hour"}) as (_, running):
        for _ in range(4):
            assert (await running.client.get("/health")).status_code == 200
            assert (await running.client.get("/ready")).status_code == 200
        # and they used up nothing
        assert (await running.client.get("/v1/models", headers=AUTHORIZED)).status_code == 200


async def test_what_is_not_on_the_list_is_404_in_the_envelope() -> None:
    paths = (
        "/metrics", "/docs", "/openapi.json", "/redoc", "/invocations", "/tokenize",
        "/v1/models/", "/v1/embeddings", "//v1/models", "/health/", "/",
    )  # fmt: skip
    async with stage() as (upstream, running):
        for path in paths:
            for method in ("GET", "POST"):
                response = await running.client.request(method, f"{running.url}{path}", headers=AUTHORIZED)
                assert response.status_code == 404, path
                assert error_of(response)["type"] == "not_found_error"
        assert upstream.requests == []
        counted = await running.metric("gateway_requests_total", endpoint="other", status_code="404")
        assert counted == 2 * len(paths)


async def test_a_wrong_method_is_405() -> None:
    async with stage() as (upstream, running):
        for method, path, allow in (
            ("GET", CHAT, "POST"),
            ("DELETE", CHAT, "POST"),
            ("OPTIONS", CHAT, "POST"),
            ("HEAD", "/v1/models", "GET"),
        ):
            response = await running.client.request(method, path, headers=AUTHORIZED)
            assert (response.status_code, response.headers["allow"]) == (405, allow)
        assert upstream.requests == []


async def test_keys_are_in_no_log_line_no_metric_and_no_error() -> None:
    wrong = "sk-almost-right"
    async with stage(limits={"anonymous": "1/hour"}) as (_, running):
        texts = io.StringIO()
        for headers in (AUTHORIZED, {"X-API-Key": wrong}, {"Authorization": f"Bearer {wrong}"}):
            for path in ("/v1/models?api_key=" + SECRET, "/nowhere/" + SECRET):
                texts.write((await running.client.get(path, headers=headers)).text)
        texts.write(running.log_text + await running.scrape())
        assert len(running.lines()) == 6
        for secret in (SECRET, wrong, "sk-engine-71cc"):
            assert secret not in texts.getvalue()


async def test_label_values_do_not_come_from_clients() -> None:
    async with stage() as (_, running):
        for path in ("/a", "/b", "/c"):
            await running.client.request("PROPFIND", path, headers={"X-API-Key": path})
        lines = [
            line
            for line in (await running.scrape()).splitlines()
            if line.startswith("gateway_requests_total{")
        ]
        labels = 'endpoint="other",key="anonymous",method="other",model="other",status_code="404"'
        assert lines == [f"gateway_requests_total{{{labels}}} 3.0"]


async def test_the_rest_of_a_body_that_was_refused_is_not_awaited_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "REST_TIMEOUT_S", 0.3)
    async with stage() as (_, running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{" % CHAT.encode())
        assert b" 401 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)

        async def drip() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionError):  # it ends by a reset, or in order
            await asyncio.wait_for(reader.read(), 5)
        dripping.cancel()
        writer.close()


async def test_a_body_that_comes_after_its_refusal_leaves_the_connection_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "REST_TIMEOUT_S", 0.3)
    async with stage() as (_, running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n" % CHAT.encode()
        writer.write(head)
        first = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        writer.write(b"{}")
        await asyncio.sleep(0.6)  # longer than the bound, which is over with the body
        writer.write(head + b"{}")
        second = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        assert b" 401 " in first
        assert b" 401 " in second
        writer.close()
        await writer.wait_closed()
