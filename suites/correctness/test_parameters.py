"""Is what was asked for kept at 64 users? Lengths, stop sequences, log probabilities, JSON.

All users ask at once, each something else. Bound: `correctness-users`.
Needs a real engine but for lengths: the simulator knows none of these. Costs: 15 s.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from instruments.slo.verdict import ObjectiveInconclusive

pytestmark = [pytest.mark.correctness, pytest.mark.claim("nobody")]

COLOURS = ["red", "green", "blue"]
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": COLOURS}, "round": {"type": "boolean"}},
    "required": ["colour", "round"],
    "additionalProperties": False,
}
JSON_TOKENS = 120


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_each_gets_the_length_it_asked_for(crowd, stream):
    """Each user asks for another max_tokens and gets it to the token, finish_reason being length"""
    lengths = [1 + place for place in range(len(crowd.questions))]
    found = crowd.at_once(
        *(
            lambda one=one, length=length: crowd.asked(one, stream=stream, max_tokens=length)
            for one, length in zip(crowd.questions, lengths, strict=True)
        )
    )
    assert Counter(reply.status for reply in found) == {200: len(found)}
    assert [reply.usage["completion_tokens"] for reply in found] == lengths
    assert Counter(reply.finish_reason for reply in found) == {"length": len(found)}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_stop_sequences_end_an_answer(crowd, samples, stream):
    """Told to stop at what its answer says in the middle, it ends right before that and says `stop`"""
    alone = [crowd.alone(one).text for one in crowd.questions]
    stops = [text[len(text) // 2 :][:6] for text in alone]
    found = crowd.at_once(
        *(
            lambda one=one, stop=stop: crowd.asked(one, stream=stream, stop=[stop])
            for one, stop in zip(crowd.questions, stops, strict=True)
        )
    )
    assert Counter(reply.status for reply in found) == {200: len(found)}
    wrong = [
        (text.partition(stop)[0], reply.text, reply.finish_reason)
        for text, stop, reply in zip(alone, stops, found, strict=True)
        if stop in reply.text or (reply.text, reply.finish_reason) != (text.partition(stop)[0], "stop")
    ]
    assert not wrong, (
        f"{len(wrong)} of {len(found)}, the first: expected {wrong[0][0]!r}, stop; seen {wrong[0][1:]}"
    )


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_each_token_has_its_log_probability(crowd, samples, stream):
    """Asked for, every token comes with its log probability: as many as usage says, streamed or not"""
    crowd.alone(crowd.questions[0], logprobs=True, top_logprobs=1, stream=stream)  # some engines compile now
    found = crowd.all_at_once(logprobs=True, top_logprobs=1, stream=stream)
    assert Counter(reply.status for reply in found) == {200: len(found)}
    for reply in found:
        parts = [one["choices"][0] for one in (reply.events or (reply.document,)) if one.get("choices")]
        tokens = [token for part in parts for token in (part.get("logprobs") or {}).get("content") or []]
        assert len(tokens) == reply.usage["completion_tokens"]
        assert all(token["logprob"] <= 0 for token in tokens)


def test_json_mode_answers_in_json(crowd, samples):
    """Given a schema, every answer that is complete is JSON that keeps it, all users asking at once"""
    form = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
    asked = {"response_format": form, "ignore_eos": False, "max_tokens": JSON_TOKENS}
    first = crowd.alone(crowd.questions[0], **asked)
    if first.status == 400 and "structured" in first.body:
        pytest.skip(f"the engine has no structured outputs: {first.document['error']['message']}")
    found = crowd.all_at_once(**asked)
    assert Counter(reply.status for reply in found) == {200: len(found)}
    assert all(reply.text.lstrip()[:1] == "{" for reply in found), "an answer that begins no object"
    complete = [reply.text for reply in found if reply.finish_reason == "stop"]
    if not complete:
        raise ObjectiveInconclusive(f"none of {len(found)} answers ended within {JSON_TOKENS} tokens")
    for text in complete:
        thing = json.loads(text)
        assert set(thing) == {"colour", "round"}, text
        assert thing["colour"] in COLOURS, text
        assert isinstance(thing["round"], bool), text
