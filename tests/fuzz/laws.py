"""What must be true of the reading of any bytes at all, and of those of a sound answer besides."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from instruments.records import Outcome, Request
from instruments.transport.answers import ERROR_TEXT_LIMIT, Answer
from instruments.transport.framing import RAW_HEAD_LIMIT, MalformedResponse, ResponseFraming
from instruments.transport.openai import TokensSeen, interpret
from tests.fuzz.answers import Truth
from tests.fuzz.wire import Case

# Many times what any input of a few kilobytes needs: only a blow-up reaches it.
CPU_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of the bytes."""

    answer: Answer
    framing: ResponseFraming

    def facts(self) -> tuple[Any, ...]:
        """All but instants, and but what was kept of malformed bytes, which ends where they ended."""
        one, framing = self.answer, self.framing
        return (
            (one.outcome, one.error, one.prompt_tokens, one.completion_tokens, one.finish_reason, one.ended),
            (one.text, one.reasoning, len(one.chunks_ns), one.chunk_tokens),
            (one.text_sha256, one.first_data_ns is None, framing.malformed or one.kept),
            (framing.status, framing.head, framing.complete, framing.keep_alive, framing.surplus),
            sum(len(piece) for _, piece in framing.pieces),
        )

    def instants(self) -> tuple[int | None, ...]:
        return (self.answer.first_data_ns, *self.answer.chunks_ns)


def read(
    request: Request, pieces: list[bytes], *, closes: bool, instants: list[int] | None = None
) -> Reading:
    """As the hot path does it: feed until the response is complete or malformed, then interpret."""
    framing = ResponseFraming()
    try:
        for at_ns, piece in zip(instants or range(len(pieces)), pieces, strict=True):
            framing.feed(piece, at_ns)
    except MalformedResponse:
        pass
    else:
        if closes:
            framing.end_of_stream()
    return Reading(interpret(request, framing), framing)


def check(case: Case, random: Random) -> None:
    """Raise AssertionError, or whatever the code raised, when a law is broken."""
    began = time.process_time()
    whole = read(case.request, [case.wire], closes=case.closes)
    _well_formed(whole)
    pieces = cut(random, case.wire)
    parts = read(case.request, pieces, closes=case.closes)
    assert parts.facts() == whole.facts(), "the same bytes in other pieces"
    assert list(parts.answer.chunks_ns) == sorted(parts.answer.chunks_ns), "instants go backwards"
    _kept_alike(whole.answer.kept, parts.answer.kept)
    if random.random() < 0.02:
        _instants(case, pieces, parts)
        _tokens_seen(case, pieces)
    if case.truth is not None:
        _true(case.truth, whole.answer)
    assert time.process_time() - began < CPU_LIMIT_S, "it took too long"


def cut(random: Random, wire: bytes) -> list[bytes]:
    """The same bytes in pieces: a few anywhere, or all of one size, or one a chunk as sockets give them."""
    way = random.random()
    if way < 0.4:
        cuts = sorted(random.choices(range(len(wire) + 1), k=random.randint(1, 6)))
    elif way < 0.6:
        cuts = list(range(0, len(wire), random.choice((7, 31, 64, 257))))
    else:
        cuts = [at + 2 for at in range(len(wire) - 1) if wire.startswith(b"\n\r\n", at)]
        cuts = [at + 1 for at in cuts]
    return [wire[a:b] for a, b in pairwise([0, *cuts, len(wire)])]


def _well_formed(reading: Reading) -> None:
    one = reading.answer
    assert (one.error is None) == (one.outcome is Outcome.COMPLETED)
    assert one.error is None or (len(one.error) <= ERROR_TEXT_LIMIT and "\n" not in one.error)
    assert one.kept is None or (len(one.kept) <= RAW_HEAD_LIMIT and one.outcome is not Outcome.COMPLETED)
    assert one.finish_reason is None or isinstance(one.finish_reason, str)
    assert one.text_sha256 is None or len(one.text_sha256) == 64
    for count in (one.prompt_tokens, one.completion_tokens):
        assert count is None or (type(count) is int and count >= 0)
    if one.chunk_tokens is not None:
        assert len(one.chunk_tokens) == len(one.chunks_ns)
        assert min(one.chunk_tokens, default=1) > 0
        assert sum(one.chunk_tokens) == one.completion_tokens
    if one.outcome is Outcome.COMPLETED:
        assert reading.framing.complete
        assert reading.framing.status == 200


def _kept_alike(one: bytes | None, other: bytes | None) -> None:
    assert bool(one) == bool(other)
    if one is not None and other is not None:
        assert one.startswith(other) or other.startswith(one), "other bytes were kept"


def _instants(case: Case, pieces: list[bytes], parts: Reading) -> None:
    """Byte by byte every instant is an offset: in pieces it is that of the piece with this offset."""
    each = [case.wire[at : at + 1] for at in range(len(case.wire))]
    exact = read(case.request, each, closes=case.closes)
    assert exact.facts() == parts.facts(), "byte by byte"
    piece_of = [number for number, piece in enumerate(pieces) for _ in piece]
    told = tuple(None if at is None else piece_of[at] for at in exact.instants())
    assert told == parts.instants(), "an instant is not that of the piece that ended the event"


def _tokens_seen(case: Case, pieces: list[bytes]) -> None:
    """Counted while it comes: never less than before, and at the end as many as are found in all of it."""
    framing, counter, seen = ResponseFraming(), TokensSeen(case.request), 0
    try:
        for at_ns, piece in enumerate(pieces):
            framing.feed(piece, at_ns)
            now = counter.count(framing)
            assert now >= seen or framing.malformed, "tokens went away"
            seen = now
    except MalformedResponse:
        seen = counter.count(framing)
    assert seen == TokensSeen(case.request).count(framing), "counted in pieces, counted in one go"


def _true(truth: Truth, answer: Answer) -> None:
    assert answer.outcome is Outcome.COMPLETED, answer.error
    assert answer.text == _proper(truth.said), "text"
    assert answer.reasoning == _proper(truth.thought), "reasoning"
    assert len(answer.chunks_ns) == truth.chunks, "chunks"
    assert answer.completion_tokens == truth.completion_tokens, "tokens"
    told = None if answer.chunk_tokens is None else tuple(answer.chunk_tokens)
    assert told == truth.chunk_tokens, "tokens of each chunk"


def _proper(text: str) -> str:
    """Two halves of a surrogate pair are one character; one half alone is none."""
    paired = re.sub("[\ud800-\udbff][\udc00-\udfff]", lambda two: _character(two[0]), text)
    return re.sub("[\ud800-\udfff]", "\ufffd", paired)


def _character(pair: str) -> str:
    high, low = (ord(half) for half in pair)
    return chr(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00)
