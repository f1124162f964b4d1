"""Mixes in exact proportions, shared prefixes, and clients that leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from instruments.records import Request
from instruments.workloads.lengths import Uniform
from instruments.workloads.mixes import Leave, Prefix, Rota, Scenario
from instruments.workloads.synthetic import SyntheticWorkload

TEN_FIVE_TWO = (
    Scenario("short", 10, output_tokens=50),
    Scenario("middle", 5, output_tokens=150),
    Scenario("long", 2, output_tokens=300),
)


def requests(seed: int = 1, **fields: Any) -> list[Request]:
    told = {"requests_measured": 1_700, "requests_warmup": 0, "users": 2, "output_tokens": 16, **fields}
    return list(SyntheticWorkload(id="w", description="d", **told).requests("m", seed))


def text(one: Request) -> list[str]:
    return str(one.body["messages"][0]["content"]).split()


def test_every_seventeen_requests_hold_ten_five_and_two() -> None:
    made = requests(mix=TEN_FIVE_TWO)
    for start in range(0, 1_700, 17):
        block = Counter((one.scenario, one.body["max_tokens"]) for one in made[start : start + 17])
        assert block == {("short", 50): 10, ("middle", 150): 5, ("long", 300): 2}


def test_the_order_within_blocks_is_by_chance_and_each_place_gets_its_share() -> None:
    made = requests(mix=TEN_FIVE_TWO)
    orders = {tuple(one.scenario for one in made[start : start + 17]) for start in range(0, 1_700, 17)}
    assert len(orders) > 95  # of 408,408 orders, a hundred draws
    for place in range(17):
        # Of 100 blocks, 58.8 expected with a standard deviation of 4.9.
        assert 38 < sum(one.scenario == "short" for one in made[place::17]) < 80


def test_weights_with_a_common_divisor_make_short_blocks() -> None:
    rota = Rota([20, 10], "s")
    for start in range(0, 300, 3):
        assert Counter(rota.at(start + place) for place in range(3)) == {0: 2, 1: 1}


def test_a_rota_tells_the_same_in_any_order_of_asking() -> None:
    onward, back = Rota([10, 5, 2], "s"), Rota([10, 5, 2], "s")
    assert [onward.at(one) for one in range(100)] == [back.at(one) for one in reversed(range(100))][::-1]


def test_a_scenario_says_what_differs_and_takes_the_rest_from_the_workload() -> None:
    mix = (Scenario("plain"), Scenario("own", prompt_tokens=9, output_tokens=3, leave=Leave(1.0, after_s=2)))
    made = {one.scenario: one for one in requests(mix=mix, requests_measured=2, prompt_tokens=30)}
    plain, own = made["plain"], made["own"]
    assert (plain.prompt_tokens_asked, plain.body["max_tokens"], plain.cancel_after_s) == (30, 16, None)
    assert (own.prompt_tokens_asked, own.body["max_tokens"], own.cancel_after_s) == (9, 3, 2)


def test_prefixes_are_shared_by_groups_in_their_share_of_requests() -> None:
    made = requests(prompt_tokens=40, prefix=Prefix(groups=4, tokens=24, hit_share=0.5))
    assert {len(text(one)) for one in made} == {40}
    beginnings = Counter(tuple(text(one)[:24]) for one in made)
    shared = {beginning: count for beginning, count in beginnings.items() if count > 1}
    assert len(shared) == 4
    # 850 of 1,700 expected, standard deviation 20.6; a group has 212 with a deviation of 13.6.
    assert 765 < sum(shared.values()) < 935
    assert all(150 < count < 275 for count in shared.values())
    assert len({tuple(text(one)[24:]) for one in made}) == 1_700


def test_without_a_prefix_no_two_prompts_share_a_block_that_a_cache_would_keep() -> None:
    made = requests(prompt_tokens=40)
    assert len({tuple(text(one)[:16]) for one in made}) == 1_700


def test_another_seed_has_other_prefixes() -> None:
    prefix = Prefix(groups=1, tokens=24)
    one, other = (requests(seed, prompt_tokens=40, prefix=prefix)[0] for seed in (1, 2))
    assert text(one)[1:24] != text(other)[1:24]


def test_scenarios_share_prefixes_each_among_its_own() -> None:
    mix = (Scenario("a"), Scenario("b"))
    made = requests(mix=mix, prompt_tokens=40, prefix=Prefix(groups=1, tokens=24), requests_measured=20)
    beginnings = {(one.scenario, tuple(text(one)[:24])) for one in made}
    assert len(beginnings) == len({beginning for _, beginning in beginnings}) == 2


@pytest.mark.parametrize(
    ("leave", "expected"),
    [(Leave(0.1, after_tokens=8), (8, None)), (Leave(0.1, after_s=0.5), (None, 0.5))],
)
def test_a_share_of_the_clients_leaves(leave: Leave, expected: tuple[int | None, float | None]) -> None:
    made = Counter((one.cancel_after_tokens, one.cancel_after_s) for one in requests(leave=leave))
    assert set(made) == {expected, (None, None)}
    assert 120 < made[expected] < 220  # 170 of 1,700 expected, standard deviation 12.4


def test_nobody_or_everybody_leaves() -> None:
    assert not any(one.cancel_after_tokens for one in requests(leave=Leave(0.0, after_tokens=1)))
    assert all(one.cancel_after_tokens for one in requests(leave=Leave(1.0, after_tokens=1)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Leave(0.1), "either after_tokens or after_s"),
        (lambda: Leave(0.1, 1, 1.0), "either after_tokens or after_s"),
        (lambda: Leave(1.1, 1), "share must be from 0 to 1"),
        (lambda: Leave(0.1, 0), "after_tokens must be at least 1"),
        (lambda: Leave(0.1, after_s=-1.0), "after_s must be >= 0"),
        (lambda: Prefix(0, 8), "groups and tokens must be at least 1"),
        (lambda: Prefix(1, 8, 1.5), "hit_share from 0 to 1"),
        (lambda: Scenario("a", 0), "weight must be"),
        (lambda: Scenario("a", output_tokens=0), "at least 1 token"),
        (lambda: Scenario("a", think_s=-0.5), "think_s must be >= 0"),
        (lambda: Scenario("a", turns=Uniform((0, 2))), "at least 1"),
    ],
)
def test_what_cannot_vary_like_that_is_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
