"""What the bytes of an answer mean: outcome, tokens, usage. Runs once the answer is complete.

Chat and completions are read here, streamed or not; `generate` reads the plain API of simple servers.
"""

from __future__ import annotations

from instruments.records import GENERATE_PATH, Outcome, Request
from instruments.transport import generate
from instruments.transport.answers import ERROR_TEXT_LIMIT, Answer, error_of, error_text, is_error
from instruments.transport.framing import RAW_HEAD_LIMIT, ResponseFraming
from instruments.transport.json_text import UNREADABLE, loads
from instruments.transport.streams import Stream, finish_of, parts_of, take_usage

__all__ = ["ERROR_TEXT_LIMIT", "Answer", "TokensSeen", "interpret", "refusal", "tokens_seen"]
STOPPED = "the answer stopped before its end"


def interpret(request: Request, framing: ResponseFraming) -> Answer:
    """Read a complete (or cut) response. Whatever the bytes are, the result is an Answer."""
    answer = Answer()
    if framing.status is None:
        answer.fail(Outcome.FAILED, "the answer has no status line")
    elif framing.status != 200:
        said = _encoded(framing) or error_text(_body(framing))
        answer.fail(refusal(framing.status), f"HTTP {framing.status}: {said}")
    elif encoded := _encoded(framing):
        answer.fail(Outcome.FAILED, encoded)
    elif request.stream:
        _read_stream(answer, request, framing)
    elif not framing.complete:
        answer.fail(Outcome.TRUNCATED, STOPPED)
    else:
        _read_document(answer, request, framing)
    if framing.malformed is not None:
        answer.kept = framing.raw_head
        answer.fail(Outcome.FAILED, f"malformed response: {framing.malformed}")
    return answer


def refusal(status: int) -> Outcome:
    """The outcome of an answer other than 200."""
    if status == 429:
        return Outcome.RATE_LIMITED
    if 400 <= status < 500 or status == 503:
        return Outcome.REFUSED
    return Outcome.FAILED


class TokensSeen:
    """Counts the tokens of an answer that is still coming; reads each byte once.

    Exact where the server tells the count with each chunk; without that, a chunk that carries generated
    text is one token, for nothing tells that it is more.
    """

    __slots__ = ("_generated", "_read", "_stream")

    def __init__(self, request: Request) -> None:
        plain = request.path == GENERATE_PATH
        self._generated = generate.Generated(request, Answer()) if plain else None
        self._stream = Stream(Answer())
        self._read = 0

    def count(self, framing: ResponseFraming) -> int:
        """Tokens in all that the framing has by now; 0 for what is no stream of tokens."""
        fresh, self._read = framing.pieces[self._read :], len(framing.pieces)
        if self._generated is not None:
            self._generated.take(fresh)
            return len(self._generated.answer.chunks_ns)
        self._stream.take(fresh)
        return max(len(self._stream.answer.chunks_ns), self._stream.told)


def tokens_seen(request: Request, framing: ResponseFraming) -> int:
    """The tokens in what there is of an answer, counted once; see `TokensSeen`."""
    return TokensSeen(request).count(framing)


def _read_stream(answer: Answer, request: Request, framing: ResponseFraming) -> None:
    if request.path == GENERATE_PATH:
        generated = generate.Generated(request, answer)
        generated.take(framing.pieces)
        whole = framing.complete and generated.end()
    else:
        stream = Stream(answer)
        stream.take(framing.pieces)
        stream.settle_counts()
        whole = framing.complete and answer.ended and stream.finished
    if answer.outcome is not Outcome.COMPLETED or whole:
        return
    kind = framing.head.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
    if framing.complete and answer.first_data_ns is None and kind != "text/event-stream":
        # A gateway's error or log-in page under HTTP 200, or a server that does not stream.
        body = _body(framing)
        answer.kept = body[:RAW_HEAD_LIMIT]
        answer.fail(Outcome.FAILED, f"no stream came but {kind[:40]}: {error_text(body)}")
    else:
        answer.fail(Outcome.TRUNCATED, STOPPED)


def _read_document(answer: Answer, request: Request, framing: ResponseFraming) -> None:
    body = _body(framing)
    answer.first_data_ns = framing.pieces[0][0] if framing.pieces else None
    try:
        document = loads(body)
        if is_error(document):
            answer.fail(Outcome.FAILED, f"error body under HTTP 200: {error_of(document)}")
            return
        take_usage(answer, document)
        if request.path == GENERATE_PATH:
            generate.read_document(answer, request, document)
            return
        choices = document["choices"]
        answer.finish_reason = finish_of(choices[0])
        for number, choice in enumerate(choices):
            said, thought, calls = parts_of(choice)
            answer.generated.append(thought + said + calls)
            if number == 0:
                answer.said.append(said)
                answer.thought.append(thought)
    except UNREADABLE as error:
        answer.fail_unreadable(body, error)


def _body(framing: ResponseFraming) -> bytes:
    return b"".join([piece for _, piece in framing.pieces])


def _encoded(framing: ResponseFraming) -> str | None:
    coding = framing.head.get("content-encoding", "").lower()
    if coding in ("", "identity"):
        return None
    return f"the answer is {coding[:40]}-encoded although identity was asked"
