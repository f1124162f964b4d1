"""What an answer said, whatever API it came from, and the words that servers have for errors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from instruments.records import Outcome
from instruments.transport.framing import RAW_HEAD_LIMIT
from instruments.transport.json_text import loads

ERROR_TEXT_LIMIT = 300
COUNT_LIMIT = 2**53  # beyond it JSON's numbers are not exact


@dataclass(slots=True)
class Answer:
    """What an answer said; the fields are those of RequestRecord.

    Where several choices were asked for, the chunks and tokens of all of them count, as they do in `usage`;
    `said`, `thought` and, once it is known, `finish_reason` are those of the first.
    """

    outcome: Outcome = Outcome.COMPLETED
    error: str | None = None
    first_data_ns: int | None = None
    chunks_ns: list[int] = field(default_factory=list)
    chunk_tokens: list[int] | None = None  # not known, or no cadence to speak of
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None
    generated: list[str] = field(default_factory=list)  # everything, in the order of its arrival
    said: list[str] = field(default_factory=list)  # what a conversation goes on with: no reasoning in it
    thought: list[str] = field(default_factory=list)  # the reasoning
    ended: bool = False  # `data: [DONE]` was seen
    kept: bytes | None = None  # the beginning of what could not be understood

    @property
    def text(self) -> str:
        """What was said, without reasoning and tool calls; proper Unicode, so that it can be sent again."""
        return _proper("".join(self.said), "replace")

    @property
    def reasoning(self) -> str:
        """What was thought before it was said, where the server tells the two apart."""
        return _proper("".join(self.thought), "replace")

    @property
    def text_sha256(self) -> str | None:
        """Of everything generated: reasoning, text, names and arguments of tool calls."""
        if not self.generated:
            return None
        text = _proper("".join(self.generated), "surrogatepass")
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def fail(self, outcome: Outcome, error: str) -> Answer:
        """It is not what was asked for, and why: one line."""
        self.outcome, self.error = outcome, " ".join(error[: 2 * ERROR_TEXT_LIMIT].split())[:ERROR_TEXT_LIMIT]
        return self

    def fail_unreadable(self, raw: bytes, error: Exception) -> Answer:
        """These bytes are not what an answer is made of."""
        self.kept = raw[:RAW_HEAD_LIMIT]
        self.chunk_tokens = None
        return self.fail(Outcome.FAILED, f"the answer cannot be understood: {type(error).__name__}: {error}")


def _proper(text: str, lone: str) -> str:
    """The text with each surrogate pair that came in two halves made one character.

    JSON may spell a half alone, which UTF-8 has no bytes for; `lone` says what becomes of one that stays so.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", lone)
    return text


def count_of(told: Any, name: str) -> int | None:
    """A count of tokens as a server told it; None when it did not. Raises ValueError for what is no count."""
    if type(told) is int and 0 <= told < COUNT_LIMIT:  # not isinstance(): True is no count
        return told
    if told is None:
        return None
    if isinstance(told, float) and told.is_integer() and 0 <= told < COUNT_LIMIT:  # 12.0: some servers' 12
        return int(told)
    raise ValueError(f"{name} is {str(told)[:40]}, which is no count")


def error_text(body: bytes) -> str:
    """What a body that is not an answer says, in the server's words where it has some."""
    try:
        return error_of(loads(body))
    except (ValueError, AttributeError, RecursionError):
        return body[:ERROR_TEXT_LIMIT].decode("utf-8", "replace").strip() or "an empty body"


def is_error(document: dict[str, Any]) -> bool:
    """Whether it is an error in one of vLLM's shapes; older servers have no `error` but `object: error`."""
    error = document.get("error")
    return (error is not None and error is not False) or document.get("object") == "error"


def error_of(document: Any) -> str:
    """The message of {"error": str}, {"error": {…}}, {"object": "error", …} or {"detail": …}."""
    error = document.get("error") or document.get("detail") or document
    return str(error.get("message") or error) if isinstance(error, dict) else str(error)
