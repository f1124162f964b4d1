"""Turns of a conversation: chained before the run, continued with real answers during it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from instruments.records import Request


def chained(turns: Sequence[Request]) -> Request:
    """The first of the turns, with the others hanging on `then`. ValueError for no turns."""
    if not turns:
        raise ValueError("a conversation has at least one turn")
    following: Request | None = None
    for turn in reversed(turns):
        following = replace(turn, then=following)
    assert following is not None  # noqa: S101 - there was a turn
    return following


def turns_of(request: Request) -> int:
    """How many turns begin with this request, itself included."""
    number, following = 1, request.then
    while following is not None:
        number, following = number + 1, following.then
    return number


def continued(previous: Request, answer_text: str) -> Request:
    """The next turn, with all that was said before put in front of its new messages.

    `previous` is the request as it was sent, `answer_text` what the server answered. Index and request_id
    are the next turn's own, as planned. ValueError where there is no next turn.
    """
    if previous.then is None:
        raise ValueError(f"{previous.request_id} is the last turn of its conversation")
    answer = {"role": "assistant", "content": answer_text}
    following = previous.then
    messages = [*previous.body["messages"], answer, *following.body["messages"]]
    return replace(following, body={**following.body, "messages": messages})
