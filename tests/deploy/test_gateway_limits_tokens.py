"""Tokens per minute: reservations and settlements worked out by hand, on a clock that the test turns."""

from __future__ import annotations

import asyncio
import json

import pytest

from deploy.gateway.account import Account
from deploy.gateway.limiter import Refusal, StorageFailed
from deploy.gateway.settings import Key, Limits
from deploy.gateway.tokens import Budget, Charge, MemoryLedger, Shortage, TooMany
from tests.deploy.gateway_stage import AUTHORIZED, CHAT, DONE, Reply, Request, saying, stage, streaming

KEY = Key("a", "A", tokens_limit="1000/minute")


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A budget of 1000 tokens a minute on its own clock, which begins at 0."""

    def __init__(self, rates: Limits | None = None) -> None:
        self.clock = Clock()
        self.budget = Budget(rates or Limits(), MemoryLedger(self.clock))

    async def at(self, second: float, tokens: int | None, sequences: int = 1) -> Charge | Refusal | None:
        self.clock.now = 1000 + second
        return await self.budget.reserve(KEY, sequences, tokens)

    async def end(
        self, second: float, charge: object, prompt: int, completion: int, status: int = 200
    ) -> None:
        assert isinstance(charge, Charge)
        self.clock.now = 1000 + second
        account = Account("id", "POST", CHAT, CHAT, 0.0, status=status, sent_upstream=True)
        account.prompt_tokens, account.completion_tokens = prompt, completion
        await self.budget.settle(charge, account)


def refused(outcome: object) -> tuple[int, int]:
    """Tokens left, and when to come back."""
    assert isinstance(outcome, Refusal)
    assert (outcome.scope, outcome.limit) == ("key_tokens", 1000)
    return outcome.remaining, outcome.retry_after_s


async def test_a_reservation_holds_its_place_for_a_period() -> None:
    bench = Bench()
    assert isinstance(await bench.at(0, 400), Charge)
    assert isinstance(await bench.at(10, 500), Charge)
    # 900 charged: 200 need 100 more, which leave with the first charge at 60, 49.5 s on, so 50 whole ones
    assert refused(await bench.at(10.5, 200)) == (100, 50)
    # 600 need 500: the first charge frees 400, the second, at 70, the rest: 59.5 s on
    assert refused(await bench.at(10.5, 600)) == (100, 60)
    assert refused(await bench.at(59.9, 200)) == (100, 1)
    assert isinstance(await bench.at(60, 200), Charge)  # 500 + 200
    assert refused(await bench.at(60, 301)) == (300, 10)


async def test_what_was_not_used_is_given_back_as_of_the_reservation() -> None:
    bench = Bench()
    first = await bench.at(0, 900)
    assert refused(await bench.at(5, 300)) == (100, 55)
    await bench.end(6, first, prompt=40, completion=60)  # 100 of 900
    second = await bench.at(6, 900)
    assert isinstance(second, Charge)
    assert refused(await bench.at(6, 1)) == (0, 54)  # the settled 100 are still of second 0
    assert isinstance(await bench.at(60, 100), Charge)


async def test_what_was_used_beyond_the_reservation_is_charged_at_the_end_and_may_overdraw() -> None:
    bench = Bench()
    first = await bench.at(0, 100)
    second = await bench.at(0, 500)
    await bench.end(20, first, prompt=700, completion=100)  # 100 of second 0, 700 of second 20: 1300 in all
    assert refused(await bench.at(20, 1)) == (0, 40)  # 301 too many: 100 + 500 leave at 60
    assert isinstance(await bench.at(60, 300), Charge)  # 700 + 300
    assert refused(await bench.at(60, 1)) == (0, 20)  # and the 700 leave at 80, not with their reservation
    assert isinstance(await bench.at(80, 700), Charge)
    await bench.end(80, second, prompt=200, completion=200)  # long over: nothing is given back twice
    assert refused(await bench.at(80, 1)) == (0, 40)


async def test_an_excess_counts_though_its_reservation_is_long_over() -> None:
    bench = Bench()
    long = await bench.at(0, 100)
    await bench.end(300, long, prompt=0, completion=1100)
    assert refused(await bench.at(300, 1)) == (0, 60)
    assert isinstance(await bench.at(360, 1000), Charge)


@pytest.mark.parametrize(
    ("status", "prompt", "completion", "kept"),
    [
        (200, 0, 0, 800),  # no usage: nobody knows, so the reservation stays
        (400, 0, 0, 0),
        (404, 0, 0, 0),
        (503, 0, 0, 0),
        (200, 1, 0, 1),
    ],
)
async def test_what_is_kept_of_800(status: int, prompt: int, completion: int, kept: int) -> None:
    bench = Bench()
    await bench.end(1, await bench.at(0, 800), prompt, completion, status)
    assert isinstance(await bench.at(1, 1000 - kept), Charge)
    assert refused(await bench.at(1, 1)) == (0, 59 if kept else 60)


async def test_a_client_that_leaves_before_the_answer_is_not_given_its_tokens_back() -> None:
    bench = Bench()
    charge = await bench.at(0, 800)
    assert isinstance(charge, Charge)
    left = Account("id", "POST", CHAT, CHAT, 0.0, sent_upstream=True)
    await bench.budget.settle(charge, left)
    assert refused(await bench.at(1, 201)) == (200, 59)
    left.sent_upstream = False  # it left while it waited for its turn: the engine has done nothing
    await bench.budget.settle(charge, left)
    assert isinstance(await bench.at(1, 1000), Charge)


async def test_sequences_multiply_and_a_request_without_a_bound_reserves_the_default() -> None:
    bench = Bench(Limits(tokens_reserved=150))
    assert isinstance(await bench.at(0, 100, sequences=4), Charge)  # 400
    assert isinstance(await bench.at(0, None, sequences=3), Charge)  # 450
    assert refused(await bench.at(0, None, sequences=2)) == (150, 60)
    assert isinstance(await bench.at(0, None), Charge)  # 150, the last
    assert refused(await bench.at(0, 1)) == (0, 60)


async def test_more_than_the_limit_would_ever_give_is_no_matter_of_waiting() -> None:
    bench = Bench(Limits(tokens_reserved=5000))
    with pytest.raises(TooMany, match=r"up to 2002 tokens; the limit of its key is 1000 per 1 minute"):
        await bench.at(0, 1001, sequences=2)
    assert isinstance(await bench.at(0, None), Charge)  # a default is cut to the limit: 1000
    assert refused(await bench.at(0, 1)) == (0, 60)


async def test_keys_have_budgets_of_their_own_and_some_have_none() -> None:
    clock = Clock()
    budget = Budget(Limits(key_tokens="10/minute"), MemoryLedger(clock))
    for key in (Key("c", "A"), Key("b", "B"), KEY):
        assert isinstance(await budget.reserve(key, 1, 10), Charge)
    assert isinstance(await budget.reserve(Key("c", "A"), 1, 1), Refusal)
    assert isinstance(await budget.reserve(KEY, 1, 990), Charge)
    assert await budget.reserve(None, 1, 10**9) is None


class Broken:
    """A ledger whose storage is gone."""

    async def reserve(self, key: str, rate: object, amount: int) -> Charge | Shortage:
        raise StorageFailed

    async def settle(self, charge: Charge, used: int) -> None:
        raise StorageFailed


async def test_a_storage_that_fails_refuses_or_allows_and_is_counted() -> None:
    failures: list[None] = []
    refusing = Budget(Limits(), Broken(), lambda: failures.append(None))
    with pytest.raises(StorageFailed):
        await refusing.reserve(KEY, 1, 1)
    allowing = Budget(Limits(on_storage_failure="allow"), Broken(), lambda: failures.append(None))
    assert await allowing.reserve(KEY, 1, 1) is None
    assert len(failures) == 2


USED = b'{"choices":[],"usage":{"prompt_tokens":30,"completion_tokens":20}}'


async def test_a_key_over_its_tokens_is_told_so_and_the_engine_is_not_asked() -> None:
    keys = [{"name": "suite", "key_env": "GATEWAY_KEY", "tokens_limit": "200/hour"}]
    async with stage(keys=keys) as (upstream, running):
        upstream.script = saying(200, USED)

        async def ask(**body: object) -> int:
            response = await running.client.post(CHAT, headers=AUTHORIZED, json=body)
            if response.status_code == 429:
                assert response.headers["x-ratelimit-limit"] == "200"
                assert response.headers["x-ratelimit-remaining"] == "100"
                assert 3590 <= int(response.headers["retry-after"]) <= 3600
                assert response.headers["x-ratelimit-reset"] == response.headers["retry-after"]
                assert "(key_tokens)" in response.json()["error"]["message"]
            return response.status_code

        assert await ask(max_tokens=200) == 200  # settled: 50
        assert await ask(max_tokens=75, n=2) == 200  # 50 + 150, settled: 100
        assert await ask(max_completion_tokens=101) == 429
        assert await ask(max_tokens=201) == 400
        assert await ask(max_tokens=100) == 200
        assert len(upstream.requests) == 3
        assert await running.metric("gateway_rate_limited_total", scope="key_tokens") == 1


async def test_a_stream_is_settled_by_its_usage_when_it_ends() -> None:
    keys = [{"name": "suite", "key_env": "GATEWAY_KEY", "tokens_limit": "100/hour"}]
    async with stage(keys=keys) as (upstream, running):
        chunk = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
        upstream.script = streaming(chunk, b"data: " + USED + b"\n\n", DONE)
        for status in (200, 200, 429):  # 90 ≤ 100; 50 + 50 ≤ 100; 100 + 1 > 100
            tokens = {200: 50, 429: 1}[status]
            response = await running.client.post(
                CHAT, headers=AUTHORIZED, json={"stream": True, "max_tokens": tokens}
            )
            assert response.status_code == status
            assert status == 429 or response.content.endswith(DONE)


async def test_reservations_keep_requests_at_one_time_within_the_limit() -> None:
    keys = [{"name": "suite", "key_env": "GATEWAY_KEY", "tokens_limit": "100/hour"}]
    async with stage(keys=keys) as (upstream, running):

        async def slow(request: Request, reply: Reply) -> None:
            assert json.loads(request.body)["max_tokens"] == 30
            await reply.whole(200, b"{}")  # tells no usage, so 30 stay charged

        upstream.script = slow
        answers = await asyncio.gather(
            *(running.client.post(CHAT, headers=AUTHORIZED, json={"max_tokens": 30}) for _ in range(20))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * 3 + [429] * 17  # 3 × 30 ≤ 100 < 4 × 30
