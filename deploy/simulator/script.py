"""Script: the events of one streamed answer, in vLLM's order and words, with gaps where its tokens go."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any

from . import gaps
from .ask import Api, Ask
from .form import Form, RoleChunk, UsageRule

FINGERPRINT = "vllm-slo-simulator"
DONE = b"data: [DONE]\n\n"
TOOL = "say"
TOOL_ID = "chatcmpl-tool-" + gaps.ID
FAILURE = "Internal server error"
# A tool's arguments are JSON within JSON: {"text": "..."}.
CALL_BEGINS, CALL_ENDS = '{"text":"', '"}'


class Part(IntEnum):
    """Which event of a stream: the words decide only whether it is reasoning, the place the rest."""

    REASONING = 0
    FIRST = 1
    MIDDLE = 2
    LAST = 3
    ONLY = 4  # first and last
    LAST_REASONING = 5


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that all objects of one answer share; `created` in Unix seconds."""

    request_id: str
    model: str
    created: int


@dataclass(frozen=True, slots=True)
class Template:
    """One shape of stream; `pieces` by Part are what stands before and after an event's words."""

    opening: bytes
    pieces: tuple[tuple[bytes, bytes], ...]
    closing: bytes
    failure: bytes


@dataclass(slots=True)
class Script:
    """A template with one answer's fields put in.

    `counts`: `after` of a piece still has gaps for the count of tokens. `cumulative`: each event repeats
    all words so far.
    """

    template: Template
    puts: tuple[tuple[bytes, bytes], ...]
    reasoning_tokens: int = 0
    counts: bool = False
    cumulative: bool = False
    opening: bytes = b""
    closing: bytes = b""
    failure: bytes = b""
    _pieces: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.opening = self._put(self.template.opening)
        self.closing = self._put(self.template.closing)
        self.failure = self._put(self.template.failure)

    def piece(self, part: Part) -> tuple[bytes, bytes]:
        """What stands before and after the words of such an event."""
        found = self._pieces.get(part)
        if found is None:
            before, after = self.template.pieces[part]
            found = self._pieces[part] = self._put(before), self._put(after)
        return found

    def _put(self, text: bytes) -> bytes:
        for gap, value in self.puts:
            text = text.replace(gap, value)
        return text


def stream_script(ask: Ask, head: Head, form: Form) -> Script:
    """The events of a streamed answer: the role (chat), the text, the usage if asked for, [DONE]."""
    if ask.api is Api.GENERATE:
        # vLLM's demo server: a line of JSON an event, prompt and all words so far in each
        prompt = ((gaps.inside(gaps.PROMPT), gaps.text(ask.prompt)),)
        return Script(_plain_template(), prompt, cumulative=True)
    chat = ask.api is Api.CHAT
    usage = _usage_rule(ask, form.usage)
    template = _template(
        chat, head.model, usage, chat and form.tool_call, form.role_chunk is not RoleChunk.OFF
    )
    reasoning = min(form.reasoning_tokens, ask.max_tokens) if chat else 0
    script = Script(template, puts(ask, head), reasoning, counts=usage is UsageRule.CONTINUOUS)
    script.closing = gaps.put_counts(script.closing, ask.prompt_tokens, ask.max_tokens)
    script.opening = gaps.put_counts(script.opening, ask.prompt_tokens, 0)
    return script


def puts(ask: Ask, head: Head) -> tuple[tuple[bytes, bytes], ...]:
    """What goes into the gaps of one answer's objects, but for the counts of tokens."""
    return (
        (gaps.inside(gaps.ID), gaps.text(head.request_id)),
        (gaps.number(gaps.CREATED), b"%d" % head.created),
        (gaps.number(gaps.PROMPT_TOKENS), b"%d" % ask.prompt_tokens),
    )


def fields(chat: bool, kind: str, model: str) -> dict[str, Any]:
    """An object's first fields; the id has vLLM's prefix."""
    prefix = "chatcmpl" if chat else "cmpl"
    return {"id": f"{prefix}-{gaps.ID}", "object": kind, "created": gaps.CREATED, "model": model}


def usage_object() -> dict[str, Any]:
    """The usage object."""
    return {
        "prompt_tokens": gaps.PROMPT_TOKENS,
        "total_tokens": gaps.TOTAL,
        "completion_tokens": gaps.TOKENS,
    }


def event(content: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + gaps.compact(content) + b"\n\n"


def _usage_rule(ask: Ask, rule: UsageRule) -> UsageRule:
    if rule is not UsageRule.ASKED:
        return rule
    if ask.continuous_usage:
        return UsageRule.CONTINUOUS
    return UsageRule.FINAL if ask.include_usage else UsageRule.NONE


def _failure() -> bytes:
    """The error event of vLLM, which still says [DONE] after it."""
    said = {"message": FAILURE, "type": "InternalServerError", "param": None, "code": 500}
    return event({"error": said})


@lru_cache(maxsize=64)
def _plain_template() -> Template:
    before, after = (gaps.compact({"text": [gaps.PROMPT + gaps.SAID]}) + b"\n").split(gaps.SPLIT)
    failure = gaps.compact({"error": FAILURE}) + b"\n"
    return Template(b"", ((before, after),) * len(Part), b"", failure)


@lru_cache(maxsize=64)
def _template(chat: bool, model: str, usage: UsageRule, tool: bool, role: bool) -> Template:
    shared = fields(chat, "chat.completion.chunk" if chat else "text_completion", model)
    fingerprint = {"system_fingerprint": FINGERPRINT}
    # the fingerprint is on the last event that is sent
    ending = {} if usage in {UsageRule.FINAL, UsageRule.CONTINUOUS} else fingerprint
    each = {"usage": usage_object()} if usage is UsageRule.CONTINUOUS else {}

    def piece(choice: dict[str, Any], last: bool) -> tuple[bytes, bytes]:
        more = (ending if last else {}) | each
        before, after = event(shared | {"choices": [choice]} | more).split(gaps.SPLIT)
        return before, after

    closing = DONE
    if not ending:
        closing = event({**shared, "choices": [], "usage": usage_object(), **fingerprint}) + DONE
    pieces = tuple(piece(_choice(chat, tool, part), part >= Part.LAST) for part in Part)
    opening = event(shared | {"choices": [_role()]} | each) if chat and role else b""
    return Template(opening, pieces, closing, _failure() + DONE)


def _role() -> dict[str, Any]:
    delta = {"role": "assistant", "content": ""}
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


def _choice(chat: bool, tool: bool, part: Part) -> dict[str, Any]:
    finish = None
    if part >= Part.LAST:
        finish = "tool_calls" if tool and part is not Part.LAST_REASONING else "length"
    said: dict[str, Any] = {"delta": _delta(tool, part)} if chat else {"text": gaps.SAID}
    stop = {"stop_reason": None} if finish or not chat else {}
    return {"index": 0} | said | {"logprobs": None, "finish_reason": finish} | stop | {"token_ids": None}


def _delta(tool: bool, part: Part) -> dict[str, Any]:
    if part in {Part.REASONING, Part.LAST_REASONING}:
        return {"reasoning": gaps.SAID}
    if not tool:
        return {"content": gaps.SAID}
    first, last = part in {Part.FIRST, Part.ONLY}, part in {Part.LAST, Part.ONLY}
    arguments = (CALL_BEGINS if first else "") + gaps.SAID + (CALL_ENDS if last else "")
    if first:
        function = {"name": TOOL, "arguments": arguments}
        return {"tool_calls": [{"id": TOOL_ID, "type": "function", "index": 0, "function": function}]}
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}
