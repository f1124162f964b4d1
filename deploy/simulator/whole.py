"""Whole: the body of an answer that is not streamed."""

import json
from functools import lru_cache
from typing import Any

from . import gaps
from .ask import Api, Ask
from .form import Form
from .script import CALL_BEGINS, CALL_ENDS, FINGERPRINT, TOOL, TOOL_ID, Head, fields, puts, usage_object
from .words import WORD_BYTES


def whole_answer(ask: Ask, head: Head, form: Form, said: bytes) -> bytes:
    """The body, with all words (`said`) in it."""
    if ask.api is Api.GENERATE:
        return json.dumps({"text": [ask.prompt + said.decode()]}).encode()
    chat = ask.api is Api.CHAT
    border = min(form.reasoning_tokens, ask.max_tokens) * WORD_BYTES if chat else 0
    tool = chat and form.tool_call and border < len(said)
    before, between, after = _template(chat, head.model, border > 0, tool)
    body = b"".join((before, said[:border], between, said[border:], after))
    for gap, value in puts(ask, head):
        body = body.replace(gap, value)
    return gaps.put_counts(body, ask.prompt_tokens, ask.max_tokens)


@lru_cache(maxsize=16)
def _template(chat: bool, model: str, reasons: bool, tool: bool) -> tuple[bytes, bytes, bytes]:
    choice: dict[str, Any] = {"index": 0}
    if chat:
        choice["message"] = _message(reasons, tool)
    else:
        choice["text"] = gaps.SAID
    finish = "tool_calls" if tool else "length"
    choice |= {"logprobs": None, "finish_reason": finish, "stop_reason": None, "token_ids": None}
    counts = usage_object() | {"prompt_tokens_details": None}
    body = fields(chat, "chat.completion" if chat else "text_completion", model)
    parts = gaps.compact(body | {"choices": [choice], "system_fingerprint": FINGERPRINT, "usage": counts})
    *reasoning, before_said, after = parts.split(gaps.SPLIT)
    return (reasoning[0], before_said, after) if reasoning else (b"", before_said, after)


def _message(reasons: bool, tool: bool) -> dict[str, Any]:
    """A chat message; the reasoning stands before the content, as it does in time."""
    message: dict[str, Any] = {
        "role": "assistant",
        "reasoning": gaps.SAID if reasons else None,
        "content": None if tool else gaps.SAID,
        "refusal": None,
    }
    if tool:
        call = {"name": TOOL, "arguments": CALL_BEGINS + gaps.SAID + CALL_ENDS}
        message["tool_calls"] = [{"id": TOOL_ID, "type": "function", "function": call}]
    return message
