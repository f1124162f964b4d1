"""Are tokens counted truly? What usage says, against the engine's counters and its own tokenizer.

All users ask at once, for answers of as many lengths as there are users. Bound: `correctness-users`.
Costs: 5 s.
"""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.correctness, pytest.mark.claim("nobody")]

COUNTED = {"prompt_tokens": "vllm:prompt_tokens_total", "completion_tokens": "vllm:generation_tokens_total"}


@pytest.mark.needs("engine_metrics", "exclusive")
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_usage_is_what_the_engine_counted(crowd, scrape, settled, stream):
    """Summed over all users, usage is what the engine's counters rose by, to the token"""
    before = {name: scrape.snapshot().total(counter) for name, counter in COUNTED.items()}
    found = crowd.at_once(
        *(
            lambda one=one, length=1 + place: crowd.asked(one, stream=stream, max_tokens=length)
            for place, one in enumerate(crowd.questions)
        )
    )
    used = {name: sum(reply.usage[name] for reply in found) for name in COUNTED}
    assert all(value is not None for value in before.values()), f"counters before: {before}"
    expected = {name: before[name] + used[name] for name in COUNTED}
    seen = settled(
        lambda: {name: scrape.snapshot().total(counter) for name, counter in COUNTED.items()}, expected
    )
    rose = {name: seen[name] - before[name] for name in COUNTED}
    assert rose == used, f"usage says {used}, the counters rose by {rose}"


def test_total_is_prompt_and_completion(crowd):
    """total_tokens is the sum of the other two, in every answer of every kind"""
    for reply in [*crowd.all_at_once(), *crowd.all_at_once(stream=True)]:
        used = reply.usage
        assert used["total_tokens"] == used["prompt_tokens"] + used["completion_tokens"]


def test_tokens_are_as_many_as_their_ids(crowd, samples):
    """Asked for its token ids, each answer has as many as usage counts, of prompt and of completion"""
    for reply in crowd.all_at_once(return_token_ids=True):
        assert len(reply.document["prompt_token_ids"]) == reply.usage["prompt_tokens"]
        assert len(reply.document["choices"][0]["token_ids"]) == reply.usage["completion_tokens"]
