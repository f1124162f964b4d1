"""Form: what dictated answers look like on the wire, whatever is asked."""

from dataclasses import dataclass
from enum import StrEnum


class RoleChunk(StrEnum):
    """Where a chat stream's role event is."""

    ON = "on"  # in one write with the first token, as vLLM has it
    OFF = "off"
    EARLY = "early"  # with the status line and headers, long before the first token


class UsageRule(StrEnum):
    """Which events of a stream carry `usage`."""

    ASKED = "asked"  # as `stream_options` says
    FINAL = "final"
    CONTINUOUS = "continuous"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Form:
    """The shape of an answer; reasoning and tool calls are of chat only."""

    tokens_per_chunk: int = 1
    reasoning_tokens: int = 0
    tool_call: bool = False
    role_chunk: RoleChunk = RoleChunk.ON
    usage: UsageRule = UsageRule.ASKED
    comment_every_ns: int = 0
