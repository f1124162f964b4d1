"""Relay: the way back, from the engine to the client, without buffering and without a false success."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from starlette.types import Send

from deploy.gateway.account import Account, UpstreamError
from deploy.gateway.envelope import error_event, send_error
from deploy.gateway.tail import Tail
from deploy.gateway.upstream import headers_for_client

Headers = Sequence[tuple[bytes, bytes]]
RETRY_SOON = (b"retry-after", b"1")


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

    async def forward(self, response: httpx.Response) -> None:
        """Pass on status, headers, and each piece of the body as it comes. Raises httpx errors."""
        account = self.account
        account.is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        headers = headers_for_client(response, account.is_stream)
        self._started = True
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        if response.status_code >= 500:
            account.blame_upstream("status_5xx")
        tail = await self._forward_body(response)
        self._conclude(tail, response.status_code)

    async def _forward_body(self, response: httpx.Response) -> Tail:
        send, account, tail = self._send, self.account, Tail()
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101  an async client gives no other
        async for chunk in response.stream:  # what `aiter_raw` yields, two generators cheaper
            if account.ttft_s is None:
                account.ttft_s = time.perf_counter() - account.started_s
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            tail.add(chunk)
        return tail

    def _conclude(self, tail: Tail, status: int) -> None:
        """Read the truth off the end of a complete answer."""
        if self.account.is_stream:
            ending = tail.stream_ending()
            if ending != "done":
                self.account.blame_upstream("in_stream" if ending == "error" else "no_done")
        usage = tail.usage() if status == httpx.codes.OK else None
        if usage:
            self.account.prompt_tokens = usage.prompt_tokens
            self.account.completion_tokens = usage.completion_tokens

    def fail(self, status: int, message: str, headers: Headers = ()) -> None:
        """Note that the answer failed, for `finish` to say."""
        self._failure = _Failure(status, message, headers)

    def fail_by_upstream(self, error: httpx.TransportError) -> None:
        """Note that the upstream failed, and which way."""
        kind: UpstreamError
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            kind = "unreachable"
            self.fail(503, "The engine cannot be reached.", [RETRY_SOON])
        elif isinstance(error, httpx.TimeoutException):
            kind = "timeout"
            self.fail(504, "The engine did not answer in time.")
        else:
            kind = "cut_short" if self._started else "disconnected"
            self.fail(502, "The engine closed the connection before its answer was complete.")
        self.account.blame_upstream(kind)

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
