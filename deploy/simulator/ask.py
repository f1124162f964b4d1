"""Ask: a generation request read from a body and checked as vLLM 0.32 checks it, with the same answers when
it is wrong.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .refusal import bad_shape, bad_value, envelope

TEMPLATE_TOKENS = 8  # what a chat template costs here, whatever the messages
COMPLETION_DEFAULT = 16
CHAT_DEFAULT = 128  # vLLM would fill the context; a bound keeps a forgotten max_tokens from holding a slot


class Api(StrEnum):
    """The ways to ask."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    GENERATE = "generate"


@dataclass(frozen=True, slots=True)
class Ask:
    """What to generate: counts in tokens, `prompt` the text that decides the words."""

    api: Api
    prompt: str
    prompt_tokens: int
    max_tokens: int
    stream: bool
    include_usage: bool
    continuous_usage: bool


def read_ask(api: Api, body: bytes, model: str, max_model_len: int) -> Ask:
    """The request in `body`; raises Refusal with vLLM's own answer."""
    given = _json_object(body)
    if api is Api.GENERATE:
        return _plain(given, max_model_len)
    chat = api is Api.CHAT
    stream = _boolean(given, "stream")
    options = _stream_options(given, stream)
    _check_sampling(given)
    prompt, prompt_tokens = _conversation(given) if chat else _prompt(given)
    _check_model(given, model)
    return Ask(
        api=api,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=_output_bound(given, chat, prompt_tokens, max_model_len),
        stream=stream,
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("include_usage") and options.get("continuous_usage_stats")),
    )


def _plain(given: Mapping[str, Any], max_model_len: int) -> Ask:
    """A request of vLLM's demo server: a prompt, `stream`, and fields of SamplingParams, of which only
    `max_tokens` counts here.
    """
    prompt = given.get("prompt")
    if not isinstance(prompt, str):
        raise bad_shape("string_type", "body.prompt", "Input should be a valid string", prompt)
    _, prompt_tokens = _prompt(given)
    return Ask(
        api=Api.GENERATE,
        prompt=prompt,
        prompt_tokens=prompt_tokens,
        max_tokens=_output_bound(given, False, prompt_tokens, max_model_len),
        stream=_boolean(given, "stream"),
        include_usage=False,
        continuous_usage=False,
    )


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise bad_shape("missing", "body", "Field required", None)
    try:
        given = json.loads(body)
    except json.JSONDecodeError as error:
        raise bad_shape("json_invalid", f"body.{error.pos}", f"JSON decode error: {error.msg}", {}) from None
    except (ValueError, RecursionError):  # no UTF-8, more digits than Python reads, too deep
        raise bad_shape("json_invalid", "body", "There was an error parsing the body", {}) from None
    if not isinstance(given, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise bad_shape("model_attributes_type", "body", message, given)
    return given


def _boolean(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_shape(
            "bool_parsing",
            f"body.{name}",
            "Input should be a valid boolean, unable to interpret input",
            value,
        )
    return bool(value)


def _stream_options(given: Mapping[str, Any], stream: bool) -> Mapping[str, Any]:
    options = given.get("stream_options")
    if options is None:
        return {}
    if not stream:
        raise bad_value("Stream options can only be defined when `stream=True`.", "stream_options")
    if not isinstance(options, dict):
        raise bad_shape(
            "model_attributes_type", "body.stream_options", "Input should be a valid dictionary", options
        )
    return options


def _number(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_shape("float_parsing", f"body.{name}", "Input should be a valid number", value)
    try:
        return float(value)
    except OverflowError:  # as JSON's 1e999 is read: it lies outside of every range
        return math.inf if value > 0 else -math.inf


def _integer(given: Mapping[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_shape("int_parsing", f"body.{name}", "Input should be a valid integer", value)
    return value


def _check_sampling(given: Mapping[str, Any]) -> None:
    temperature, top_p, n = _number(given, "temperature"), _number(given, "top_p"), _integer(given, "n")
    if temperature is not None and temperature < 0:
        raise bad_value(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if temperature is not None and not temperature <= 2:
        raise bad_value(f"temperature must be in [0, 2], got {temperature}.", "temperature", temperature)
    if top_p is not None and not 0 < top_p <= 1:
        raise bad_value(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)
    if n is not None and n < 1:
        raise bad_value(f"n must be at least 1, got {n}.", None)
    if n is not None and n > 1:  # vLLM would answer; one choice passed off as n would falsify token counts
        raise bad_value(f"n must be 1, got {n}: this is a simulator, and it gives one choice.", "n", n)


def _check_model(given: Mapping[str, Any], model: str) -> None:
    asked = given.get("model")
    if asked is None:  # vLLM serves the model it has
        return
    if not isinstance(asked, str):
        raise bad_shape("string_type", "body.model", "Input should be a valid string", asked)
    if asked not in {"", model}:
        message = f"The model `{asked}` does not exist. Valid aliases: {model}."
        raise envelope(404, "NotFoundError", message, "model")


def _conversation(given: Mapping[str, Any]) -> tuple[str, int]:
    if "messages" not in given:
        raise bad_shape("missing", "body.messages", "Field required", dict(given))
    messages = given["messages"]
    if not isinstance(messages, list):
        raise bad_shape("list_type", "body.messages", "Input should be a valid list", messages)
    if not messages:
        raise bad_value(
            "Cannot apply chat template to an empty conversation. Provide at least one message.", None
        )
    texts = [_message_text(index, message) for index, message in enumerate(messages)]
    roles = [message["role"] for message in messages]
    # repr keeps the borders between messages: ("ab", "c") and ("a", "bc") are prompts that differ
    return repr([*zip(roles, texts, strict=True)]), TEMPLATE_TOKENS + sum(len(text.split()) for text in texts)


def _message_text(index: int, message: object) -> str:
    where = f"body.messages.{index}"
    if not isinstance(message, dict):
        raise bad_shape("dict_type", where, "Input should be a valid dictionary", message)
    if not isinstance(message.get("role"), str):
        raise bad_shape("missing", f"{where}.role", "Field required", message)
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is not None and not isinstance(content, str):
        raise bad_shape("string_type", f"{where}.content", "Input should be a valid string", content)
    return content or ""


def _prompt(given: Mapping[str, Any]) -> tuple[str, int]:
    prompt = given.get("prompt")
    if prompt is None or prompt == "":
        raise bad_value("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if isinstance(prompt, list) and not prompt:
        raise bad_value("You must pass at least one prompt", None)
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        return _prompt({"prompt": prompt[0]})
    if isinstance(prompt, str):
        return prompt, max(1, len(prompt.split()))
    if isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        return repr(prompt), len(prompt)
    if isinstance(prompt, list) and all(isinstance(item, str | list) for item in prompt):
        raise bad_value(
            "One prompt a request: this is a simulator, and it gives one choice.", "prompt", len(prompt)
        )
    raise bad_shape("list_type", "body.prompt", "Input should be a valid list", prompt)


def _output_bound(given: Mapping[str, Any], chat: bool, prompt_tokens: int, max_model_len: int) -> int:
    name = (
        "max_completion_tokens" if chat and given.get("max_completion_tokens") is not None else "max_tokens"
    )
    asked = _integer(given, name)
    if asked is not None and asked > max_model_len:
        message = f"{name}={asked} cannot be greater than max_model_len={max_model_len}."
        raise bad_value(f"{message} Please request fewer output tokens.", name, asked)
    if prompt_tokens > max_model_len:
        message = (
            f"This model's maximum context length is {max_model_len} tokens. "
            f"However, your prompt contains at least {max_model_len + 1} input tokens, "
            "which exceeds this limit even without any output tokens. "
            "Please reduce the length of the input prompt."
        )
        raise bad_value(message, "input_tokens", max_model_len + 1)
    wanted = (CHAT_DEFAULT if chat else COMPLETION_DEFAULT) if asked is None else asked
    bound = min(wanted, max_model_len - prompt_tokens)  # what does not fit is cut off, and that is no error
    if bound < 1:
        raise bad_value(f"max_tokens must be at least 1, got {bound}.", "max_tokens", bound)
    return bound
