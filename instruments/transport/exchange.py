"""One request and what became of it: the hot path keeps bytes and instants, all else is read later."""

from __future__ import annotations

from collections.abc import Callable

from instruments.clock import NANOSECONDS
from instruments.limits import RequestTimeouts
from instruments.loop import Timer
from instruments.records import Outcome, Request, RequestRecord
from instruments.transport.framing import MalformedResponse, ResponseFraming
from instruments.transport.openai import TokensSeen, interpret
from instruments.transport.stamps import ArrivalClock, Piece


class Exchange:
    """One request on its way. `ended` is called once, when it is over, however it ended."""

    __slots__ = (
        "_clock", "_lazy", "_raw", "_read_lag_ns", "_seen", "connect_ns", "dns_ns", "done_ns", "due_ns",
        "ended", "failure", "framing", "headers_ns", "last_read_ns", "left_ns", "request", "sent_ns", "text",
        "timer", "tls_ns", "user",
    )  # fmt: skip

    def __init__(
        self, request: Request, user: int, due_ns: int, ended: Callable[[Exchange], None], clock: ArrivalClock
    ) -> None:
        self.request = request
        self.user = user
        self.due_ns = due_ns
        self.ended = ended
        self.sent_ns: int | None = None
        self.headers_ns: int | None = None
        self.left_ns: int | None = None
        self.done_ns: int | None = None  # arrival of the last byte
        self.last_read_ns: int | None = None
        self.connect_ns: int | None = None
        self.tls_ns: int | None = None
        self.dns_ns: int | None = None
        self.failure: tuple[Outcome, str] | None = None
        self.framing = ResponseFraming()
        self.timer: Timer | None = None
        self.text = ""  # what was answered, for the next turn of a conversation; there after `record`
        self._clock = clock
        self._raw: list[Piece] = []
        self._lazy = False
        self._seen = TokensSeen(request) if request.cancel_after_tokens is not None else None
        self._read_lag_ns = 0

    def take(self, data: bytes, stamp: bytes | None, read_ns: int) -> bool:
        """Keep what came; True when the exchange may be over. The hot path: nothing is parsed here."""
        if self.last_read_ns is None:
            head, end, _ = data.partition(b"\r\n\r\n")
            self._lazy = bool(end) and self._seen is None and b"chunked" in head.lower()
        self._raw.append((data, stamp, read_ns))
        self.last_read_ns = read_ns
        # A chunked body ends in an empty line, which may come torn into pieces of less than five bytes. An
        # event ends in one too, of its own, within its chunk: the one piece that cannot be the last.
        return not (self._lazy and data[-3:] == b"\n\r\n" and data[-4:] != b"\r\n\r\n" and len(data) >= 5)

    def settled(self) -> bool:
        """Work through what was kept; True when the exchange is over."""
        return self.failure is not None or self._digest()

    def end_of_stream(self, reason: str, now_ns: int, *, orderly: bool) -> None:
        """The peer closed, or the connection broke."""
        if self._digest() or self.failure:
            return
        # Without a failure set here, a body that stopped in the middle is read as TRUNCATED.
        # A reset is nobody's good order, not even for a body that goes on until the peer closes.
        if orderly and self.framing.end_of_stream():
            self.done_ns = now_ns
        elif self.framing.status is None:
            self.fail(Outcome.FAILED, f"the connection was closed before an answer{reason}")

    def fail(self, outcome: Outcome, reason: str) -> None:
        """It did not end well; the first reason stands."""
        if self.failure is None and not self._digest():
            self.failure = (outcome, reason)

    def next_bound(self, bounds: RequestTimeouts) -> tuple[int, Outcome, str]:
        """The instant at which this exchange has waited for too long, and what for."""
        assert self.sent_ns is not None  # noqa: S101 - narrows a type
        waits = [
            (self.sent_ns, bounds.first_byte_s, Outcome.TIMED_OUT, "no byte of an answer")
            if self.last_read_ns is None
            else (self.last_read_ns, bounds.stall_s, Outcome.TIMED_OUT, "no further byte"),
            (self.sent_ns, bounds.total_s, Outcome.TIMED_OUT, "no complete answer"),
        ]
        if self.request.cancel_after_s is not None:
            waits.append((self.sent_ns, self.request.cancel_after_s, Outcome.CANCELLED, "the client left"))
        since_ns, bound_s, outcome, what = min(waits, key=lambda wait: wait[0] + wait[1] * NANOSECONDS)
        return since_ns + round(bound_s * NANOSECONDS), outcome, f"{what} within {bound_s:g} s"

    @property
    def whole(self) -> bool:
        """An answer of status 200 came to its end in good order; what it means is not known yet."""
        return self.failure is None and self.framing.complete and self.framing.status == 200

    def record(self, hide: Callable[[str], str]) -> RequestRecord:
        """Read all that was kept. Errors pass through `hide`, for servers quote the keys they refuse."""
        request, framing = self.request, self.framing
        answer = interpret(request, framing)
        if self.failure:
            answer.fail(*self.failure)
        self.text = answer.text if request.then is not None else ""
        return RequestRecord(
            index=request.index,
            request_id=request.request_id,
            user=self.user,
            phase=request.phase,
            outcome=answer.outcome,
            due_ns=self.due_ns,
            sent_ns=self.sent_ns,
            headers_ns=self.headers_ns,
            first_data_ns=answer.first_data_ns,
            first_token_ns=answer.chunks_ns[0] if answer.chunks_ns else None,
            last_token_ns=answer.chunks_ns[-1] if answer.chunks_ns else None,
            done_ns=self.done_ns,
            status=framing.status,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            finish_reason=answer.finish_reason,
            chunks_ns=tuple(answer.chunks_ns),
            chunk_tokens=tuple(answer.chunk_tokens) if answer.chunk_tokens else None,
            body_bytes=sum(len(piece) for _, piece in framing.pieces),
            connect_ns=self.connect_ns,
            tls_ns=self.tls_ns,
            dns_ns=self.dns_ns,
            text_sha256=answer.text_sha256,
            error=answer.error and hide(answer.error),
            scenario=request.scenario,
            turn=request.turn,
            prompt_tokens_asked=request.prompt_tokens_asked,
            raw_head=hide(answer.kept.decode("latin-1")) if answer.kept else None,
            left_ns=self.left_ns,
            read_lag_ns=self._read_lag_ns if self.last_read_ns is not None else None,
        )

    def _digest(self) -> bool:
        """Work through what was kept so far; True when the exchange is over."""
        raw, self._raw = self._raw, []
        framing, feed = self.framing, self.framing.feed
        for (data, _, read_ns), at_ns in zip(raw, self._clock.instants_ns(raw), strict=True):
            if read_ns - at_ns > self._read_lag_ns:
                self._read_lag_ns = read_ns - at_ns
            self.done_ns = at_ns
            try:
                if feed(data, at_ns):
                    self.headers_ns = at_ns
                    self._lazy = framing.chunked and self._seen is None
            except MalformedResponse as error:
                if self.headers_ns is None and framing.status is not None:
                    self.headers_ns = at_ns
                self.failure = self.failure or (Outcome.FAILED, f"malformed response: {error}")
                return True
        leave = self.request.cancel_after_tokens
        if (
            self._seen is not None
            and not framing.complete
            and raw
            and self._seen.count(framing) >= (leave or 0)
        ):
            self.failure = self.failure or (Outcome.CANCELLED, f"the client left after {leave} tokens")
            self.left_ns = self.done_ns
            return True
        return framing.complete
