"""Each fault is exactly what its name says."""

import asyncio
import time

import pytest

from tests.deploy.running import events
from tests.faults.browser import (
    CHAT,
    DONE,
    METRICS,
    ROLE,
    STREAM,
    TOKENS,
    USAGE,
    WHOLE,
    answered,
    between,
    streamed,
)
from tests.faults.planted.streams import FAULTS
from tests.faults.upstream import STREAM_HEAD, Pause, chunk, chunked, upstream, whole


async def test_buffering_holds_the_body_and_gives_it_at_once() -> None:
    rest = Pause()
    script = (STREAM_HEAD, chunk(ROLE), rest, chunked(*STREAM[1:]))
    async with upstream(*script) as up, between(up, "buffering") as browser:
        await browser.ask()
        await browser.until(b"\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(browser.reader.readexactly(1), 0.1)
        rest.set()
        assert await browser.until(b"0\r\n\r\n") == chunked(b"".join(STREAM))


@pytest.mark.parametrize(("path", "held"), [(CHAT, True), (b"/v1/completions", False)])
async def test_first_token_delay_holds_the_first_bytes_of_a_chat_and_nothing_else(
    path: bytes, held: bool
) -> None:
    delay_s = 0.25
    async with (
        upstream(STREAM_HEAD, chunked(*STREAM)) as up,
        between(up, "first-token-delay", delay_s) as browser,
    ):
        await browser.ask(path)
        await browser.until(b"\r\n\r\n")
        headers_s = time.monotonic()
        await browser.until(ROLE)
        first_s = time.monotonic()
        rest = await browser.until(b"0\r\n\r\n")
        last_s = time.monotonic()
    assert rest == b"\r\n" + chunked(*STREAM[1:])
    assert (first_s - headers_s > delay_s * 0.9) == held  # 0.9: the head may be read late
    assert last_s - first_s < delay_s


async def test_first_token_delay_leaves_whole_answers_alone() -> None:
    async with upstream(whole(WHOLE)) as up, between(up, "first-token-delay", delay_s=600) as browser:
        await browser.ask()
        assert (await browser.answer())[1] == WHOLE


async def test_token_dropped_takes_one_token_of_each_stream_and_leaves_the_usage() -> None:
    assert await streamed("token-dropped", STREAM) == [ROLE, TOKENS[0], TOKENS[2], TOKENS[3], USAGE, DONE]
    joined = b"".join(STREAM)
    assert b"".join(await streamed("token-dropped", [joined[:170], joined[170:]])) == joined.replace(
        TOKENS[1], b""
    )


async def test_token_dropped_keeps_the_end_of_a_stream_of_one_token() -> None:
    _, last, _ = await streamed("token-dropped", [ROLE, TOKENS[3], DONE])
    assert events(last.decode())[0]["choices"][0] == {
        "index": 0,
        "delta": {"content": ""},
        "finish_reason": "length",
    }


async def test_usage_inflated_adds_one_token_streamed_or_not() -> None:
    more = USAGE.replace(b'"completion_tokens":4', b'"completion_tokens":5')
    assert await streamed("usage-inflated", STREAM) == [ROLE, *TOKENS, more, DONE]
    _, body = await answered("usage-inflated", whole(WHOLE))
    assert body == WHOLE.replace(b'"completion_tokens": 4', b'"completion_tokens": 5')


async def test_no_done_takes_away_the_last_event_alone() -> None:
    assert await streamed("no-done", STREAM) == STREAM[:-1]


async def test_metrics_renamed_leaves_no_vllm_name() -> None:
    _, body = await answered("metrics-renamed", whole(METRICS, kind=b"text/plain"), b"/metrics")
    assert body == METRICS.replace(b"vllm:", b"vllm_")


async def test_counter_lies_counts_one_token_less_for_each_request() -> None:
    _, body = await answered("counter-lies", whole(METRICS, kind=b"text/plain"), b"/metrics")
    lie = METRICS.replace(
        b'total{engine="0",model_name="tiny"} 100.0', b'total{engine="0",model_name="tiny"} 93.0'
    )
    assert body == lie
    assert lie.count(b"93.0") == 1  # 100 - (2 + 5)


@pytest.mark.parametrize("fault", ["metrics-renamed", "counter-lies"])
async def test_a_text_that_is_to_be_edited_is_asked_for_uncompressed(fault: str) -> None:
    async with upstream(whole(METRICS)) as up, between(up, fault) as browser:
        await browser.ask(b"/metrics", b"", b"Accept-Encoding: gzip")
        await browser.answer()
    assert b"gzip" not in up.asked[0]


@pytest.mark.parametrize(("status", "seen"), [(b"404 Not Found", b"200 OK"), (b"503 Busy", b"503 Busy")])
async def test_error_200_hides_the_clients_errors_behind_200(status: bytes, seen: bytes) -> None:
    head, body = await answered("error-200", whole(b'{"error":{}}', status))
    assert head + body == whole(b'{"error":{}}', seen)


@pytest.mark.parametrize("fault", [fault.name for fault in FAULTS])
async def test_only_their_own_faults_touch_the_metrics(fault: str) -> None:
    _, body = await answered(fault, whole(METRICS, kind=b"text/plain"), b"/metrics")
    assert body == METRICS
