"""Frames: the bytes that a stream writes for its chunks, cheap to make at the instant they are due."""

from . import gaps
from .script import Part, Script
from .wire import LAST_CHUNK, chunk
from .words import WORD_BYTES


class Frames:
    """Chunks of one stream: chunk c says the words up to token ends[c].

    `total` is the count of tokens of the whole answer: the chunk that reaches it ends the stream. An
    answer that a fault cuts short never reaches it.
    """

    __slots__ = ("_chunked", "_ends", "_from", "_lead", "_prompt_tokens", "_said", "_script", "_tail",
                 "_total", "_until")  # fmt: skip

    def __init__(
        self,
        script: Script,
        said: bytes,
        ends: list[int],
        total: int,
        prompt_tokens: int,
        chunked: bool,
    ) -> None:
        self._script = script
        self._said = said
        self._ends = ends
        self._total = total
        self._prompt_tokens = prompt_tokens
        self._chunked = chunked
        self._from, self._until, self._lead, self._tail = 0, 0, b"", b""
        if not script.counts and not script.cumulative:
            self._prepare()

    def _prepare(self) -> None:
        """The chunks that differ in nothing but their words: of the middle, all of one length."""
        ends = self._ends
        start = 1
        while start < len(ends) and ends[start - 1] <= self._script.reasoning_tokens:
            start += 1  # so that the first chunk after the reasoning is not among them
        stop = len(ends) - 1
        if stop - start < 2:
            return
        size = (ends[start] - ends[start - 1]) * WORD_BYTES
        if (ends[stop - 1] - ends[start - 1]) * WORD_BYTES != size * (stop - start):
            return
        before, after = self._script.piece(Part.MIDDLE)
        self._from, self._until = start, stop
        if self._chunked:
            self._lead = b"%x\r\n%b" % (len(before) + size + len(after), before)
            self._tail = after + b"\r\n"
        else:
            self._lead, self._tail = before, after

    def __call__(self, first: int, upto: int) -> bytes:
        """What chunks `first` to `upto` - 1 write."""
        ends = self._ends
        if self._from <= first < self._until and upto == first + 1:
            return (
                self._lead + self._said[ends[first - 1] * WORD_BYTES : ends[first] * WORD_BYTES] + self._tail
            )
        data = b"".join([self._event(number) for number in range(first, upto)])
        if first == 0:
            data = self._script.opening + data
        ended = ends[upto - 1] == self._total
        if ended:
            data += self._script.closing
        if not self._chunked:
            return data
        return chunk(data) + LAST_CHUNK if ended else chunk(data)

    def failure(self) -> bytes:
        """What is written in place of the rest when the answer fails."""
        return chunk(self._script.failure) + LAST_CHUNK if self._chunked else self._script.failure

    def _event(self, number: int) -> bytes:
        start, end = self._ends[number - 1] if number else 0, self._ends[number]
        script = self._script
        before, after = script.piece(self._part(start, end))
        if script.counts:
            after = gaps.put_counts(after, self._prompt_tokens, end)
        if script.cumulative:
            start = 0
        return before + self._said[start * WORD_BYTES : end * WORD_BYTES] + after

    def _part(self, start: int, end: int) -> Part:
        last = end == self._total
        if end <= self._script.reasoning_tokens:
            return Part.LAST_REASONING if last else Part.REASONING
        if start == self._script.reasoning_tokens:
            return Part.ONLY if last else Part.FIRST
        return Part.LAST if last else Part.MIDDLE
