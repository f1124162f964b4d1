"""What the bytes of an OpenAI-style answer mean: tokens, usage, outcome. Runs once it is complete."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from instruments.records import Outcome, Request
from instruments.transport.framing import ResponseFraming
from instruments.transport.sse import events

DONE = b"[DONE]"
ERROR_TEXT_LIMIT = 300
# What JSON of any other shape can do to a reader that expects an answer's.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError)


@dataclass(slots=True)
class Answer:
    """What an answer said; the fields are those of RequestRecord."""

    outcome: Outcome = Outcome.COMPLETED
    error: str | None = None
    first_data_ns: int | None = None
    chunks_ns: list[int] = field(default_factory=list)
    chunk_tokens: list[int] | None = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    text: list[str] = field(default_factory=list)
    ended: bool = False  # `data: [DONE]` was seen

    @property
    def text_sha256(self) -> str | None:
        if not self.text:
            return None
        # JSON may spell half of a surrogate pair, which UTF-8 proper has no bytes for.
        return hashlib.sha256("".join(self.text).encode("utf-8", "surrogatepass")).hexdigest()

    def fail(self, outcome: Outcome, error: str) -> Answer:
        self.outcome, self.error = outcome, " ".join(error[: 2 * ERROR_TEXT_LIMIT].split())[:ERROR_TEXT_LIMIT]
        return self


def interpret(request: Request, framing: ResponseFraming) -> Answer:
    """Read a complete (or cut) response. Whatever the bytes are, the result is an Answer."""
    answer = Answer()
    status = framing.status
    if status is None:
        return answer.fail(Outcome.FAILED, "the answer has no status line")
    body = b"".join(piece for _, piece in framing.pieces)
    if status != 200:
        return answer.fail(refusal(status), f"HTTP {status}: {_error_text(body)}")
    if not request.stream and not framing.complete:
        return answer.fail(Outcome.TRUNCATED, "the answer stopped before its end")
    try:
        if request.stream:
            _read_stream(answer, framing.pieces)
        else:
            _read_document(answer, body, framing.pieces)
    except UNREADABLE as error:
        answer.chunk_tokens = None
        return answer.fail(
            Outcome.FAILED, f"the answer cannot be understood: {type(error).__name__}: {error}"
        )
    if answer.outcome is Outcome.COMPLETED and not _whole(request, framing, answer):
        answer.fail(Outcome.TRUNCATED, "the answer stopped before its end")
    return answer


def refusal(status: int) -> Outcome:
    """The outcome of an answer other than 200."""
    if status == 429:
        return Outcome.RATE_LIMITED
    if 400 <= status < 500 or status == 503:
        return Outcome.REFUSED
    return Outcome.FAILED


def _whole(request: Request, framing: ResponseFraming, answer: Answer) -> bool:
    if not framing.complete:
        return False
    return answer.ended and answer.finish_reason is not None if request.stream else True


def _read_stream(answer: Answer, pieces: list[tuple[int, bytes]]) -> None:
    seen = 0  # cumulative completion tokens, where the server tells them with each chunk
    told = True  # it has told them with each chunk so far
    for at_ns, data in events(pieces):
        if answer.first_data_ns is None:
            answer.first_data_ns = at_ns
        if data == DONE:
            answer.ended = True
            continue
        event = json.loads(data)
        if event.get("error"):
            # Comes under HTTP 200, and vLLM even sends [DONE] after it.
            answer.fail(Outcome.FAILED, f"error event: {_error_of(event)}")
            continue
        total = _take_usage(answer, event)
        choices = event.get("choices") or ()
        if not choices:
            continue
        text = _generated(choices[0])
        answer.finish_reason = choices[0].get("finish_reason") or answer.finish_reason
        risen = total - seen if total is not None else None
        told = told and not (text and total is None)
        if text or (told and (risen or 0) > 0):  # a total told only at the end is no new token
            answer.chunks_ns.append(at_ns)
            answer.text.append(text)
            _count(answer, risen)
        seen = total if total is not None else seen
    _settle_counts(answer)


def _read_document(answer: Answer, body: bytes, pieces: list[tuple[int, bytes]]) -> None:
    document = json.loads(body)
    if document.get("error"):
        answer.fail(Outcome.FAILED, f"error body under HTTP 200: {_error_of(document)}")
        return
    _take_usage(answer, document)
    choice = document["choices"][0]
    answer.finish_reason = choice.get("finish_reason")
    answer.text.append(_generated(choice))
    answer.first_data_ns = pieces[0][0]
    answer.chunk_tokens = None  # all tokens come at once: no cadence to speak of


def _generated(choice: dict[str, Any]) -> str:
    """The generated text of a choice: content, reasoning or tool calls of chat; text of completions."""
    part = choice.get("delta") or choice.get("message")
    if part is None:
        return str(choice.get("text") or "")
    reasoning = part.get("reasoning") or part.get("reasoning_content") or ""
    calls = json.dumps(part["tool_calls"]) if part.get("tool_calls") else ""
    return f"{reasoning}{part.get('content') or ''}{calls}"


def _take_usage(answer: Answer, event: dict[str, Any]) -> int | None:
    usage = event.get("usage")
    if not usage:
        return None
    answer.prompt_tokens = int(usage["prompt_tokens"])
    answer.completion_tokens = int(usage.get("completion_tokens") or 0)
    return answer.completion_tokens


def _count(answer: Answer, risen: int | None) -> None:
    if answer.chunk_tokens is None:
        return
    if risen is None:
        answer.chunk_tokens.append(0)  # not told: settled when the total is known
    else:
        answer.chunk_tokens.append(risen)


def _settle_counts(answer: Answer) -> None:
    """One token a chunk where the totals prove it; the server's own counts where told; else unknown."""
    counts, total = answer.chunk_tokens, answer.completion_tokens
    if counts is None or total is None:
        answer.chunk_tokens = None
    elif sum(counts) == total and all(counts):
        return
    elif not any(counts) and len(counts) == total:
        answer.chunk_tokens = [1] * total
    else:
        answer.chunk_tokens = None


def _error_text(body: bytes) -> str:
    try:
        return _error_of(json.loads(body))
    except (ValueError, AttributeError, RecursionError):
        return body[:ERROR_TEXT_LIMIT].decode("utf-8", "replace").strip() or "an empty body"


def _error_of(document: Any) -> str:
    """The message in any of vLLM's three shapes: {"error": str}, {"error": {…}}, {"detail": …}."""
    error = document.get("error", document.get("detail", document))
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)
