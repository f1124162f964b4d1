"""The events of a streamed chat or completion: which carry tokens, how many, and what they say.

A token is whatever was generated: content, reasoning, names and arguments of tool calls, or a rise of the
count that the server tells. A chunk that only names the role is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from instruments.records import Outcome
from instruments.transport.answers import Answer, count_of, error_of, is_error
from instruments.transport.json_text import UNREADABLE, loads
from instruments.transport.repeats import NO_PATTERN, Pattern, is_plain, learn
from instruments.transport.sse import Events

DONE = b"[DONE]"


class Stream:
    """Reads events into an answer, in one go or as they come. Never raises for what they say."""

    __slots__ = (
        *("_begun", "_counts", "_events", "_finished", "_lessons", "_pattern", "_per_chunk", "_totals"),
        *("answer", "told"),
    )

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.told = 0  # the most tokens that the server told of
        self._events = Events()
        self._counts: list[int] = []  # tokens of each chunk; 0 where the server did not tell
        self._totals: dict[int, int] = {}  # tokens of each choice so far, where the server tells them
        self._per_chunk = True  # it has told them with each chunk so far
        self._begun: set[int] = set()  # choices that were seen
        self._finished: set[int] = set()  # those that have a finish reason
        self._pattern: Pattern = NO_PATTERN
        self._lessons = 4  # times that a pattern may be looked for: learning costs as much as two events

    @property
    def finished(self) -> bool:
        """Every choice that began has its finish reason."""
        return bool(self._finished) and self._finished >= self._begun

    def take(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Read (instant_ns, bytes) of the body, up to an event that cannot be understood."""
        answer = self.answer
        arrived, generated, counts = answer.chunks_ns.append, answer.generated.append, self._counts.append
        before, after, begin, end, told = self._expected()
        for at_ns, piece in pieces:
            # Nearly every piece is the one before it with other text: that need not be parsed again.
            if piece.startswith(before) and piece.endswith(after):
                text = str(piece[begin:end], "utf-8", "surrogateescape")  # an invalid byte is not printable
                if text and text.isprintable() and '"' not in text and "\\" not in text:
                    arrived(at_ns)
                    generated(text)
                    told(text)
                    counts(0)
                    continue
            self._piece(at_ns, piece)
            if self._pattern is not NO_PATTERN:
                before, after, begin, end, told = self._expected()

    def _piece(self, at_ns: int, piece: bytes) -> None:
        """A piece of any other kind: several events, parts of some, or something new."""
        answer = self.answer
        found = self._events.feed(piece)
        for data in found:
            if answer.kept is not None:
                return
            if len(found) > 1 and (text := self._pattern.text_of(data)):
                self._append(at_ns, text, None)
                (answer.thought if self._pattern.reasoning else answer.said).append(text)
                continue
            try:
                self._event(at_ns, data)
            except UNREADABLE as error:
                answer.fail_unreadable(data, error)

    def _expected(self) -> tuple[bytes, bytes, int, int, Callable[[str], None]]:
        """The pattern that the next piece may have: its two ends, where its text is, and where that goes."""
        pattern = self._pattern if self._events.between and self.answer.kept is None else NO_PATTERN
        told = self.answer.thought if pattern.reasoning else self.answer.said
        return pattern.before, pattern.after, len(pattern.before), -len(pattern.after), told.append

    def settle_counts(self) -> None:
        """One token a chunk where the totals prove it; the server's own counts where told; else unknown."""
        counts, total = self._counts, self.answer.completion_tokens
        if total is None or self.answer.kept is not None:
            return
        if sum(counts) == total and all(count > 0 for count in counts):
            self.answer.chunk_tokens = counts
        elif not any(counts) and len(counts) == total:
            self.answer.chunk_tokens = [1] * total

    def _append(self, at_ns: int, text: str, risen: int | None) -> None:
        self.answer.chunks_ns.append(at_ns)
        self.answer.generated.append(text)
        self._counts.append(risen or 0)

    def _event(self, at_ns: int, data: bytes) -> None:
        if not data or data.isspace():  # what some proxies send to keep a connection alive
            return
        answer = self.answer
        if answer.first_data_ns is None:
            answer.first_data_ns = at_ns
        if data == DONE:
            answer.ended = True
            return
        event = loads(data)
        if is_error(event):  # comes under HTTP 200, and vLLM even sends [DONE] after it
            answer.fail(Outcome.FAILED, f"error event: {error_of(event)}")
            return
        choices, usage = event.get("choices"), event.get("usage")
        total = take_usage(answer, event) if usage else None
        if not choices:
            self.told = max(self.told, total or 0)
            return
        text = self._choice(choices[0])
        if len(choices) > 1:
            text += "".join([self._choice(choice) for choice in choices[1:]])
        risen = self._risen(choices, total) if total is not None else None
        self._per_chunk = self._per_chunk and not (text and risen is None)
        # A total that is told only at the end is no new token.
        if text or (self._per_chunk and (risen or 0) > 0):
            self._append(at_ns, text, risen)
            if risen is None and self._lessons and is_plain(text):
                self._lessons -= 1
                self._pattern = learn(event, data, text) or self._pattern

    def _choice(self, choice: dict[str, Any]) -> str:
        """Everything that this part of a choice carries."""
        said, thought, calls = parts_of(choice)
        text = thought + said + calls  # before anything is kept: it raises for what is no text
        index = choice.get("index") or 0
        self._begun.add(index)
        if finish := finish_of(choice):
            self._finished.add(index)
            if index == 0 or self.answer.finish_reason is None:
                self.answer.finish_reason = finish
        if index == 0:
            if said:
                self.answer.said.append(said)
            if thought:
                self.answer.thought.append(thought)
        return text

    def _risen(self, choices: list[dict[str, Any]], total: int) -> int:
        """By how much the count of the choice rose that this event is about."""
        key = choices[0].get("index") or 0 if len(choices) == 1 else -1
        risen = total - self._totals.get(key, 0)
        self._totals[key] = total
        if len(self._totals) > 1:
            total = self.answer.completion_tokens = sum(self._totals.values())
        self.told = max(self.told, total)
        return risen


def parts_of(choice: dict[str, Any]) -> tuple[str, str, str]:
    """Text, reasoning and tool calls of a choice of chat, streamed or not; text of completions."""
    part = choice.get("delta")
    if part is None:
        part = choice.get("message")
    if part is None:
        return choice.get("text") or "", "", ""
    said = part.get("content") or ""
    thought = part.get("reasoning") or part.get("reasoning_content") or ""
    calls = part.get("tool_calls")
    return said, thought, "".join(_call(call) for call in calls) if calls else ""


def finish_of(choice: dict[str, Any]) -> str | None:
    """Why a choice ended; None while it goes on. Raises TypeError for what is no word."""
    finish = choice.get("finish_reason") or None
    if finish is not None and not isinstance(finish, str):
        raise TypeError(f"finish_reason is {str(finish)[:40]}")
    return finish


def take_usage(answer: Answer, document: dict[str, Any]) -> int | None:
    """Take the counts that are told; returns that of the completion. Raises ValueError for what is none."""
    usage = document.get("usage")
    if not usage:
        return None
    prompt = count_of(usage.get("prompt_tokens"), "prompt_tokens")
    completion = count_of(usage.get("completion_tokens"), "completion_tokens")
    if prompt is not None:
        answer.prompt_tokens = prompt
    if completion is not None:
        answer.completion_tokens = completion
    return completion


def _call(call: dict[str, Any]) -> str:
    """What the model wrote of a tool call. Its id and type are the server's."""
    function = call.get("function") or {}
    return (function.get("name") or "") + (function.get("arguments") or "")
