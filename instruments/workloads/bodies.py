"""What a request's body says, for each of the three APIs."""

from __future__ import annotations

from typing import Any, Literal

from instruments.records import CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH

Api = Literal["chat", "completions", "generate"]
Message = dict[str, Any]

PATHS: dict[Api, str] = {"chat": CHAT_PATH, "completions": COMPLETIONS_PATH, "generate": GENERATE_PATH}


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def body(
    api: Api, model: str, prompt: str | list[Message], output_tokens: int, *, stream: bool
) -> dict[str, Any]:
    """The body of a request for exactly so many tokens; a chat's prompt may be a list of messages.

    `ignore_eos` is vLLM's: without it, a model that ends early makes an answer's length a matter of chance.
    """
    asked: dict[str, Any] = {"max_tokens": output_tokens, "temperature": 0, "ignore_eos": True}
    if api == "generate":
        return asked | {"stream": stream, "prompt": prompt}
    asked = {"model": model} | asked
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    if api == "completions":
        return asked | {"prompt": prompt}
    return asked | {"messages": [user_message(prompt)] if isinstance(prompt, str) else prompt}
