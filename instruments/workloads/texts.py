"""Files that carry prompts: JSONL of our own, and ShareGPT's JSON.

JSONL, a request a line: {"prompt": text} or {"messages": [{"role", "content"}, …]}, with "output_tokens" or
"max_tokens", and "at_s" (seconds after the start) on all lines or on none. No other keys.

ShareGPT: [{"conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": text}, …]}, …]. Every
human turn that was answered is a turn; real answers take the place of the recorded ones, which only give the
lengths. Without the model's tokenizer a length is the answer's UTF-8 bytes / 4, rounded up: "1 token ~= 4
chars in English" (OpenAI, What are tokens and how to count them), in bytes so that other scripts fare alike.
What comes before the first human turn is left out, a system message excepted; so are conversations in
which nobody was answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError
from instruments.workloads.bodies import Message, user_message
from instruments.workloads.entries import Entry, Place, Turn, lines_of

BYTES_PER_TOKEN = 4
KEYS = frozenset({"prompt", "messages", "output_tokens", "max_tokens", "at_s"})
SPEAKERS = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "assistant"), "assistant"),
    "system": "system",
}
Spoken = tuple[str, str]  # role and text


def read_jsonl(path: Path) -> Iterator[Entry]:
    """The requests of a JSONL file, in the file's order."""
    timed: bool | None = None
    for place, text in lines_of(path):
        told = place.mapping(text)
        if unknown := sorted(set(told) - KEYS):
            raise place.refuse(f"only the keys {', '.join(sorted(KEYS))}", ", ".join(unknown))
        if timed is not None and timed != ("at_s" in told):
            raise place.refuse("'at_s' on every line or on none", place.under(told, "at_s"))
        timed = "at_s" in told
        at_s = place.number(told, "at_s") if timed else None
        yield Entry(place.line, (Turn(_output(place, told), _prompt(place, told)),), at_s)


def _output(place: Place, told: dict[str, Any]) -> int | None:
    given = [key for key in ("output_tokens", "max_tokens") if key in told]
    if len(given) > 1:
        raise place.refuse("one of 'output_tokens' and 'max_tokens'", "both")
    return place.tokens(told, given[0], 1) if given else None


def _prompt(place: Place, told: dict[str, Any]) -> str | tuple[Message, ...]:
    if ("prompt" in told) == ("messages" in told):
        raise place.refuse("one of 'prompt' and 'messages'", "both" if "prompt" in told else "neither")
    if "prompt" in told:
        if not isinstance(told["prompt"], str) or not told["prompt"]:
            raise place.refuse("'prompt': a text that is not empty", repr(told["prompt"]))
        return str(told["prompt"])
    messages = told["messages"]
    if not isinstance(messages, list) or not messages or not all(_is_message(one) for one in messages):
        raise place.refuse("'messages': a list of objects with 'role' and 'content'", repr(messages))
    return tuple(messages)


def _is_message(told: object) -> bool:
    return isinstance(told, dict) and isinstance(told.get("role"), str) and "content" in told


def read_sharegpt(path: Path) -> Iterator[Entry]:
    """The conversations of a ShareGPT file, in the file's order."""
    for place, told in _items(path):
        spoken = _spoken(place, told)
        first = next((at for at, (role, _) in enumerate(spoken) if role == "user"), len(spoken))
        system: list[Message] = [
            {"role": role, "content": text} for role, text in spoken[:first] if role == "system"
        ]
        turns: list[Turn] = []
        for (role, asked), (other, answer) in zip(spoken[first:], spoken[first + 1 :], strict=False):
            if (role, other) == ("user", "assistant"):
                messages = (*system, user_message(asked)) if not turns else (user_message(asked),)
                turns.append(Turn(-(-len(answer.encode()) // BYTES_PER_TOKEN), messages))
        if turns:
            yield Entry(place.line, tuple(turns))


def _spoken(place: Place, told: Any) -> list[Spoken]:
    turns = told.get("conversations") if isinstance(told, dict) else None
    if not isinstance(turns, list):
        raise place.refuse("an object with a list 'conversations'", json.dumps(told, ensure_ascii=False))
    spoken = []
    for turn in turns:
        speaker, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        if not isinstance(speaker, str) or speaker not in SPEAKERS or not isinstance(text, str):
            names = ", ".join(SPEAKERS)
            raise place.refuse(f"turns with 'from' (one of {names}) and a text 'value'", repr(turn))
        if text:
            spoken.append((SPEAKERS[speaker], text))
    return spoken


def _items(path: Path) -> Iterator[tuple[Place, Any]]:
    """The items of a JSON list, each with the line on which it begins."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"cannot read {path}", expected="UTF-8", seen=error.reason) from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}", expected="a readable file", seen=error.strerror
        ) from None
    decoder, at, line = json.JSONDecoder(), 0, 1

    def skip() -> str:
        """Move over white space; the character that follows it."""
        nonlocal at, line
        while at < len(text) and text[at] in " \t\r\n":
            line += text[at] == "\n"
            at += 1
        return text[at : at + 1]

    expected = "["
    while skip() == expected:
        at += 1
        if expected == "[" and skip() == "]":
            return
        skip()
        place = Place(path, line)
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line += text.count("\n", at, getattr(error, "pos", at))
            raise Place(path, line).refuse(f"JSON ({error})", text[at : at + 200]) from None
        line, at = line + text.count("\n", at, end), end
        yield place, found
        expected = ","
    if skip() != "]" or expected == "[":
        raise Place(path, line).refuse(
            "a JSON list of conversations", text[at : at + 200] or "the file's end"
        )
