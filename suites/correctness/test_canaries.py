"""Does load change what is said? The same questions, asked before, during and after load.

Workload: `beside-canaries` (64 users), beside it six questions again and again, each greedy and with a seed
of its own: a model that finds everything equally likely is told apart by seeds alone.
Bound: `canary-agreement`, the share of answers that are the same to the letter. Kernels whose rounding hangs
on the batch need one below 1: a place says so in its profile.
Costs: 15 s.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.correctness, pytest.mark.claim("nobody")]

CANARIES = 6
GREEDY = {"temperature": 0, "seed": None}


def said(crowd: Any) -> list[tuple[str, int, int]]:
    """What the canaries say, one after the other, and when each was asked and answered (monotonic, ns)."""
    found = []
    for kind in (GREEDY, {}):
        for one in crowd.questions[:CANARIES]:
            began_ns = time.monotonic_ns()
            reply = crowd.asked(one, **kind)
            assert reply.status == 200, reply.body
            found.append((reply.text, began_ns, time.monotonic_ns()))
    return found


def agreement(found: list[str], expected: list[str]) -> float:
    """The share that is the same to the letter."""
    return sum(one == other for one, other in zip(found, expected, strict=True)) / len(expected)


def test_load_does_not_change_what_is_said(crowd, stack, load_beside, bound):
    """A question has the same answer before, during and after load, greedy or with its seed"""
    expected, rounds = [text for text, _, _ in said(crowd)], []
    with load_beside(stack, "beside-canaries", name="correctness.canaries") as going:
        while not going.ended:
            rounds.append(said(crowd))
    window = going.result().run.window
    # Only those count that were asked and answered while all users were at work.
    beside = [
        (text, same)
        for one in rounds
        for (text, began_ns, ended_ns), same in zip(one, expected, strict=True)
        if window.start_ns <= began_ns and ended_ns <= window.end_ns
    ]
    if not beside:
        raise ObjectiveInconclusive(
            "no canary was asked and answered while the load went on",
            seen=f"{len(rounds)} rounds, {window.duration_s:.1f} s of load",
            hint="a larger --duration-scale",
        )
    found = {
        "during": agreement([text for text, _ in beside], [same for _, same in beside]),
        "after": agreement([text for text, _, _ in said(crowd)], expected),
    }
    least = bound("canary-agreement")
    changed = [when for when, share in found.items() if share < least]
    assert not changed, f"expected {least:.0%} unchanged of {len(beside)} during and after; seen {found}"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"], ids=["chat", "completions"])
def test_streamed_and_plain_agree_under_load(crowd, bound, path):
    """Streamed or not, a question has the same answer, usage and finish_reason, all users asking at once"""
    half = crowd.questions[: len(crowd.questions) // 2]
    asks = [
        lambda one=one, stream=stream: crowd.asked(one, path=path, stream=stream)
        for stream in (True, False)
        for one in half
    ]
    replies = crowd.at_once(*asks)
    assert [reply.status for reply in replies] == [200] * len(replies)
    streamed, plain = replies[: len(half)], replies[len(half) :]
    assert all(reply.done for reply in streamed)
    assert {reply.finish_reason for reply in replies} == {"length"}
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert [reply.usage[name] for reply in streamed] == [reply.usage[name] for reply in plain], name
    share = agreement([reply.text for reply in streamed], [reply.text for reply in plain])
    assert share >= bound("canary-agreement"), f"{share:.0%} of {len(half)} texts are the same"
