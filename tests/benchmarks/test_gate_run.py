"""The gate benchmark's harness: its sampling is the product's, its repetitions are reproducible."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate import __main__ as program
from benchmarks.gate import gates, knee
from benchmarks.gate.carried import Table, load
from benchmarks.gate.figures import Share, Size
from benchmarks.gate.laws import Autocorrelated, Law, Lognormal, Pareto, Rising, Settling
from benchmarks.gate.plan import SEARCH, experiments, figures
from benchmarks.gate.regression import Interleaved
from benchmarks.gate.sampling import CONFIDENCE, FAMILY, Plan, Target, until_decided
from benchmarks.gate.trials import Trial, repeat, seeded
from instruments.records import RequestRecord
from instruments.slo import ServiceLevelObjective, State, evaluate
from instruments.slo.finding import Case
from instruments.statistics import RunSummary, summarize
from tests.instruments.shapes import SECOND, load_run, record

PLAN = Plan(200, 20_000, judged=1)


def summary(latencies: list[float]) -> RunSummary:
    """A run that was sampled until decided, of requests a millisecond apart with these TTFTs."""
    known = summarize(load_run([_record(index, ttft_s) for index, ttft_s in enumerate(latencies)]))
    return replace(known, void=(), stamp_error_s=0.0, send_lag_p99_s=0.0, sampling={"looks": "open"})


def _record(index: int, ttft_s: float) -> RequestRecord:
    sent = index * SECOND // 1_000
    first = sent + round(ttft_s * SECOND)
    return replace(
        record(index), due_ns=sent, sent_ns=sent, headers_ns=sent, first_data_ns=first,
        first_token_ns=first, last_token_ns=first + SECOND, done_ns=first + SECOND,
    )  # fmt: skip


@pytest.mark.parametrize("place", [-0.3, 0.3])
@pytest.mark.parametrize("law", [Lognormal(), Autocorrelated()], ids=lambda law: law.name)
def test_a_run_is_judged_as_evaluate_judges_its_records(law: Law, place: float) -> None:
    target = Target(law, 0.9, place)
    state, n = until_decided(law.start(np.random.default_rng(5)), target.limit, target.rule(), PLAN)
    values = law.start(np.random.default_rng(5))
    # Drawn in the same pieces as the looks take them, so that they are the same values.
    taken = np.concatenate([values(piece) for piece in np.diff([0, *_looks(n)])])
    objective = ServiceLevelObjective(
        id="o", description="d", workload="w", indicator="ttft_s", statistic="p90",
        at_most=target.limit, confidence=CONFIDENCE,
    )  # fmt: skip
    verdict = evaluate(summary(taken.tolist()), objective, family=FAMILY)
    assert verdict.state is state is (State.MET if place < 0 else State.VIOLATED)
    assert Case(summary([1.0]), objective, FAMILY).rule() == target.rule()
    if n > PLAN.fewest:  # the look before did not decide it
        before = taken[: _looks(n)[-2]].tolist()
        assert evaluate(summary(before), objective, family=FAMILY).state is State.INCONCLUSIVE


def _looks(n: int) -> list[int]:
    sizes = [PLAN.fewest]
    while sizes[-1] < n:
        sizes.append(-int(-sizes[-1] * 1.05 // 1))
    return sizes


@pytest.mark.parametrize("place", [-0.05, 0.1])
@pytest.mark.parametrize("law", [Lognormal(), Pareto(), Autocorrelated()], ids=lambda law: law.name)
def test_looks_that_are_passed_over_could_not_have_decided(law: Law, place: float) -> None:
    for seed in range(6):
        target, plan = Target(law, 0.5, place), Plan(500, 6_000, judged=1)
        every = replace(target, settled=False).sampled(np.random.default_rng(seed), plan)
        assert target.sampled(np.random.default_rng(seed), plan) == every


def test_a_warm_up_is_no_violation_and_what_never_settles_no_pass() -> None:
    plan = Plan(2_000, 20_000, judged=1)
    settling = Target(Settling(), 0.9, -0.2, settled=False)
    rising = Target(Rising(), 0.9, -0.3, settled=False)
    for seed in range(3):
        assert settling.sampled(np.random.default_rng(seed), plan)[0] is State.MET
        assert rising.sampled(np.random.default_rng(seed), plan)[0] is not State.MET


def test_what_becomes_of_a_rising_system_is_told_by_its_law() -> None:
    rise = gates.NeverSteady("r", Rising(doubling=1_000), -0.5)
    # 50 % inside and twice as slow after 1,000: the 900th request is inside, the 1,100th is not; what was
    # seen until 3,000 is, on average, outside, and until 1,200 it is not, though the last one was.
    trials: list[Trial] = [("V", (900,)), ("V", (1_100,)), ("M", (200,)), ("M", (3_000,)), ("I", (900,))]
    trials.append(("M", (1_200,)))
    said = {one.name: one for one in gates.never_steady(rise, trials)}
    counts = {name: one.count for name, one in said.items() if isinstance(one, Share)}
    assert counts == {
        "MET": 3,
        "MET though what was seen was outside": 1,
        "VIOLATED before it was ever outside": 1,
        "VIOLATED": 2,
        "INCONCLUSIVE": 1,
    }


def test_repetitions_are_the_same_however_many_there_are_and_whoever_makes_them() -> None:
    search = Interleaved(Pareto(), 0.05)
    few, many = (repeat([(search, n)], seed=7)[search.name] for n in (3, 60))
    assert many[:3] == few
    assert repeat([(search, 60)], seed=7, processes=2)[search.name] == many
    assert repeat([(search, 3)], seed=8)[search.name] != few


def test_no_two_repetitions_and_no_two_experiments_draw_the_same() -> None:
    wanted = [experiment for experiment, _ in experiments(1)]
    firsts = {seeded(experiment, 4, one).random() for experiment in wanted for one in range(100)}
    assert len(firsts) == 100 * len(wanted)


def test_blocks_that_differ_by_much_are_soon_told_apart_and_equal_ones_are_equivalent() -> None:
    for slower, letter in ((0.5, "W"), (0.0, "E")):
        trials = repeat([(experiment := Interleaved(Lognormal(), slower), 5)], seed=1)[experiment.name]
        assert {letters for letters, _ in trials} == {letter}
        assert all(requests % 500 == 0 for _, (requests,) in trials)


def test_a_search_reports_what_it_took_and_whether_the_knee_is_inside() -> None:
    trials = repeat([(SEARCH, 5)], seed=1)[SEARCH.name]
    found = {one.name: one for one in knee.capacity(trials)}
    inside, runs = found["true knee inside the reported interval"], found["runs"]
    assert isinstance(inside, Share)
    assert (inside.count, inside.of) == (5, 5)
    assert isinstance(runs, Size)
    assert runs.p95 is not None
    assert runs.p95 <= 12


def test_every_experiment_has_a_name_of_its_own() -> None:
    names = [experiment.name for experiment, _ in experiments(1)]
    assert len(set(names)) == len(names)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that repeats two cheap experiments, and keeps its table in a folder of its own."""
    cheap = [(gates.ONE_OUTSIDE, 40), (SEARCH, 5)]
    monkeypatch.setattr(program, "experiments", lambda _: cheap)
    monkeypatch.setattr(
        program,
        "figures",
        lambda trials: [*gates.one_outside(trials["one outside"]), *knee.capacity(trials["capacity"])],
    )
    monkeypatch.setattr(program, "load", lambda: load(tmp_path / "table.json"))
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gate", "--processes", "1", *arguments])
    return program.main()


def test_a_tiny_run_is_carried_reproduced_and_checked(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = home / "table.json"
    assert run(monkeypatch, "--check") == 2
    assert "nothing to check against" in capsys.readouterr().err
    assert run(monkeypatch, "--repetitions", "1", "--json", str(table)) == 0
    assert "goals reached" in capsys.readouterr().out
    assert run(monkeypatch, "--repetitions", "1") == 0
    assert "this is the carried table, figure by figure" in capsys.readouterr().out
    assert run(monkeypatch, "--check") == 0
    assert "this is what the carried table says" in capsys.readouterr().out
    table.write_text(
        table.read_text("utf-8").replace(
            '"name": "gates VIOLATED", "count": 40', '"name": "gates VIOLATED", "count": 2'
        )
    )
    assert run(monkeypatch, "--check") == 1
    said = capsys.readouterr().out
    assert "MISSED in the carried table: one of 20 objectives 10 % outside, gates VIOLATED: 5 %" in said
    assert "DIFFERS: one of 20 objectives 10 % outside, gates VIOLATED: 100.00 %" in said


def test_all_that_the_plan_repeats_is_on_the_page() -> None:
    small = [
        (experiment, 1)
        for experiment, _ in experiments(1)
        if experiment not in (gates.UNCHANGED, gates.AT_LIMIT)
    ]
    trials = repeat(small, seed=1)
    never = ("I" * FAMILY, (2_000,) * FAMILY)
    made = Table(1, 1, tuple(figures({**trials, "unchanged": [never], "at the limit": [never]})))
    page = str(made)
    for section in (
        "Unchanged",
        "One of 20",
        "All 20",
        "A system that never",
        "Coverage",
        "Regression",
        "Capacity",
    ):
        assert f"\n### {section}" in page
    for law in ("lognormal", "bimodal", "heavy-tailed", "autocorrelated", "settling"):
        assert f"| {law} p99 " in page


@pytest.mark.parametrize("wrong", [["--write", "--quick"], ["--repetitions", "0"], ["--processes", "0"]])
def test_a_command_line_that_cannot_be_used_is_refused(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *wrong)
    assert "error: " in capsys.readouterr().err
