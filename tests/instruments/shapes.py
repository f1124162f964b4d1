"""Small makers of the shapes that tests speak of: answers on the wire, records, runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import settings

from instruments.clock import ClockAnchor
from instruments.records import (
    CHAT_PATH,
    ClientCheck,
    LoadRun,
    Outcome,
    Phase,
    Request,
    RequestRecord,
    Window,
)
from instruments.transport.framing import ResponseFraming

SECOND = 1_000_000_000
CALM = ClientCheck(loop_lag_p99_s=0.0, loop_lag_max_s=0.0, gc_pause_max_s=0.0, cpu_share=0.1)

# The same examples in every run: a red test is red for everybody.
fuzz = settings(deadline=None, derandomize=True, database=None, max_examples=150)


def request(index: int = 0, *, stream: bool = True, phase: Phase = Phase.MEASURED) -> Request:
    return Request(index, f"request-{index}", CHAT_PATH, {"model": "m"}, stream, phase)


def event(
    text: str | None = None, *, usage: int | None = None, finish: str | None = None, **delta: Any
) -> dict[str, Any]:
    """One chat chunk as vLLM sends it; `usage` is the cumulative count of completion tokens."""
    content = {} if text is None else {"content": text}
    chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": content | delta, "finish_reason": finish}]}
    return chunk if usage is None else chunk | used(usage)


def used(completion: int, *, prompt: int = 7) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


ROLE = event("", role="assistant")


def stream_of(*chunks: dict[str, Any] | bytes, done: bool = True) -> list[bytes]:
    """Each chunk as one server-sent event; bytes stand as they are."""
    told = [one if isinstance(one, bytes) else f"data: {json.dumps(one)}\n\n".encode() for one in chunks]
    return [*told, b"data: [DONE]\n\n"] if done else told


def answered(pieces: Sequence[bytes], *, status: int = 200, complete: bool = True) -> ResponseFraming:
    """A response whose header came at instant 1 and whose pieces came at 10, 20, 30, …"""
    framing = ResponseFraming()
    framing.feed(f"HTTP/1.1 {status} x\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), 1)
    for number, piece in enumerate(pieces, start=1):
        framing.feed(f"{len(piece):x}\r\n".encode() + piece + b"\r\n", 10 * number)
    if complete:
        framing.feed(b"0\r\n\r\n", 10 * len(pieces) + 5)
    return framing


def record(
    index: int = 0,
    outcome: Outcome = Outcome.COMPLETED,
    *,
    due: int = 0,
    ttft: int = 1,
    tokens: int | None = 3,
    span: int = 2,
    phase: Phase = Phase.MEASURED,
) -> RequestRecord:
    """A record in whole seconds: sent when due, first token `ttft` later, the last `span` after that."""
    if outcome is not Outcome.COMPLETED:
        return RequestRecord(index, f"request-{index}", 0, phase, outcome, due * SECOND, due * SECOND)
    first, last = (due + ttft) * SECOND, (due + ttft + span) * SECOND
    return RequestRecord(
        index=index,
        request_id=f"request-{index}",
        user=0,
        phase=phase,
        outcome=outcome,
        due_ns=due * SECOND,
        sent_ns=due * SECOND,
        headers_ns=due * SECOND,
        first_data_ns=first,
        first_token_ns=first,
        last_token_ns=last,
        done_ns=last,
        status=200,
        prompt_tokens=5,
        completion_tokens=tokens,
        finish_reason="length",
        chunks_ns=(first, last),
    )


def load_run(
    records: Iterable[RequestRecord],
    *,
    complete: bool = True,
    client: ClientCheck | None = CALM,
    seconds: int = 10,
    problems: tuple[str, ...] = (),
) -> LoadRun:
    return LoadRun(
        name="a-run",
        description={},
        anchor=ClockAnchor(0, 0),
        records=tuple(records),
        window=Window(0, seconds * SECOND),
        client=client,
        complete=complete,
        stopped_because=None if complete else "20 requests in a row failed",
        problems=problems,
    )
