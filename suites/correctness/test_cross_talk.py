"""Does everybody get their own answer? All users ask at once what nobody else asks.

Each question has a nonce in its prompt and a seed of its own, so that even a model that says the same to
every prompt answers each of them otherwise; alone, each has been answered before.
Bounds: `correctness-users` users; `canary-agreement`. Costs: 10 s.
"""

from __future__ import annotations

from collections import Counter

import pytest

pytestmark = [pytest.mark.correctness, pytest.mark.claim("nobody")]

COMPLETIONS = "/v1/completions"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_nobody_gets_a_strangers_answer(crowd, bound, stream):
    """With all users at once each gets the answer that it got alone, and no word of anybody else's"""
    # A server that echoes prompts shows whose prompt it read; one that does not ignores the field.
    asked = {"path": COMPLETIONS, "echo": True}
    alone = [crowd.alone(one, **asked) for one in crowd.questions]
    found = crowd.all_at_once(stream=stream, **asked)
    assert Counter(reply.status for reply in [*alone, *found]) == {200: 2 * len(found)}
    texts = [reply.text for reply in alone]
    assert len(set(texts)) == len(texts), "answers that are alike could be exchanged unseen"
    strange = []
    for mine, (question, reply) in enumerate(zip(crowd.questions, found, strict=True)):
        others = [one for one in crowd.questions if one is not question]
        strange += [f"{mine} has {one.nonce} of another" for one in others if one.nonce in reply.text]
        strange += [
            f"{mine} has the answer of {texts.index(reply.text)}"
            for text in texts
            if text == reply.text != texts[mine]
        ]
        if question.nonce in texts[mine] and question.nonce not in reply.text:
            strange.append(f"{mine} lacks its own nonce")
    assert not strange, f"{len(strange)} of {len(found)}: {strange[:3]}"
    same = sum(reply.text == text for reply, text in zip(found, texts, strict=True))
    assert same / len(found) >= bound("canary-agreement"), f"{same} of {len(found)} texts are as alone"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_each_prompt_is_counted_as_its_own(crowd, stream):
    """Prompts of as many lengths as users: usage tells each the tokens of its own, as when it asked alone"""
    prompts = [f"Tell me of so many stones: {'stone ' * place}" for place in range(len(crowd.questions))]
    asks = [lambda prompt=prompt: crowd.say(prompt, stream=stream, max_tokens=4) for prompt in prompts]
    found = crowd.at_once(*asks)
    assert Counter(reply.status for reply in found) == {200: len(found)}
    alone = [crowd.say(prompt, stream=stream, max_tokens=4) for prompt in prompts[::8]]
    counts = [reply.usage["prompt_tokens"] for reply in found]
    assert counts[::8] == [reply.usage["prompt_tokens"] for reply in alone]
    assert counts == sorted(counts), f"a longer prompt has fewer tokens: {counts}"
    assert len(set(counts)) == len(counts), f"two prompts of different lengths have as many tokens: {counts}"


@pytest.mark.needs("gateway")
def test_every_event_is_of_its_own_request(crowd):
    """Each event of a stream carries the id of its request, which the answer's header says, and no other"""
    found = crowd.all_at_once(stream=True)
    assert Counter(reply.status for reply in found) == {200: len(found)}
    named = [reply.headers["x-request-id"] for reply in found]
    assert len(set(named)) == len(named)
    strange = [
        (name, event["id"])
        for name, reply in zip(named, found, strict=True)
        for event in reply.events
        if name not in event["id"]
    ]
    assert not strange, f"{len(strange)} events of another request: {strange[:3]}"


def test_errors_go_to_those_who_made_them(crowd):
    """Of users at once, half of whom make mistakes, each is told its own one, and the others are answered"""
    asks = []
    for place, one in enumerate(crowd.questions):
        wrong = [{}, {"model": f"model-{one.nonce}"}, {}, {"max_tokens": -1}][place % 4]
        asks.append(lambda one=one, wrong=wrong: crowd.asked(one, **wrong))
    found = crowd.at_once(*asks)
    assert [reply.status for reply in found] == [
        [200, 404, 200, 400][place % 4] for place in range(len(found))
    ]
    assert all(reply.usage["completion_tokens"] == 24 for reply in found[::2])
    for one, reply in list(zip(crowd.questions, found, strict=True))[1::4]:
        assert one.nonce in reply.document["error"]["message"]
    assert all(reply.document["error"]["message"] for reply in found[3::4])
