"""What the faults do to bodies: pure functions of bytes, knowing nothing of connections."""

import json
import re
from collections.abc import AsyncIterator, Callable

COMPLETION_TOKENS = re.compile(rb'("completion_tokens"\s*:\s*)(\d+)')
GENERATION_TOKENS = re.compile(rb"^(vllm:generation_tokens_total(?:\{[^}]*\})? )(\S+)", re.M)
REQUEST_SUCCESS = re.compile(rb"^vllm:request_success_total(?:\{[^}]*\})? (\S+)", re.M)
KV_CACHE_USAGE = re.compile(rb"^(vllm:kv_cache_usage_perc(?:\{[^}]*\})? )(\S+)", re.M)
PROMPT_TOKENS = re.compile(rb"^(vllm:prompt_tokens_total(?:\{[^}]*\})? )(\S+)", re.M)
SUCCESSES = re.compile(rb"^(vllm:request_success_total(?:\{[^}]*\})? )(\S+)", re.M)
RUNNING = re.compile(rb"^(vllm:num_requests_running(?:\{[^}]*\})? )(\S+)", re.M)
FIRST_TOKENS = re.compile(rb"^(vllm:time_to_first_token_seconds_count(?:\{[^}]*\})? )(\S+)", re.M)
BOUNDS = re.compile(
    rb"^(vllm:(?:time_to_first_token|e2e_request_latency)_seconds_bucket\{[^}]*\} )(\S+)", re.M
)
DONE = b"data: [DONE]"

Edit = Callable[[bytes], bytes]


async def by_event(body: AsyncIterator[bytes], edit: Edit) -> AsyncIterator[bytes]:
    """Cut a stream into server-sent events, blank line included, and `edit` each; b"" drops it."""
    rest = b""
    async for data in body:
        *events, rest = re.split(rb"(?<=\n\n)", rest + data)
        if edited := b"".join(map(edit, events)):
            yield edited
    if edited := edit(rest):
        yield edited


def without_one_token() -> Edit:
    """Of each stream the second event with text is dropped, so that the first token stays on time.

    An event that also says why the stream ended stays, without its text: a stream without an end would be
    another fault.
    Returns an edit for one stream.
    """
    seen = 0
    dropped = False

    def edit(event: bytes) -> bytes:
        nonlocal seen, dropped
        if dropped or not event.startswith(b"data: {") or not event.endswith(b"\n\n"):
            return event
        chunk = json.loads(event[6:])
        for choice in chunk.get("choices") or []:
            holder, name = (choice["delta"], "content") if "delta" in choice else (choice, "text")
            if not holder.get(name):
                continue
            seen += 1
            if choice.get("finish_reason"):
                holder[name] = ""
                dropped = True
                return (
                    b"data: "
                    + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode()
                    + b"\n\n"
                )
            dropped = seen == 2
        return b"" if dropped else event

    return edit


def without_done(event: bytes) -> bytes:
    """No `data: [DONE]`."""
    return b"" if event.startswith(DONE) else event


def inflated_usage(text: bytes) -> bytes:
    """One completion token more wherever usage is stated; total_tokens is left as it is."""
    return COMPLETION_TOKENS.sub(lambda found: found[1] + b"%d" % (int(found[2]) + 1), text)


def renamed_metrics(text: bytes) -> bytes:
    """Names as of another age: none begins with `vllm:`."""
    return text.replace(b"vllm:", b"vllm_")


def full_cache(text: bytes) -> bytes:
    """A KV cache that is nearly full, whatever it holds."""
    return KV_CACHE_USAGE.sub(lambda found: found[1] + b"0.99", text)


def lying_counter(text: bytes) -> bytes:
    """generation_tokens_total less one for each finished request; meant for one engine."""
    finished = sum(float(found[1]) for found in REQUEST_SUCCESS.finditer(text))
    return GENERATION_TOKENS.sub(lambda found: found[1] + repr(float(found[2]) - finished).encode(), text)


def doubled(counter: re.Pattern[bytes]) -> Edit:
    """Each thing counted twice."""
    return lambda text: counter.sub(lambda found: found[1] + repr(2 * float(found[2])).encode(), text)


def swapped_reasons(text: bytes) -> bytes:
    """What ended by its length is counted as stopped, and the other way round."""
    kept = text.replace(b'finished_reason="length"', b'finished_reason="(stop)"')
    return kept.replace(b'finished_reason="stop"', b'finished_reason="length"').replace(b"(stop)", b"stop")


def stuck_request(text: bytes) -> bytes:
    """A request that runs for ever."""
    return RUNNING.sub(lambda found: found[1] + repr(float(found[2]) + 1).encode(), text)


def leaking_cache(text: bytes) -> bytes:
    """A thousandth of the cache is lost with each finished request."""
    finished = sum(float(found[1]) for found in REQUEST_SUCCESS.finditer(text))
    return KV_CACHE_USAGE.sub(lambda found: found[1] + repr(float(found[2]) + finished / 1000).encode(), text)


def slow_histograms(text: bytes) -> bytes:
    """Nothing was ever within any bound of TTFT and E2E, as if all had taken longer than an hour."""

    def emptied(found: re.Match[bytes]) -> bytes:
        return found[0] if b'le="+Inf"' in found[1] else found[1] + b"0.0"

    return BOUNDS.sub(emptied, text)
