"""The plain /generate of simple servers, as vLLM's demonstration server speaks it.

An answer is {"text": [prompt + output, …]}; a stream is a row of such objects, each with all of the text so
far, ended by a line feed (by a NUL before vLLM 0.6.2). Counts and finish reasons are not told, so a stream
is whole when its HTTP body is. Source: vllm/entrypoints/api_server.py.
"""

from __future__ import annotations

from typing import Any

from instruments.records import Outcome, Request
from instruments.transport.answers import Answer, error_of, is_error
from instruments.transport.json_text import UNREADABLE, loads
from instruments.transport.sse import Lines


class Generated:
    """Reads the objects of a stream into an answer, in one go or as they come. Never raises for them."""

    __slots__ = ("_last_ns", "_lines", "_prompt", "_so_far", "answer")

    def __init__(self, request: Request, answer: Answer) -> None:
        self.answer = answer  # its `chunk_tokens` stay unknown: nothing tells how many an object adds
        self._prompt = _prompt_of(request)
        self._lines = Lines()
        self._so_far: list[str] = []
        self._last_ns = 0

    def take(self, pieces: list[tuple[int, bytes]]) -> None:
        """Read (instant_ns, bytes) of the body. An object's instant is that of the end of its line."""
        for at_ns, piece in pieces:
            self._last_ns = at_ns
            for line in self._lines.feed(piece.replace(b"\0", b"\n")):
                self._object(at_ns, line)

    def end(self) -> bool:
        """The body is over: an object may be without a line's end. True when there was any object."""
        self._object(self._last_ns, self._lines.rest)
        return self.answer.first_data_ns is not None

    def _object(self, at_ns: int, line: bytes) -> None:
        answer = self.answer
        if answer.kept is not None or not line.strip():
            return
        if answer.first_data_ns is None:
            answer.first_data_ns = at_ns
        try:
            document = loads(line)
            if is_error(document):
                answer.fail(Outcome.FAILED, f"error object: {error_of(document)}")
                return
            texts = _texts_of(document, self._prompt)
        except UNREADABLE as error:
            answer.fail_unreadable(line, error)
            return
        if texts != self._so_far and any(texts):
            answer.chunks_ns.append(at_ns)
        self._so_far = answer.generated = texts
        answer.said = texts[:1]


def read_document(answer: Answer, request: Request, document: dict[str, Any]) -> None:
    """Read an answer that is not streamed. Raises what JSON of another shape makes raise."""
    texts = _texts_of(document, _prompt_of(request))
    answer.said = texts[:1]
    answer.generated = texts


def _prompt_of(request: Request) -> str:
    prompt = request.body.get("prompt")
    return prompt if isinstance(prompt, str) else ""


def _texts_of(document: dict[str, Any], prompt: str) -> list[str]:
    """The outputs, without the prompt where the server repeats it."""
    texts = document["text"]
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not texts:
        raise ValueError(f"text is {str(texts)[:40]}")
    return [text.removeprefix(prompt) for text in texts]
