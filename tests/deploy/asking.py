"""How the simulator's tests ask: whole requests, raw ones, and questions repeated until the answer is yes."""

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx

from tests.deploy.running import AUTH, Simulator

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "hello there world"}]  # 3 words + 8 of template = 11 prompt tokens
BOUND_S = 10.0


def post(sim: Simulator, path: str, **body: Any) -> httpx.Response:
    """The answer to a request with the key and the id abc."""
    return httpx.post(sim.url + path, json={"model": "tiny", **body}, headers=AUTH | {"X-Request-Id": "abc"})


def send(sim: Simulator, prompt: str, max_tokens: int) -> socket.socket:
    """A streamed completion asked for and not yet read; nothing is slower here than the server."""
    body = b'{"prompt":"%b","max_tokens":%d,"stream":true}' % (prompt.encode(), max_tokens)
    client = socket.create_connection(("127.0.0.1", sim.port), BOUND_S)
    client.sendall(
        b"POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer sk-test\r\n"
        b"Content-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    return client


def text_of(answer: httpx.Response) -> str:
    """What the model said, of an answer that was not streamed."""
    choice = answer.json()["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"])


def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Ask until it holds: what is waited for is the server's state, not a span of time."""
    deadline = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {BOUND_S} s"
        time.sleep(0.002)


def stands(sim: Simulator, name: str, at: float) -> bool:
    """Whether the metric called `name` stands at that value."""
    return sim.metric(name) == at
