"""Relay: the way back, from the engine to the client, without buffering and without a false success."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import Send

from deploy.gateway import upstream_headers
from deploy.gateway.account import Account
from deploy.gateway.envelope import error_event, send_error
from deploy.gateway.first_token import FirstToken
from deploy.gateway.tail import Tail
from deploy.gateway.upstream import Answer
from deploy.gateway.wire import ReplicaFailed

Headers = Sequence[tuple[bytes, bytes]]
RETRY_SOON = (b"retry-after", b"1")
# Their streams say [DONE]; those of responses and messages end with an event of their own, and may be long.
_SAY_DONE = frozenset({"/v1/chat/completions", "/v1/completions", "/generate"})


@dataclass(frozen=True)
class _Failure:
    status: int
    message: str
    headers: Headers


class Relay:
    """One answer on its way to one client: `forward`, `fail` if it failed, then `finish`."""

    def __init__(self, account: Account, send: Send) -> None:
        self.account = account
        self._send = send
        self._started = False
        self._failure: _Failure | None = None

    async def forward(self, answer: Answer) -> None:
        """Pass on status, headers, and each piece of the body as it comes. Raises ReplicaFailed."""
        account = self.account
        account.is_stream = answer.is_stream
        headers = upstream_headers.for_client(answer.status, answer.headers, answer.is_stream)
        self._started = True
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if answer.status >= 500:
            account.blame_upstream("status_5xx")
        tail = await self._forward_body(answer)
        self._conclude(tail, answer.status)

    async def _forward_body(self, answer: Answer) -> Tail:
        send, tail = self._send, Tail()
        first = FirstToken()
        first.given_up = not answer.is_stream
        while chunk := await answer.read():
            if first.wanted:
                self._look_for_first_token(first, chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            tail.add(chunk)
        return tail

    def _look_for_first_token(self, first: FirstToken, chunk: bytes) -> None:
        account = self.account
        if first.add(chunk):
            account.ttft_s = time.perf_counter() - account.started_s
        if account.model is None:
            account.model = first.model

    def _conclude(self, tail: Tail, status: int) -> None:
        """Read the truth off the end of a complete answer."""
        if self.account.is_stream:
            ending = tail.stream_ending()
            if ending == "error":
                self.account.blame_upstream("in_stream")
            elif ending == "unfinished" and self.account.endpoint in _SAY_DONE:
                self.account.blame_upstream("no_done")
        usage = tail.usage() if status == 200 else None
        if usage:
            self.account.prompt_tokens = usage.prompt_tokens
            self.account.completion_tokens = usage.completion_tokens

    def fail(self, status: int, message: str, headers: Headers = ()) -> None:
        """Note that the answer failed, for `finish` to say."""
        self._failure = _Failure(status, message, headers)

    def fail_by_upstream(self, failure: ReplicaFailed) -> None:
        """Note that the upstream failed, and which way."""
        if failure.kind == "unreachable":
            self.fail(503, "The engine cannot be reached.", [RETRY_SOON])
        elif failure.kind == "timeout":
            self.fail(504, "The engine did not answer in time.")
        else:
            self.fail(502, "The engine closed the connection before its answer was complete.")
        self.account.blame_upstream(failure.kind)

    async def finish(self) -> None:
        """End the answer: in good order, or by saying that it failed in the one way that is still open.

        Before the status line: an answer of our own. In an event stream: an error event, and an end without
        [DONE]. In any other body: nothing; the server then closes the connection, and the client sees a body
        cut short.
        """
        failure = self._failure
        if failure is None:
            await self._send({"type": "http.response.body", "body": b""})
        elif not self._started:
            await send_error(self._send, failure.status, failure.message, failure.headers)
        elif self.account.is_stream:
            event = error_event(failure.status, failure.message)
            await self._send({"type": "http.response.body", "body": event})
