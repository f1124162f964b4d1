"""Figures: quantile, errors, medians, cost per token; goals judged by them; the loads they come from."""

import json
from dataclasses import replace

import pytest

from benchmarks.asking import bodies
from benchmarks.figures import Figures, Run, figures_of, ratio
from benchmarks.goals import goals
from benchmarks.meter import Usage
from benchmarks.peers.peer import Reading
from benchmarks.quantile import p99
from benchmarks.scenarios import FOR_ALL, FOR_OURS, PACED_64, quick
from benchmarks.server import Truth

MIB = 2**20


def test_p99_is_linear_between_order_statistics() -> None:
    assert p99(range(1, 102)) == 100  # (101 − 1) · 0.99 = 99 steps from the first
    assert [p99([1.0, 0.0]), p99([5.0])] == pytest.approx([0.99, 5.0])
    with pytest.raises(ValueError, match="no values"):
        p99([])


def test_errors_are_the_clients_p99_less_the_servers() -> None:
    usage = Usage(0, 2.0, 1.5, 9, 8, 1, timed_out=False)
    truth = Truth(ttft_ms=(50.0, 60.0), itl_ms=(10.0,), tokens=128, requests=2, probes=3)
    kept = Run("x", "one", 1, **figures_of(usage, truth, Reading(2, (51.0, 61.0), (10.5,), extra={"a": 1.0})))
    assert [kept.ttft_error_ms, kept.itl_error_ms] == pytest.approx([60.9 - 59.9, 0.5])
    assert (kept.wall_s, kept.cpu_s, kept.peak_rss_bytes, kept.largest_rss_bytes) == (2.0, 1.5, 9, 8)
    assert (kept.tokens, kept.probes, kept.completed, kept.processes_left) == (128, 3, 2, 1)
    assert kept.extra == {"a": 1.0}
    own = Run("k6", "one", 1, **figures_of(usage, truth, Reading(2, ttft_p99_ms=61.25)))
    assert own.ttft_error_ms == pytest.approx(61.25 - 59.9)
    assert own.itl_error_ms is None


def test_medians_are_of_the_good_runs_of_one_client_in_one_scenario() -> None:
    good = [Run("a", "one", 1, wall_s=wall, peak_rss_bytes=3 * MIB) for wall in (1.0, 5.0, 2.0)]
    failed = [Run("a", "one", 1, wall_s=99.0, problem=why) for why in ("first", "second")]
    figures = Figures([*failed, *good, Run("b", "one", 1, wall_s=70.0), Run("a", "x", 1, wall_s=80.0)])
    assert (figures.wall_s("a", "one"), figures.peak_mib("a", "one")) == (2.0, 3.0)
    assert (figures.problem("a", "one"), figures.problem("b", "one")) == ("first", None)
    assert figures.wall_s("c", "one") is figures.ttft_error_ms("a", "one") is None


def test_cost_per_token_leaves_out_what_a_run_of_one_request_costs() -> None:
    starts = [Run("a", "one", 1, cpu_s=cpu, tokens=64) for cpu in (0.2, 0.4, 0.3)]
    loads = {"load": (1.3, 100_064), "idle": (0.1, 1064), "small": (1.0, 64)}
    runs = [Run("a", name, 1, cpu_s=cpu, tokens=tokens) for name, (cpu, tokens) in loads.items()]
    figures = Figures([*starts, *runs, Run("b", "load", 1, cpu_s=1.0, tokens=100_064)])
    assert figures.cpu_s_per_million_tokens("a", "load") == pytest.approx(10.0)  # 1 s for 100,000
    assert figures.cpu_s_per_million_tokens("a", "idle") is None  # lost in what starting varies by, and no 0
    assert figures.cpu_s_per_million_tokens("a", "small") is None
    assert figures.cpu_s_per_million_tokens("b", "load") is None  # its start is not known
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is ratio(3.0, None) is ratio(3.0, 0.0) is ratio(3.0, -1.0) is None


def test_goals_are_judged_by_the_size_of_errors_by_ratios_and_by_rates() -> None:
    run = Run("ours", "paced-256", 1, ttft_p99_true_ms=50.0, itl_p99_true_ms=10.0, tokens=100_064)
    runs = [Run(peer, "one", 1, cpu_s=0.3, wall_s=0.25) for peer in ("ours", "vllm-rs", "vllm-bench")]
    runs.append(replace(run, ttft_p99_ms=49.95, itl_p99_ms=9.8, cpu_s=1.3, peak_rss_bytes=70 * MIB))
    runs.append(replace(run, peer="vllm-rs", ttft_p99_ms=55.0, cpu_s=1.1))
    runs.append(replace(run, peer="vllm-bench", cpu_s=2.8))
    for name, lag, share in (("constant-200", 0.2, 0.9995), ("poisson-200", 0.9, 1.002)):
        runs.append(Run("ours", name, 1, extra={"send_lag_p99_ms": lag, "achieved_share": share}))
    runs.append(Run("ours", "poisson-1000", 1, extra={"send_lag_p99_ms": 0.9}))
    judged = {goal.what: goal for goal in goals(Figures(runs))}
    for what, value, verdict in (
        ("TTFT p99 error, paced-256", 0.05, "reached"),
        ("TTFT p99 error ÷ the Rust client's, paced-256", 0.01, "reached"),
        ("ITL p99 error, paced-256", 0.2, "NOT REACHED"),
        ("CPU per token ÷ the Rust client's, paced-256", 1.25, "NOT REACHED"),  # 10 s over 8 s
        ("CPU per token ÷ `vllm bench serve`'s, paced-256", 0.4, "reached"),  # over 25 s
        ("a run of one request", 0.25, "reached"),  # just at its limit
        ("send lag p99, poisson-200", 0.9, "NOT REACHED"),
        ("send lag p99, poisson-1000", 0.9, "reached"),
        ("achieved rate off the offered one, constant-200", 0.05, "reached"),
        ("achieved rate off the offered one, poisson-200", 0.2, "NOT REACHED"),
        ("peak memory at 256 streams", 70.0, "NOT REACHED"),
    ):
        assert judged[what].value == pytest.approx(value)
        assert judged[what].verdict == verdict
    assert judged["ITL p99 error, paced-64"].verdict == "not measured"
    assert len(judged) == len(goals(Figures([]))) == 29
    assert {goal.verdict for goal in goals(Figures([]))} == {"not measured"}


def test_errors_of_both_signs_do_not_make_up_for_each_other() -> None:
    runs = [
        Run("a", "x", n, ttft_p99_ms=50.0 + off, ttft_p99_true_ms=50.0)
        for n, off in enumerate((5.0, -5.0, 0.0))
    ]
    figures = Figures(runs)
    assert (figures.ttft_error_ms("a", "x"), figures.ttft_error_size_ms("a", "x")) == (0.0, 5.0)


def test_a_quick_load_is_the_same_with_fewer_requests_but_never_fewer_than_its_streams() -> None:
    loads = {load.name: load for load in (*FOR_ALL, *FOR_OURS)}
    for name, requests in {"one": 1, "paced-64": 64, "flat-64": 512, "paced-1024": 1024}.items():
        assert quick(loads[name]) == replace(loads[name], requests=requests)
    for name, requests in {"constant-200": 250, "poisson-1000": 1250}.items():
        assert quick(loads[name]) == replace(loads[name], requests=requests, streams=requests)
    large = loads["streams-10000"]
    assert quick(large) == replace(large, requests=1000, streams=1000, itl_ms=100.0)


def test_bodies_are_as_many_as_long_and_as_different_as_asked_and_the_same_from_one_seed() -> None:
    load = replace(PACED_64, requests=5, tokens=7)
    told = [json.loads(body) for body in bodies(load, 1)]
    prompts = [one["messages"][0]["content"] for one in told]
    assert [len(prompt.split(" ")) for prompt in prompts] == [24] * 5  # 32 tokens, 8 of them the template's
    assert len(set(prompts)) == 5
    assert {(one["max_tokens"], one["ignore_eos"], one["stream"]) for one in told} == {(7, True, True)}
    assert bodies(load, 1) == bodies(load, 1) != bodies(load, 2)
