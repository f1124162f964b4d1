"""The baseline: what it keeps of runs, what it refuses to compare, and that it cannot lower itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from instruments.errors import ConfigurationError
from instruments.records import Outcome
from instruments.slo.baseline import (
    ERROR_SHARE,
    Baseline,
    Reading,
    SavedLoad,
    SavedRun,
    first_baseline,
    saved_load,
    unlike,
)
from instruments.slo.regression import Regression, RegressionRule, judge_runs
from instruments.statistics.comparison import Change
from instruments.statistics.summary import summarize
from tests.instruments.shapes import CALM, load_run, record

FIGURE = "ttft_s p50"
ONE = RegressionRule(figures=(FIGURE,))
HERE = {"engine.version": "0.32", "client.commit": "abc", "loads.chat.workload_sha256": "w1"}


def saved(name: str, ttft_s: float = 0.1, *, failed: int = 0, **fingerprint: str) -> SavedRun:
    reading = Reading(math.log(ttft_s), 0.002, 1000, failed)
    share = Reading(failed / 1000, math.sqrt((failed + 0.5) / 1001 / 1000), 1000, failed)
    told = HERE | {name.replace("__", "."): value for name, value in fingerprint.items()}
    return SavedRun(name, told, {"chat": SavedLoad({FIGURE: reading, ERROR_SHARE: share})})


def several(
    prefix: str, ttft_s: float, number: int = 5, spread: float = 0.005, seed: int = 1
) -> list[SavedRun]:
    """Runs whose medians scatter by so much."""
    random = Random(prefix)
    return [saved(f"{prefix}{k}", ttft_s * math.exp(random.gauss(0, spread))) for k in range(number)]


def judged(baseline: Baseline, runs: Sequence[SavedRun], rule: RegressionRule = ONE) -> Regression:
    return judge_runs(baseline, runs, rule)


@pytest.mark.parametrize(
    ("ttft_s", "change"),
    [(0.1, Change.EQUIVALENT), (0.12, Change.WORSE), (0.08, Change.BETTER), (0.105, Change.INCONCLUSIVE)],
)
def test_later_runs_are_worse_equivalent_better_or_not_to_be_told(ttft_s: float, change: Change) -> None:
    regression = judged(first_baseline(several("a", 0.1), "t0"), several("b", ttft_s))
    assert regression.change is change
    row = regression.rows[0]
    assert row.value == pytest.approx(ttft_s / 0.1, rel=0.01)
    assert (row.low or math.inf) < (row.value or 0) < (row.high or 0)
    assert (row.against, row.runs, row.requests) == ("anchor", 5, 5000)


def test_three_runs_by_hand() -> None:
    """ln 0.1 ± 0.01 in the baseline; one run at 0.12; Student's 99 % of 2 degrees is 6.965."""
    runs = [saved(f"a{k}", 0.1 * math.exp(0.01 * k)) for k in (-1, 0, 1)]
    row = judged(first_baseline(runs, "t0"), [saved("b", 0.12)]).rows[0]
    half = 6.965 * 0.01 * math.sqrt(1 / 3 + 1)
    assert row.low == pytest.approx(1.2 * math.exp(-half), rel=1e-3)
    assert row.high == pytest.approx(1.2 * math.exp(half), rel=1e-3)
    assert row.change is Change.WORSE


def test_two_runs_do_not_know_how_much_runs_differ() -> None:
    regression = judged(first_baseline(several("a", 0.1, 2), "t0"), several("b", 0.2))
    assert regression.change is Change.INCONCLUSIVE
    assert "2 of at least 3 runs in the baseline, 1 more are needed" in regression.reason
    assert [row.change for row in regression.rows] == [Change.INCONCLUSIVE]
    assert regression.rows[0].value == pytest.approx(2.0, rel=0.01)


def test_unlike_runs_are_refused_with_every_key_that_differs() -> None:
    baseline = first_baseline(several("a", 0.1), "t0")
    other = saved("b", engine__version="0.33", loads__chat__workload_sha256="w2", new__key="1")
    with pytest.raises(ConfigurationError) as refused:
        judged(baseline, [other])
    engine, load, new = "engine.version: '0.33', '0.32'", "workload_sha256: 'w2', 'w1'", "new.key: '1'"
    for told in (engine, load, new):
        assert told in str(refused.value)
    with pytest.raises(ConfigurationError, match="they differ in"):
        judged(baseline, [saved("b", client__commit="def")])
    with pytest.raises(ConfigurationError, match="they differ in"):  # nor among themselves
        first_baseline([saved("a"), saved("b", client__commit="def")], "t0")


def test_a_named_difference_is_compared_across_and_remembered() -> None:
    baseline = first_baseline(several("a", 0.1), "t0")
    newer = [saved(f"b{k}", 0.1 + 0.0001 * k, engine__version="0.33") for k in range(3)]
    assert judge_runs(baseline, newer, ONE, ("engine.*",)).change is Change.EQUIVALENT
    accepted = baseline.accepting(newer, "t1", ("engine.*",))
    later = [saved(f"c{k}", 0.1 + 0.0001 * k, engine__version="0.33") for k in range(3)]
    assert judge_runs(accepted, later, ONE).change is Change.EQUIVALENT


def test_a_port_is_no_difference_and_a_workload_of_one_side_is_told_otherwise() -> None:
    assert not unlike(saved("a", engine__flags="--port 1234 -x"), saved("b", engine__flags="--port 9 -x"))
    assert unlike(saved("a", engine__flags="--port 1234 -x"), saved("b", engine__flags="--port 1234 -y"))
    runs = several("b", 0.1)
    extra = {**runs[0].loads, "long": runs[0].loads["chat"]}
    told_more = {**HERE, "loads.long.workload_sha256": "w9"}
    more = [replace(run, loads=extra, fingerprint=told_more) for run in runs]
    regression = judged(first_baseline(several("a", 0.1), "t0"), more)
    assert regression.change is Change.INCONCLUSIVE
    told = {row.workload: row.reason for row in regression.rows}
    assert told["long"] == "a0 has no such figure"
    assert told["chat"] == "within 5 %"


def test_many_small_steps_end_at_the_anchor() -> None:
    """Twenty steps of +1 %, each accepted where it may be: none is 5 % beside the one before it."""
    baseline = first_baseline(several("a", 0.1), "t0")
    anchor, said, beside_latest = baseline.anchor, [], []
    for step in range(1, 21):
        runs = several(f"step{step}-", 0.1 * 1.01**step)
        before = first_baseline(several(f"before{step}-", 0.1 * 1.01 ** (step - 1)), "t")
        beside_latest.append(judged(before, runs).change)
        regression = judged(baseline, runs)
        said.append(regression.change)
        if regression.change is Change.EQUIVALENT:
            baseline = baseline.accepting(runs, f"t{step}")
        assert baseline.anchor == anchor
    assert said[:3] == [Change.EQUIVALENT] * 3
    assert set(said[7:]) == {Change.WORSE}
    assert set(beside_latest) == {Change.EQUIVALENT}


def test_worse_than_the_latest_is_worse_though_the_anchor_was_no_better() -> None:
    baseline = first_baseline(several("a", 0.1), "t0").accepting(several("b", 0.08), "t1")
    regression = judged(baseline, several("c", 0.1))
    assert regression.change is Change.WORSE
    changes = {row.against: row.change for row in regression.rows}
    assert changes == {"anchor": Change.EQUIVALENT, "latest": Change.WORSE}
    assert "against the latest: slower by more than 5 %" in regression.reason


def test_the_anchor_moves_for_a_reason_only_and_the_reason_is_kept() -> None:
    baseline = first_baseline(several("a", 0.1), "t0")
    runs = several("b", 0.2)
    with pytest.raises(ConfigurationError, match="only for a reason"):
        baseline.rebased(runs, "t1", "  ")
    moved = baseline.rebased(runs, "t1", "twice the context")
    assert moved.anchor == moved.latest
    assert (moved.anchor.reason, moved.given_up) == ("twice the context", (baseline.anchor,))
    assert judged(moved, several("c", 0.2)).change is Change.EQUIVALENT


def test_an_anchor_of_too_few_runs_is_filled_up_and_no_further() -> None:
    baseline = first_baseline(several("a", 0.1, 1), "t0")
    assert baseline.runs_missing == 2
    baseline = baseline.accepting(several("b", 0.1, 2), "t1")
    assert (len(baseline.anchor.runs), baseline.runs_missing) == (3, 0)
    later = baseline.accepting(several("c", 0.1, 2), "t2")
    assert later.anchor == baseline.anchor
    assert [run.name for run in later.latest.runs] == ["c0", "c1"]


def test_a_run_is_not_compared_with_itself_nor_counted_twice() -> None:
    runs = several("a", 0.1)
    baseline = first_baseline(runs, "t0")
    with pytest.raises(ConfigurationError, match="a0 is counted already"):
        judged(baseline, runs[:1])
    with pytest.raises(ConfigurationError, match="b is counted already"):
        judged(baseline, [saved("b"), saved("b")])


def test_it_is_the_same_again_from_its_file() -> None:
    baseline = first_baseline(several("a", 0.1), "t0").accepting(several("b", 0.1), "t1", ("engine.*",))
    baseline = replace(baseline, given_up=(baseline.anchor,))
    document = json.loads(json.dumps(baseline.document()))
    assert Baseline.from_document(document, "x.json") == baseline
    for broken in ({}, {**document, "schema": 2}, {**document, "anchor": {}}):
        with pytest.raises(ConfigurationError, match=r"x\.json"):
            Baseline.from_document(broken, "x.json")


def test_failures_are_compared_as_shares_and_infinite_quantiles_are_worse() -> None:
    rule = RegressionRule(figures=(FIGURE, ERROR_SHARE))
    baseline = first_baseline(several("a", 0.1), "t0")
    failing = [saved(f"b{k}", 0.1, failed=50 + k) for k in range(5)]
    rows = {row.figure: row for row in judge_runs(baseline, failing, rule).rows}
    assert rows[FIGURE].change is Change.EQUIVALENT
    assert rows[ERROR_SHARE].change is Change.WORSE
    assert rows[ERROR_SHARE].value == pytest.approx(0.052, abs=1e-3)
    assert judge_runs(baseline, several("b", 0.1), rule).change is Change.EQUIVALENT
    down = replace(saved("c").loads["chat"], figures={FIGURE: Reading(None, 0.0, 1000, 900)})
    dead = [replace(saved(f"c{k}"), loads={"chat": down}) for k in range(2)]
    assert judged(baseline, dead).change is Change.WORSE
    assert judged(baseline, [*dead, saved("d")]).change is Change.INCONCLUSIVE
    assert judged(first_baseline([*dead, saved("d")], "t0"), several("b", 0.1)).change is Change.INCONCLUSIVE


def test_a_run_that_does_not_count_decides_nothing() -> None:
    baseline, runs = first_baseline(several("a", 0.1), "t0"), several("b", 0.1)
    void = replace(runs[0].loads["chat"], doubt="the client used 99 % of a core")
    regression = judged(baseline, [replace(runs[0], loads={"chat": void}), *runs[1:]])
    assert regression.change is Change.INCONCLUSIVE
    assert "b0 does not count: the client used 99 % of a core" in regression.reason
    nothing = judged(baseline, runs, RegressionRule(figures=("e2e_s p50",)))
    assert (nothing.change, nothing.reason) == (Change.INCONCLUSIVE, "nothing was compared")


def test_too_few_runs_say_how_many_more_would_decide() -> None:
    baseline = first_baseline(several("a", 0.1, 8, spread=0.02), "t0")
    row = judged(baseline, [saved("b", 0.1)]).rows[0]
    assert row.change is Change.INCONCLUSIVE
    assert row.runs_more is not None
    alike = [saved(f"b{k}", 0.1) for k in range(1 + row.runs_more)]
    assert judged(baseline, alike).change is Change.EQUIVALENT
    assert judged(baseline, alike[1:]).change is Change.INCONCLUSIVE


def test_equal_runs_are_called_worse_as_rarely_as_is_said() -> None:
    """At the very edge of the tolerance, over three figures: any WORSE in at most 1 % of comparisons."""
    names = tuple(f"{indicator} p50" for indicator in ("ttft_s", "tpot_s", "e2e_s"))
    rule = RegressionRule(figures=names)
    random, wrong, repetitions = Random(3), 0, 800

    def run(name: str, ratio: float) -> SavedRun:
        values = {figure: math.log(ratio) + random.gauss(0, 0.03) for figure in names}
        figures = {figure: Reading(value, 0.001, 500, 0) for figure, value in values.items()}
        return SavedRun(name, HERE, {"chat": SavedLoad(figures)})

    for _ in range(repetitions):
        baseline = first_baseline([run(f"a{k}", 1.0) for k in range(3)], "t0")
        later = [run(f"b{k}", 1.05) for k in range(2)]
        wrong += judge_runs(baseline, later, rule).change is Change.WORSE
    assert wrong / repetitions <= 0.01 + 2 * math.sqrt(0.01 * 0.99 / repetitions)


def test_what_is_kept_of_a_load() -> None:
    """TTFTs of 1 to 100 s: the median is 50, the 95th 95, the mean 50.5; of 101 due one failed."""
    records = [record(number, ttft=number + 1) for number in range(100)]
    load = saved_load(summarize(load_run([*records, record(100, Outcome.FAILED)])))
    median, p95 = load.figures["ttft_s p50"], load.figures["ttft_s p95"]
    assert (median.requests, median.failed) == (101, 1)
    assert median.value == pytest.approx(math.log(51))
    assert p95.value == pytest.approx(math.log(96))
    assert load.figures["ttft_s mean"].value is None  # one failed: it has no mean
    assert load.figures[ERROR_SHARE].value == pytest.approx(1 / 101)
    # At one deviation the median's rank is known to ± 5: ln(56 / 46) / 2.
    assert median.error == pytest.approx(math.log(56 / 46) / 2, rel=0.15)
    assert load.doubt is None
    assert "tpot_s p99" in load.figures
    few = saved_load(summarize(load_run(records[:30])))
    assert "ttft_s p95" in few.figures
    assert "ttft_s p99" not in few.figures  # of 30 it would be the slowest


def test_a_load_that_is_void_or_was_cut_off_is_in_doubt() -> None:
    busy = load_run([record()], client=replace(CALM, cpu_share=0.99))
    assert "of a core" in (saved_load(summarize(busy)).doubt or "")
    assert saved_load(summarize(load_run([record()], complete=False))).doubt == "20 requests in a row failed"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("ttft_s p0", "is not one of"),
        ("queue_depth max", "cannot be compared"),
        ("nothing p50", "cannot be compared"),
    ],
)
def test_a_figure_that_nobody_keeps_is_refused(wrong: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RegressionRule(figures=(wrong,))
