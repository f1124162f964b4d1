"""An interleaved comparison as it is judged: failures, void blocks, blocks without a number."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from instruments.records import Outcome
from instruments.slo.comparison import Block, Figure, Pair, judge_pairs
from instruments.statistics.comparison import Change, CompareRule
from instruments.statistics.summary import RunSummary, summarize
from tests.instruments.shapes import CALM, load_run, record

WOBBLE = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002, 0.998, 1.003, 0.997, 1.0)


def block(value: float, *, failed: int = 0, requests: int = 20, void: tuple[str, ...] = ()) -> Block:
    return Block("a-run", value, requests, failed, void)


def pairs(ratio: float, *, failed: tuple[int, int] = (0, 0), number: int = 10) -> list[Pair]:
    a_failed, b_failed = failed
    return [
        (block(0.1, failed=a_failed), block(0.1 * ratio * wobble, failed=b_failed))
        for wobble in WOBBLE[:number]
    ]


def summary(*ttfts: int, failed: int = 0, left: int = 0) -> RunSummary:
    """Requests with these TTFTs in seconds, then some that failed, then some that left on purpose."""
    records = [record(number, ttft=ttft) for number, ttft in enumerate(ttfts)]
    for outcome, count in ((Outcome.FAILED, failed), (Outcome.CANCELLED, left)):
        records += [record(len(records), outcome) for _ in range(count)]
    return summarize(load_run(records))


@pytest.mark.parametrize(
    ("ratio", "change", "told"),
    [
        (1.1, Change.WORSE, "B is slower"),
        (0.9, Change.BETTER, "B is faster"),
        (1.0, Change.EQUIVALENT, "lies within 5 %"),
        (1.02, Change.EQUIVALENT, "slower all the same"),
    ],
)
def test_what_ten_quiet_pairs_come_to(ratio: float, change: Change, told: str) -> None:
    comparison = judge_pairs(pairs(ratio))
    assert comparison.change is change
    assert told in comparison.reason
    assert comparison.state.ratio[0] == pytest.approx(ratio, rel=0.001)
    assert comparison.requests == (200, 200)
    assert "98.4 % at every look" in comparison.measured()
    assert "after 10 pairs; failed: A 0 of 200, B 0 of 200" in comparison.measured()


def test_too_few_pairs_say_how_many_more_would_decide() -> None:
    noisy = [(block(0.1), block(0.1 * 1.3**sign)) for sign in (1, -1, 1, -1, 1, -1, 1, -1, 1, -1)]
    comparison = judge_pairs(noisy)
    assert comparison.change is Change.INCONCLUSIVE
    assert comparison.pairs_more is not None
    assert comparison.pairs_more > 50
    assert "too few pairs to tell: 3 of at least 8" in judge_pairs(pairs(1.1, number=3)).reason
    assert judge_pairs([]).change is Change.INCONCLUSIVE


def test_a_b_that_fails_more_is_worse_however_quick_it_is() -> None:
    """Twelve pairs of twelve: the evidence is 2^13 / 13 = 630, more than 1 / 0.002."""
    twelve = [*pairs(0.9, failed=(0, 1)), *pairs(0.9, failed=(0, 1))[:2]]
    assert judge_pairs(twelve[:11]).change is Change.INCONCLUSIVE  # 2^12 / 12 = 341: not yet, but no pass
    worse = judge_pairs(twelve)
    assert worse.change is Change.WORSE
    assert "failed more at B in 12 pairs, at A in 0" in worse.reason
    assert worse.failed == (0, 12)


def test_two_blocks_with_failures_in_b_alone_are_no_equality() -> None:
    """Evidence 2^3 / 3 · 7/8 = 2.3: a suspicion, no proof."""
    found = pairs(1.0)
    for number in (0, 1):
        found[number] = (found[number][0], replace(found[number][1], failed=1))
    comparison = judge_pairs(found)
    assert comparison.change is Change.INCONCLUSIVE
    assert "EQUIVALENT in time, but requests failed more at B in 2 pairs" in comparison.reason
    found[1] = (replace(found[1][0], failed=1), found[1][1])
    assert judge_pairs(found).change is Change.EQUIVALENT


def test_a_block_without_a_number_says_so_and_is_not_left_out() -> None:
    found = pairs(1.0)
    found[3] = (found[3][0], block(math.inf, failed=15))
    comparison = judge_pairs(found)
    assert comparison.change is Change.INCONCLUSIVE
    assert "the value of 1 blocks is infinite, so many requests failed: a-run, 15 failed" in comparison.reason
    assert comparison.failed == (0, 15)
    down = [(a, block(math.inf, failed=20)) for a, _ in (*pairs(1.0), *pairs(1.0))][:12]
    assert judge_pairs(down).change is Change.WORSE
    assert judge_pairs([(b, a) for a, b in down]).change is Change.BETTER
    found[3] = (block(math.nan, requests=0), found[3][1])
    assert "nothing was measured" in judge_pairs([(block(math.nan, requests=0), block(0.1))]).reason


def test_void_pairs_do_not_count_and_many_of_them_leave_it_open() -> None:
    void = (block(0.1), block(9.0, void=("the client used 99 % of a core",)))
    two = judge_pairs([*pairs(1.0), void, void])
    assert two.change is Change.EQUIVALENT
    assert two.state.pairs == 10
    three = judge_pairs([*pairs(1.0), void, void, void])
    assert three.change is Change.INCONCLUSIVE
    assert "3 of 13 pairs are void" in three.reason
    assert "99 % of a core" in three.reason


def test_a_request_that_failed_is_slower_than_all_others() -> None:
    median = Figure("ttft_s", "p50")
    assert median.of(summary(1, 2, 3, 4, 5)) == 3.0
    assert median.of(summary(1, 2, 3, 4, 5, failed=2)) == 4.0
    assert median.of(summary(1, 2, failed=3)) == math.inf
    assert Figure("ttft_s", "mean").of(summary(1, 2, 6)) == 3.0
    assert Figure("ttft_s", "mean").of(summary(1, 2, 6, failed=1)) == math.inf
    assert math.isnan(median.of(summary()))


def test_one_that_left_on_purpose_says_nothing_and_one_token_has_no_cadence() -> None:
    assert Figure("ttft_s", "p50").of(summary(1, 2, 3, left=4)) == 2.0
    several, single = record(0, tokens=3, span=2), record(1, tokens=1, span=0)
    run = summarize(load_run([several, single]))
    made = Block.of(run, Figure("tpot_s", "p50"))
    assert (made.value, made.requests, made.failed) == (1.0, 1, 0)


def test_a_disturbed_client_makes_a_block_void() -> None:
    busy = summarize(load_run([record()], client=replace(CALM, cpu_share=0.99)))
    assert "of a core" in Block.of(busy, Figure()).void[0]


def cut_off(*, answered: int = 0, failed: int = 0, problems: tuple[str, ...] = ()) -> Block:
    """A block of which so much is left: stopped early, or with a problem in its records."""
    records = [record(number, ttft=1) for number in range(answered)]
    records += [record(answered + number, Outcome.FAILED) for number in range(failed)]
    run = load_run(records, complete=bool(problems), problems=problems)
    return Block.of(summarize(run), Figure())


@pytest.mark.parametrize("problems", [(), ("a record of request 7 cannot be read",)])
def test_blocks_that_were_cut_off_are_no_equality(problems: tuple[str, ...]) -> None:
    """Twelve of two hundred requests answered, each time, as quickly as A's."""
    whole = Block.of(summary(*[1] * 200), Figure())
    stopped = cut_off(answered=12, problems=problems)
    why = problems[0] if problems else "20 requests in a row failed"
    assert (stopped.void, stopped.cut_off) == ((why,), True)
    for pair in ((whole, stopped), (stopped, whole)):
        comparison = judge_pairs([pair] * 12)
        assert comparison.change is Change.INCONCLUSIVE
        assert comparison.reason == f"12 of 12 pairs are void: {why}"
    assert judge_pairs([(whole, whole)] * 12).change is Change.EQUIVALENT


def test_a_dead_b_that_stops_its_own_blocks_is_worse_and_a_dead_a_proves_nothing() -> None:
    whole, dead = Block.of(summary(*[1] * 200), Figure()), cut_off(failed=20)
    worse = judge_pairs([(whole, dead)] * 12)
    assert (worse.change, worse.failed) == (Change.WORSE, (0, 240))
    assert judge_pairs([(dead, whole)] * 12).change is Change.INCONCLUSIVE
    assert judge_pairs([(dead, dead)] * 12).change is Change.INCONCLUSIVE


def test_failures_beside_a_block_that_was_cut_off_prove_nothing() -> None:
    """A was stopped after 12 requests without a failure, B had 200 chances for its one."""
    one_failed = Block.of(summary(*[1] * 199, failed=1), Figure())
    comparison = judge_pairs([(cut_off(answered=12), one_failed)] * 12)
    assert comparison.change is Change.INCONCLUSIVE
    assert "12 of 12 pairs are void" in comparison.reason


def test_failures_beside_a_disturbed_client_prove_nothing() -> None:
    void = block(0.1, void=("the client used 99 % of a core",))
    failing = [(void, block(0.1, failed=9))] * 12
    assert judge_pairs(failing).change is Change.INCONCLUSIVE
    busy = summarize(load_run([record()], complete=False, client=replace(CALM, cpu_share=0.99)))
    assert not Block.of(busy, Figure()).cut_off


@pytest.mark.parametrize(
    ("indicator", "statistic", "told"),
    [
        ("errors", "p50", "cannot be compared"),
        ("nothing", "p50", "cannot be compared"),
        ("ttft_s", "p0", "is not one of"),
        ("ttft_s", "share", "is not one of"),
    ],
)
def test_what_cannot_be_compared_is_refused(indicator: str, statistic: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Figure(indicator, statistic)


def test_a_quantile_needs_as_many_requests_as_make_it_more_than_the_slowest() -> None:
    assert [Figure("ttft_s", name).requests_least for name in ("p50", "p95", "p99", "mean")] == [
        2,
        20,
        100,
        1,
    ]


def test_a_margin_is_what_b_may_be_slower_by() -> None:
    rule = CompareRule(margin=0.2, tolerance=None)
    assert judge_pairs(pairs(1.1), rule=rule).change is Change.INCONCLUSIVE
    worse = judge_pairs(pairs(1.3), rule=rule)
    assert (worse.change, worse.reason) == (Change.WORSE, "B is slower by more than 20 %")
