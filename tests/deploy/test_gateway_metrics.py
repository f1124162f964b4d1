"""The gateway's own metrics say what happened: times to the first token, models, what still runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.gateway.first_token import FirstToken
from tests.deploy.gateway_stage import (
    AUTHORIZED,
    CHAT,
    DONE,
    Hold,
    Reply,
    Request,
    Running,
    fleet,
    gateway,
    saying,
    stage,
    streaming,
    until,
    upstream_of,
)

ROLE = b'data: {"model":"tiny","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(**fields: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": fields}])


USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})


@pytest.mark.parametrize(
    "generated",
    [
        delta(content="a"),
        delta(content=" "),
        delta(reasoning="so"),
        delta(reasoning_content="so"),
        delta(tool_calls=[{"index": 0, "function": {"name": "f"}}]),
        event(choices=[{"index": 0, "text": "a"}]),
        event(
            choices=[{"index": 0, "delta": {"role": "assistant"}}, {"index": 1, "delta": {"content": "b"}}]
        ),
        event(type="response.output_text.delta", delta="a"),
        event(type="content_block_delta", delta={"type": "text_delta", "text": "a"}),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_the_first_token_is_found_however_the_stream_is_cut(generated: bytes, piece: int) -> None:
    before = b": comment\n\n" + ROLE + b'data: {"half\n\ndata: [1]\n\ndata:\n\n' + USAGE
    stream = before + generated + delta(content="later")
    first, found_after = FirstToken(), None
    for at in range(0, len(stream), piece):
        if first.add(stream[at : at + piece]):
            found_after = at + piece
            break
    assert found_after is not None
    # whole once its line is: the newline after the JSON has come
    assert found_after - piece < len(before) + len(generated) - 1 <= found_after
    assert first.model == "tiny"


@pytest.mark.parametrize(
    "nothing",
    [
        ROLE,
        delta(content=""),
        delta(content=None, tool_calls=[]),
        event(choices=[{"index": 0, "text": "", "finish_reason": "stop"}]),
        USAGE,
        event(error={"message": "content", "code": 500}),
        event(type="response.created", response={"delta": "x"}),
        b"data: [DONE]\n\n",
        b": content\n\n",
        b'event: x\ndata: "content"\n\n',
    ],
)
def test_what_carries_nothing_generated_is_no_first_token(nothing: bytes) -> None:
    assert not FirstToken().add(nothing)


def test_the_search_ends_at_its_bound() -> None:
    first = FirstToken()
    while first.wanted:
        assert not first.add(b"data: {}\n\n" * 1000)
    assert first.given_up


async def test_time_to_the_first_token_is_not_that_to_the_role() -> None:
    go = asyncio.Event()

    async def role_first(request: Request, reply: Reply) -> None:
        await reply.stream()
        await reply.chunk(ROLE)
        await go.wait()
        await reply.chunk(delta(content="a"))
        await reply.chunk(DONE)
        await reply.end()

    async with stage() as (upstream, running):
        upstream.script = role_first
        async with running.chat() as response:
            parts = response.aiter_raw()
            assert await anext(parts) == ROLE
            await asyncio.sleep(0.2)  # the time that must be in it: no wait for anything
            go.set()
            assert b"".join([part async for part in parts]).endswith(DONE)
        assert await running.metric("gateway_time_to_first_token_seconds_count", endpoint=CHAT) == 1
        assert await running.metric("gateway_time_to_first_token_seconds_sum", endpoint=CHAT) >= 0.2


@pytest.mark.parametrize("script", [saying(200, b'{"choices":[{"text":"a"}]}'), streaming(ROLE, USAGE, DONE)])
async def test_answers_without_a_first_token_have_no_time_to_it(script: Any) -> None:
    async with stage() as (upstream, running):
        upstream.script = script
        assert (await running.client.post(CHAT, headers=AUTHORIZED, json={})).status_code == 200
        assert await running.metric("gateway_time_to_first_token_seconds_count") == 0
        assert await running.metric("gateway_request_duration_seconds_count") == 1


async def test_models_are_those_that_the_replicas_list_and_else_other() -> None:
    async with stage() as (upstream, running):
        assert upstream.models == ["tiny"]
        upstream.script = streaming(delta(content="a"), USAGE, DONE)
        for model in ("tiny", "tiny", "never-heard-of", 7, None):
            await running.client.post(CHAT, headers=AUTHORIZED, json={"model": model})
        upstream.script = streaming(ROLE, USAGE, DONE)  # says its model itself, where the question did not
        await running.client.post(CHAT, headers=AUTHORIZED, json={})
        for name, tokens in (("generated", 3), ("prompted", 7)):
            series = f"gateway_tokens_{name}_total"
            assert await running.metric(series, model="tiny") == 3 * tokens
            assert await running.metric(series, model="other") == 3 * tokens
        assert await running.metric("gateway_requests_total", model="tiny", endpoint=CHAT) == 3
        assert await running.metric("gateway_requests_total", model="other", endpoint=CHAT) == 3
        assert "never-heard-of" not in await running.scrape()


async def all_gauges_at_rest(running: Running) -> None:
    for gauge in ("gateway_active_requests", "gateway_upstream_in_flight", "gateway_queued_requests"):
        assert await running.metric(gauge) == 0, gauge


@pytest.mark.parametrize("end", ["ends well", "client leaves", "replica dies", "read time-out"])
async def test_gauges_return_to_zero(end: str) -> None:
    async with fleet(2, {"read_timeout_s": 0.5}) as (upstreams, running):
        hold = Hold()
        for upstream in upstreams:
            upstream.script = hold
        asking = [
            asyncio.create_task(running.client.post(CHAT, headers=AUTHORIZED, json={})) for _ in range(4)
        ]
        await until(lambda: sum(one.serving for one in upstreams) == 4, "four streams")
        assert await running.metric("gateway_active_requests") == 4
        assert await running.metric("gateway_upstream_in_flight") == 4
        if end == "ends well":
            hold.go.set()
        elif end == "client leaves":
            for task in asking:
                task.cancel()
        elif end == "replica dies":
            for upstream in upstreams:
                await upstream.die()
        await until(lambda: len(running.lines()) == 4, "four lines")
        await asyncio.gather(*asking, return_exceptions=True)
        await all_gauges_at_rest(running)


async def test_the_names_and_labels_are_those_of_the_guide() -> None:
    """Each name with its labels, as dashboards and rules ask for them."""
    expected = {
        "gateway_requests": {"method", "endpoint", "status_code", "model", "key"},
        "gateway_request_duration_seconds": {"endpoint", "le"},
        "gateway_time_to_first_token_seconds": {"endpoint", "le"},
        "gateway_active_requests": set(),
        "gateway_queued_requests": set(),
        "gateway_shed_requests": {"reason"},
        "gateway_tokens_generated": {"model"},
        "gateway_tokens_prompted": {"model"},
        "gateway_upstream_errors": {"kind"},
        "gateway_auth_failures": set(),
        "gateway_rate_limited": {"scope"},
        "gateway_client_disconnects": set(),
        "gateway_streams": {"outcome"},
        "gateway_upstream_healthy": {"replica"},
        "gateway_upstream_in_flight": {"replica"},
        "gateway_upstream_ejections": {"replica"},
        "gateway_upstream_retries": {"reason"},
        "gateway_build_info": {"version"},
    }
    block = upstream_of(url="http://127.0.0.1:9")
    async with (
        stage(limits={"client": "2/hour"}) as (upstream, running),
        gateway("", upstream=block) as alone,
    ):
        upstream.script = streaming(delta(content="a"), USAGE, b'data: {"error": {}}\n\n')
        for headers in (AUTHORIZED, {}, {}):
            await running.client.post(CHAT, headers=headers, json={})
        await alone.client.post(CHAT, headers=AUTHORIZED, json={})
        seen: dict[str, set[str]] = {}
        for text in (await running.scrape(), await alone.scrape()):
            for family in text_string_to_metric_families(text):
                seen.setdefault(family.name, set())
                for sample in family.samples:
                    seen[family.name] |= set(sample.labels)
        del expected["gateway_upstream_retries"], seen["gateway_upstream_retries"]  # none was made
        assert {name: seen.get(name) for name in expected} == expected
