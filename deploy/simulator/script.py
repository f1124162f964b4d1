"""Script: what one answer says on the wire, prepared before its first token is due so that a token costs
little.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .ask import Ask

FINGERPRINT = "vllm-slo-simulator"
SLOT = "@"  # where a chunk's text goes; no field around it holds this character's quoted form
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that all objects of one answer share; `created` in Unix seconds."""

    request_id: str
    model: str
    created: int

    def fields(self, chat: bool, kind: str) -> dict[str, Any]:
        """The object's first fields; the id has vLLM's prefix."""
        prefix = "chatcmpl" if chat else "cmpl"
        return {
            "id": f"{prefix}-{self.request_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Script:
    """One stream's events: `opening`, then a `piece` a chunk, then `closing`."""

    opening: bytes
    piece: Callable[[str, int, bool], bytes]
    closing: bytes


def stream_script(ask: Ask, head: Head) -> Script:
    """The events of a streamed answer, in vLLM's order: the role (chat), the text, the usage if asked for,
    [DONE].
    """
    fields = head.fields(ask.chat, "chat.completion.chunk" if ask.chat else "text_completion")
    fingerprint = {"system_fingerprint": FINGERPRINT}
    closing = DONE
    if ask.include_usage:
        closing = event({**fields, "choices": [], "usage": usage(ask, ask.max_tokens), **fingerprint}) + DONE
    middle = _split_event(fields | {"choices": [_choice(ask, None)]})
    # the fingerprint is on the last event that is sent
    last = fields | {"choices": [_choice(ask, "length")]} | ({} if ask.include_usage else fingerprint)
    return Script(_opening(ask, fields), _piece(ask, middle, _split_event(last)), closing)


def whole_answer(ask: Ask, head: Head, text: str) -> bytes:
    """The body of an answer that is not streamed."""
    body = head.fields(ask.chat, "chat.completion" if ask.chat else "text_completion")
    choice: dict[str, Any] = {"index": 0}
    if ask.chat:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None, "reasoning": None}
    else:
        choice["text"] = text
    choice |= {"logprobs": None, "finish_reason": "length", "stop_reason": None, "token_ids": None}
    counts = usage(ask, ask.max_tokens) | {"prompt_tokens_details": None}
    return compact(body | {"choices": [choice], "system_fingerprint": FINGERPRINT, "usage": counts})


def usage(ask: Ask, tokens: int) -> dict[str, Any]:
    """The usage object after `tokens` tokens of output."""
    return {
        "prompt_tokens": ask.prompt_tokens,
        "total_tokens": ask.prompt_tokens + tokens,
        "completion_tokens": tokens,
    }


def event(fields: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + compact(fields) + b"\n\n"


def compact(fields: dict[str, Any]) -> bytes:
    """JSON without blanks, UTF-8."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _opening(ask: Ask, fields: dict[str, Any]) -> bytes:
    if not ask.chat:
        return b""
    delta = {"role": "assistant", "content": ""}
    role = fields | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}
    return event(role | {"usage": usage(ask, 0)} if ask.continuous_usage else role)


def _choice(ask: Ask, finish: str | None) -> dict[str, Any]:
    text: dict[str, Any] = {"delta": {"content": SLOT}} if ask.chat else {"text": SLOT}
    stop = {"stop_reason": None} if finish or not ask.chat else {}
    return {"index": 0} | text | {"logprobs": None, "finish_reason": finish} | stop | {"token_ids": None}


def _split_event(fields: dict[str, Any]) -> tuple[bytes, bytes]:
    """An event cut at the text's place; its last brace is left off, so that more fields can follow."""
    choices = compact({"choices": fields.pop("choices")})
    before, after = choices.rsplit(b'"%s"' % SLOT.encode(), 1)
    shared = compact(fields)
    return b"data: " + shared[:-1] + b"," + before[1:] + b'"', b'"' + after[:-1]


def _piece(
    ask: Ask, middle: tuple[bytes, bytes], last: tuple[bytes, bytes]
) -> Callable[[str, int, bool], bytes]:
    def piece(text: str, tokens_out: int, ends: bool) -> bytes:
        """The event with `text` (letters and blanks: nothing that JSON must escape), after which
        `tokens_out` are out.
        """
        before, after = last if ends else middle
        if ask.continuous_usage:
            after += b',"usage":' + compact(usage(ask, tokens_out))
        return b"%b%b%b}\n\n" % (before, text.encode(), after)

    return piece


def pieces(script: Script, text: Iterator[str], ends: list[int], out: int, total: int) -> bytes:
    """The events of the chunks after which `ends` tokens are out, when `out` were before them and `total`
    end the stream.
    """
    events = []
    for end in ends:
        said = "".join(next(text) for _ in range(end - out))
        events.append(script.piece(said, end, end == total))
        out = end
    return b"".join(events)
