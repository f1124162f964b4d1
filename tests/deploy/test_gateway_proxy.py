"""What passes between client and engine: bytes, headers, errors, and what is noted about them."""

from __future__ import annotations

import random

from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    SECRET,
    UPSTREAM_SECRET,
    saying,
    stage,
    streaming,
)

CONTENT = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'


async def test_bytes_pass_exactly_whatever_the_chunks() -> None:
    seeded = random.Random(7)
    payload = b"".join(b'data: {"text":"%d \xc3\xa9"}\n\n' % n for n in range(2000)) + DONE
    chunks, at = [], 0
    while at < len(payload):
        size = seeded.choice([1, 2, 7, 100, 5000])
        chunks.append(payload[at : at + size])
        at += size
    async with stage() as (upstream, running):
        upstream.script = streaming(*chunks)
        response = await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert response.content == payload
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-cache"
        assert running.lines()[0]["bytes"] == len(payload)


async def test_compressed_bytes_are_not_touched() -> None:
    body = bytes(range(256)) * 40  # no gzip at all: whoever tried to decode it would fail
    async with stage() as (upstream, running):
        upstream.script = saying(200, body, "Content-Encoding: gzip")
        async with running.chat() as response:
            assert b"".join([part async for part in response.aiter_raw()]) == body
        assert upstream.requests[0].header("accept-encoding") == "identity"


async def test_headers_are_cleaned_on_both_ways() -> None:
    async with stage() as (upstream, running):
        upstream.script = saying(
            200, b"{}", "Server: secret", "Keep-Alive: 5", "X-Request-Id: theirs", "X-Kept: yes"
        )
        response = await running.client.post(
            f"{CHAT}?trace=1&b=%20",
            headers={
                **AUTHORIZED,
                "X-API-Key": "also",
                "X-Request-Id": "run-1.A_b",
                "Connection": "keep-alive, X-Hop",
                "X-Hop": "1",
                "Cookie": "c=1",
                "Traceparent": "00-1",
                "X-Forwarded-For": "203.0.113.1",
            },
            content=b'{"stream":false}',
        )
        request = upstream.requests[0]
        assert (request.method, request.target, request.body) == (
            "POST",
            f"{CHAT}?trace=1&b=%20",
            b'{"stream":false}',
        )
        assert [value for name, value in request.headers if name == "authorization"] == [
            f"Bearer {UPSTREAM_SECRET}"
        ]
        assert request.header("x-request-id") == "run-1.A_b"
        assert request.header("x-forwarded-for") == "127.0.0.1"
        assert request.header("traceparent") == "00-1"
        assert all(request.header(name) is None for name in ("x-api-key", "x-hop", "cookie"))
        assert response.headers["x-kept"] == "yes"
        assert response.headers.get_list("x-request-id") == ["run-1.A_b"]
        assert response.headers.get_list("date") != []
        assert all(name not in response.headers for name in ("server", "keep-alive"))


async def test_an_unsafe_request_id_is_replaced_and_on_errors_too() -> None:
    made = []
    async with stage() as (_, running):
        for unsafe in ("", "a" * 129, "a b", 'x"}', "é", SECRET):
            headers = [(b"X-Request-Id", unsafe.encode()), (b"X-API-Key", b"wrong")]
            response = await running.client.get("/v1/models", headers=headers)
            assert response.status_code == 401
            made.append(response.headers["x-request-id"])
        assert [len(identity) for identity in made] == [32] * 6
        assert len(set(made)) == 6
        assert [line["request_id"] for line in running.lines()] == made


async def test_an_error_of_the_engine_keeps_status_and_body_though_a_stream_was_asked_for() -> None:
    async with stage() as (upstream, running):
        for status, body in (
            (404, b'{"error":{"message":"no","type":"NotFoundError","param":"model","code":404}}'),
            (401, b'{"error":"Unauthorized"}'),
            (400, b'{"detail":"deep"}'),
            (503, b'{"error":{"message":"busy","type":"Service Unavailable","param":null,"code":503}}'),
        ):
            upstream.script = saying(status, body)
            response = await running.client.post(CHAT, headers=AUTHORIZED, json={"stream": True})
            assert (response.status_code, response.content) == (status, body)
            assert response.headers["content-type"] == "application/json"
            labels = {"status_code": str(status), "endpoint": CHAT, "key": "suite", "model": "other"}
            assert await running.metric("gateway_requests_total", **labels) == 1
        assert await running.metric("gateway_upstream_errors_total") == 1
        assert await running.metric("gateway_upstream_errors_total", kind="status_5xx") == 1
        assert await running.metric("gateway_time_to_first_token_seconds_count") == 0


async def test_tokens_are_counted_from_usage_and_from_nothing_else() -> None:
    forged = b'data: {"choices":[{"delta":{"content":"\\"usage\\":{\\"prompt_tokens\\":900}"}}]}\n\n'
    async with stage() as (upstream, running):
        upstream.script = streaming(forged * 400, USAGE, DONE)
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        upstream.script = streaming(forged, DONE)
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        body = (
            b'{"choices":[{"text":"'
            + b"a" * 20_000
            + b'"}],"usage": {"prompt_tokens": 5, "completion_tokens": 1}}'
        )
        upstream.script = saying(200, body)
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        assert await running.metric("gateway_tokens_prompted_total", model="other") == 7 + 5
        assert await running.metric("gateway_tokens_generated_total", model="other") == 3 + 1


async def test_the_log_line_and_the_metrics_of_a_request() -> None:
    async with stage() as (upstream, running):
        upstream.script = streaming(CONTENT, DONE)
        await running.client.post(CHAT, headers=AUTHORIZED, json={"prompt": "do not write this down"})
        (line,) = running.lines()
        assert line["level"] == "info"
        assert (line["method"], line["path"], line["status"], line["key"]) == ("POST", CHAT, 200, "suite")
        assert (line["client"], line["outcome"]) == ("127.0.0.1", "completed")
        assert 0 < line["ttft_s"] <= line["duration_s"]
        assert "do not write" not in running.log_text
        assert await running.metric("gateway_request_duration_seconds_count", endpoint=CHAT) == 1
        assert await running.metric("gateway_time_to_first_token_seconds_count", endpoint=CHAT) == 1
        assert await running.metric("gateway_build_info") == 1
        scrape = await running.scrape()
        for bound in "0.05 0.1 0.2 0.25 0.3 0.5 1.0 2.0 3.0 5.0 10.0 30.0 60.0".split():
            assert f'gateway_request_duration_seconds_bucket{{endpoint="{CHAT}",le="{bound}"}}' in scrape
