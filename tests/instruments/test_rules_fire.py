"""Each kind of alert firing and silent, in Prometheus' own evaluator, on series made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruments.slo.burn_rate import Plan
from tests.instruments.rule_stories import (
    E2E,
    EXACT,
    ITL,
    MONTH,
    OLD_ITL,
    RUN,
    RUNS,
    TTFT,
    Story,
    burns,
    check,
    histogram,
    objective,
)

M = 'model_name="m"'
# 0.2 s lies between the bounds 0.1 s and 0.25 s; 1 s is a whole number.
BETWEEN = objective("between", "ttft_s", "p95", 0.2)
TIGHT = objective("tight", "e2e_s", "p99", 1.0)
ERRORS = objective("errors", "error_share", "share", 0.01)
GAUGES = [
    objective("queue-max", "queue_depth", "max", 50),
    objective("queue-mean", "queue_depth", "mean", 50),
    objective("kv", "kv_cache_usage", "p95", 0.9),
    objective("preempted", "preemptions", "count", 2),
]


def test_no_traffic_is_no_share_and_no_alert(tmp_path: Path) -> None:
    """Counters that stand still: 0 / 0 is no sample. The error budget is there all the same."""
    grows = {
        **histogram(TTFT, {"0.25": [(60, 0)], "all": [(60, 0)]}, M),
        'gateway_requests_total{status_code="200"}': [(60, 0)],
    }
    said = [
        ('{__name__=~"slo:sli_error:.*"}', "60m", {}),
        ("sum by (slo) (slo:error_budget:ratio)", "60m", {'{slo="exact"}': 0.05, '{slo="errors"}': 0.01}),
        ("sum by (slo) (slo:objective:ratio)", "60m", {'{slo="exact"}': 0.95, '{slo="errors"}': 0.99}),
    ]
    check(tmp_path, Story(MONTH, "1m", grows, {"60m": set()}, said), EXACT, ERRORS)


@pytest.mark.parametrize(
    ("within", "low", "high", "windows"),
    [
        ((1000, 1000), 0, 0, ()),
        ((0, 1000), 0, 1000, ()),  # all took 0.1 s to 0.25 s: nobody can say that they were over 0.2 s
        ((0, 940), 60, 1000, ("10m",)),
        ((0, 0), 1000, 1000, RUNS),
    ],
)
def test_a_limit_between_two_bounds_alerts_on_what_is_certain(
    tmp_path: Path, within: tuple[int, int], low: int, high: int, windows: tuple[str, ...]
) -> None:
    """Of 1000 a second `within` took at most 0.1 s and at most 0.25 s; the limit is 0.2 s."""
    grows = histogram(
        TTFT,
        {"0.1": [(60, within[0])], "0.25": [(60, within[1])], "all": [(60, 1000)]},
        M,
    )
    labels = '{slo="between", workload="w", model_name="m"}'
    said = [
        (f"round(slo:sli_error:ratio_rate50s:{end} * 1000)", "60s", {labels: share})
        for end, share in (("low", low), ("high", high))
    ]
    check(tmp_path, Story(RUN, "1s", grows, {"60s": burns("between", *windows)}, said), BETWEEN)


@pytest.mark.parametrize("bound", ["1", "1.0"])
def test_a_whole_bound_is_found_in_either_spelling(tmp_path: Path, bound: str) -> None:
    """p99: the thresholds are 14.4 %, 6 %, 3 % and 1 %; 14.3 % are late. Two engines are added up."""
    grows = {
        **histogram(E2E, {bound: [(60, 857 - 500)], "all": [(60, 500)]}, 'model_name="m",engine="0"'),
        **histogram(E2E, {bound: [(60, 500)], "all": [(60, 500)]}, 'model_name="m",engine="1"'),
    }
    check(tmp_path, Story(RUN, "1s", grows, {"60s": burns("tight", *RUNS[1:])}), TIGHT)


def test_models_are_judged_each_by_itself(tmp_path: Path) -> None:
    """5,000 good ones a second of one model do not hide 90 bad ones of another's 100."""
    grows = {
        **histogram(TTFT, {"0.25": [(60, 10)], "all": [(60, 100)]}, 'model_name="slow"'),
        **histogram(TTFT, {"0.25": [(60, 5000)], "all": [(60, 5000)]}, 'model_name="well"'),
    }
    firing = 'count by (model_name) (ALERTS{alertstate="firing"})'
    said = [(firing, "60s", {'{model_name="slow"}': 4})]
    check(tmp_path, Story(RUN, "1s", grows, {"60s": burns("exact", *RUNS)}, said), EXACT)


def test_servers_of_any_version_are_judged_under_their_own_names(tmp_path: Path) -> None:
    """An old server (no `engine` label) and a new one that still shows the old name: nothing counts twice.

    Within 0.05 s: of the old server's gaps 90 of 100 a second, of the new one's 50: 140 of 200, 30 % over.
    """
    new = 'model_name="m",engine="0"'
    grows = {
        **histogram(OLD_ITL, {"0.05": [(60, 90)], "all": [(60, 100)]}, M),
        **histogram(OLD_ITL, {"0.05": [(60, 50)], "all": [(60, 100)]}, new),
        **histogram(ITL, {"0.05": [(60, 50)], "all": [(60, 100)]}, new),
    }
    labels = '{slo="gaps", workload="w", model_name="m"}'
    said = [
        ("round(slo:sli_error:ratio_rate50s * 1000)", "60s", {labels: 300}),
        ("round(slo:sli_events:increase50s)", "60s", {labels: 10_000}),
    ]
    gaps = objective("gaps", "itl_s", "p90", 0.05)  # 6, 3 and 1 times 10 %: 60 %, 30 %, 10 %
    check(tmp_path, Story(RUN, "1s", grows, {"60s": burns("gaps", "10m")}, said), gaps)


@pytest.mark.parametrize(
    ("failed", "broken", "windows"),
    [(0, 0, ()), (0.5, 0.4, ()), (0.5, 0.6, ("10m",)), (0, 6.1, ("50s", "3m20s", "10m")), (15, 0, RUNS)],
)
def test_errors_are_counted_with_the_streams_that_broke(
    tmp_path: Path, failed: float, broken: float, windows: tuple[str, ...]
) -> None:
    """Of 100 a second: a 429 is the client's doing; 1 % may fail, so 14.4 %, 6 %, 3 % and 1 % fire.

    Beside them a hundred probes, half of them answered 503: nobody's requests, on neither side of the share.
    """
    grows = {
        'gateway_requests_total{status_code="200",endpoint="/health"}': [(60, 50.0)],
        'gateway_requests_total{status_code="503",endpoint="/ready"}': [(60, 50.0)],
        'gateway_requests_total{status_code="200"}': [(60, 95 - failed)],
        'gateway_requests_total{status_code="429"}': [(60, 5.0)],
        'gateway_streams_total{outcome="completed"}': [(60, 50.0)],
    }
    if failed:
        grows['gateway_requests_total{status_code="500"}'] = [(60, failed)]
    if broken:
        grows['gateway_streams_total{outcome="upstream_error"}'] = [(60, broken)]
    labels = '{slo="errors", workload="w"}'
    said = [("round(slo:sli_error:ratio_rate50s * 1000)", "60s", {labels: round((failed + broken) * 10)})]
    check(tmp_path, Story(RUN, "1s", grows, {"60s": burns("errors", *windows)}, said), ERRORS)


@pytest.mark.parametrize(("plan", "window"), [(MONTH, "1h"), (RUN, "9s")], ids=["month", "run"])
def test_a_histogram_without_the_bound_is_told_of(tmp_path: Path, plan: Plan, window: str) -> None:
    """For 5 min, in a run for 4 s, there is traffic and no bucket of 0.25 s. A bucket makes it silent."""
    step, before, after = ("1m", "5m", "6m") if plan is MONTH else ("1s", "4s", "6s")
    blind = histogram(TTFT, {"0.2": [(10, 100)], "all": [(10, 100)]}, 'model_name="blind"')
    seen = histogram(TTFT, {"0.25": [(10, 100)], "all": [(10, 100)]}, 'model_name="seen"')
    told_of = {("SloNotJudged", "exact", window)}
    check(tmp_path, Story(plan, step, {**blind, **seen}, {before: set(), after: told_of}), EXACT)


def test_gauges_alert_past_their_limits(tmp_path: Path) -> None:
    """Over ten minutes, a sample each 10 s: 61 of them.

    The queue: 50 is well, 51 is over at once; its mean is over 50 when 51 have stood for 20 samples. Of the
    KV cache's samples 5 % may be over 0.9: of 61 the 95th percentile lies at place 57 of 0 to 60, so four of
    them (places 57 to 60) are just enough. Preemptions: two may be, the third may not.
    """
    gauges = {
        'vllm:num_requests_waiting{model_name="calm"}': "50x60",
        'vllm:num_requests_waiting{model_name="busy"}': "51x60",
        'vllm:kv_cache_usage_perc{model_name="calm"}': "0.5x56 0.95x2 0.5",
        'vllm:kv_cache_usage_perc{model_name="busy"}': "0.5x55 0.95x4",
        'vllm:num_preemptions_total{model_name="calm"}': "0x30 2x29",
        'vllm:num_preemptions_total{model_name="busy"}': "0x30 3x29",
    }
    mean, kv, preempted = (("SloThreshold", slo, "10m") for slo in ("queue-mean", "kv", "preempted"))
    most = ("SloThreshold", "queue-max", "now")
    fires = {
        "10s": {most},
        "180s": {most},  # 19 samples
        "190s": {most, mean},  # 20
        "300s": {most, mean},
        "310s": {most, mean, preempted},
        "600s": {most, mean, preempted, kv},
    }
    said = [('count by (model_name) (ALERTS{alertstate="firing"})', "600s", {'{model_name="busy"}': 4})]
    check(tmp_path, Story(RUN, "10s", {}, fires, said, gauges), *GAUGES)


def test_alerts_carry_labels_and_words(tmp_path: Path) -> None:
    """Templates are filled in; a name that looks like one stays as it is."""
    one = objective('a "b" {{ $labels }}', "ttft_s", "p95", 0.2)
    grows = histogram(TTFT, {"0.25": [(60, 940)], "all": [(60, 1000)]}, M)
    description = (
        "TTFT p95 ≤ 0.2 s: d. The last 10m and the last 50s burn the budget more than 1 times too fast: at "
        "that pace what is meant for a run of 10m is gone after 10m. The limit, 0.2 s, is no bound of the "
        "server's histogram: what took 0.1 s to 0.25 s cannot be told apart, and only what took longer than "
        "0.25 s is counted as bad. The server's metrics do not tell workloads apart: this is of all its "
        "traffic. Look first at: requests that wait (vllm:num_requests_waiting), KV cache in use, longer "
        "prompts than usual."
    )
    words = {
        "summary": 'a "b" {{ $labels }}: 6% of the last 10m were first tokens later than 0.25 s; 5 % may be',
        "description": description,
    }
    labels = {"slo": one.id, "workload": "w", "severity": "ticket", "window": "10m", "model_name": "m"}
    expected = {"exp_labels": labels, "exp_annotations": words}
    asked = [{"alertname": "SloBurnRate", "eval_time": "60s", "exp_alerts": [expected]}]
    check(tmp_path, Story(RUN, "1s", grows, alerts=asked), one)
