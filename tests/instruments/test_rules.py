"""Rules from objectives: which PromQL, what is left out and why, and the file as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from instruments.errors import ConfigurationError
from instruments.slo.applies import Applies
from instruments.slo.burn_rate import for_period, for_run
from instruments.slo.objective import ServiceLevelObjective, load_objectives
from instruments.slo.rule_file import RuleFile, rules_text
from instruments.slo.rules import rules_of
from instruments.slo.server_indicators import BadShare, Gauge, Grown, LeftOut, in_promql
from instruments.slo.server_metrics import (
    BOUNDS_S,
    ServerMetrics,
    le,
    neighbours,
    read_bounds,
    read_version,
)

CATALOG = Path(__file__).parents[2] / "suites" / "catalog" / "objectives"
V32 = ServerMetrics(version=(0, 32))


def objective(indicator: str = "ttft_s", statistic: str = "p95", **more: Any) -> ServiceLevelObjective:
    limit = {} if {"at_most", "at_least"} & more.keys() else {"at_most": 0.25}
    told = {"id": "o", "description": "d", "workload": "w", **limit, **more}
    return ServiceLevelObjective(indicator=indicator, statistic=statistic, **told)


def share(one: ServiceLevelObjective, server: ServerMetrics = V32) -> dict[str, str]:
    """Ending of the recorded name -> PromQL over 5m, on one line."""
    found = in_promql(one, server)
    assert isinstance(found, BadShare), found
    return {ending: " ".join(of("5m").split()) for ending, of in found.shares.items()}


def left_out(one: ServiceLevelObjective, server: ServerMetrics = V32, environment: str | None = None) -> str:
    found = in_promql(one, server, environment)
    assert isinstance(found, LeftOut), found
    return found.why


def rules(file: RuleFile) -> list[str]:
    return [rule.name for group in file.groups for rule in group.rules]


def test_a_limit_on_a_bound_is_one_share() -> None:
    assert share(objective()) == {
        "": '1 - sum by (model_name) (rate(vllm:time_to_first_token_seconds_bucket{le="0.25"}[5m])) '
        "/ (sum by (model_name) (rate(vllm:time_to_first_token_seconds_count[5m])) > 0)"
    }


def test_a_limit_between_bounds_is_an_interval_and_only_its_low_end_alerts() -> None:
    """0.2 s lies between 0.1 s and 0.25 s: over 0.25 s is certainly over, over 0.1 s perhaps."""
    one = objective(at_most=0.2)
    found = share(one)
    assert list(found) == [":low", ":high"]
    assert 'le="0.25"' in found[":low"]
    assert 'le="0.1"' in found[":high"]
    file = rules_of([one], for_period(), V32)
    alerts = [rule for group in file.groups for rule in group.rules if rule.name == "SloBurnRate"]
    assert len(alerts) == 4
    for rule in alerts:
        assert rule.expr.count(":low{") == 2
        assert ":high" not in rule.expr
        assert "0.1 s to 0.25 s cannot be told apart" in rule.annotations["description"]
        assert "first tokens later than 0.25 s" in rule.annotations["summary"]


def test_a_limit_below_the_first_bound_has_no_high_end() -> None:
    """Of gaps within 10 ms nothing is known: that all of them are over 5 ms is not worth a series."""
    found = share(objective("itl_s", at_most=0.005))
    assert list(found) == [":low"]
    assert 'le="0.01"' in found[":low"]


def test_a_limit_beyond_the_last_bound_is_refused_with_the_objectives_name() -> None:
    with pytest.raises(ConfigurationError, match="o: a limit of 81 s lies beyond") as caught:
        rules_of([objective("tpot_s", at_most=81)], for_period(), V32)
    assert "at most 80 s" in str(caught.value)
    assert "--custom-histogram-buckets" in str(caught.value)
    assert share(objective("tpot_s", at_most=80))


def test_neighbours_are_the_bounds_next_to_it() -> None:
    assert neighbours((0.1, 0.25, 0.5), 0.25) == (0.25, 0.25)
    assert neighbours((0.1, 0.25, 0.5), 0.2500001) == (0.25, 0.5)
    assert neighbours((0.1, 0.25, 0.5), 0.01) == (None, 0.1)
    assert neighbours((0.1, 0.25, 0.5), 0.5) == (0.5, 0.5)


def test_bounds_of_ones_own_take_the_place_of_vllms() -> None:
    """Seed of this project: TTFT below 200 ms can be judged exactly when the server has that bound."""
    told = '{"time_to_first_token": [0.1, 0.2, 1], "iteration_tokens": [1, 8]}'
    server = ServerMetrics(version=(0, 32), custom_bounds_s=read_bounds(told))
    assert list(share(objective(at_most=0.2), server)) == [""]
    with pytest.raises(ConfigurationError, match="beyond the last"):
        in_promql(objective(at_most=2), server)
    assert server.bounds_s("tpot") == BOUNDS_S["inter_token_latency"]


@pytest.mark.parametrize(
    "words",
    ["[]", "{", '{"time_to_first_token": []}', '{"time_to_first_token": [0.2, 0.1]}',
     '{"request_latency": [0, 1]}', '{"inter_token_latency": ["1"]}', '{"request_latency": 3}'],
)  # fmt: skip
def test_bounds_that_vllm_would_not_take_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"JSON object|finite numbers above 0"):
        read_bounds(words)


def test_whole_bounds_match_in_both_spellings() -> None:
    """The client library writes 1.0, Prometheus 3 stores it so; other exporters write 1."""
    assert [le(bound) for bound in (0.25, 1.0, 2560.0, 7.5)] == [
        'le="0.25"',
        'le=~"1|1[.]0"',
        'le=~"2560|2560[.]0"',
        'le="7.5"',
    ]


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ("0.32", {"inter_token_latency"}),
        ("0.11.0", {"inter_token_latency"}),
        ("0.10.2", {"time_per_output_token"}),
        ("0.6", {"time_per_output_token"}),
        ("any", {"inter_token_latency", "time_per_output_token"}),
    ],
)
def test_names_are_those_of_the_version(version: str, named: set[str]) -> None:
    expression = share(objective("itl_s"), ServerMetrics(version=read_version(version)))[":low"]
    names = ("inter_token_latency", "time_per_output_token")
    assert {name for name in names if f"vllm:{name}_seconds_bucket" in expression} == named
    assert {name for name in names if f"vllm:{name}_seconds_count" in expression} == named


def test_old_servers_have_fewer_bounds() -> None:
    with pytest.raises(ConfigurationError, match="beyond the last finite bound"):
        in_promql(objective("itl_s", at_most=5), ServerMetrics(version=(0, 8, 5)))
    assert share(objective("itl_s", at_most=5), ServerMetrics(version=(0, 9)))
    assert ServerMetrics(version=(0, 6, 3)).bounds_s("e2e")[0] == 1.0
    assert ServerMetrics(version=(0, 6, 4)).bounds_s("e2e")[0] == 0.3


def test_what_an_old_server_does_not_measure_is_left_out() -> None:
    why = left_out(objective("tpot_s"), ServerMetrics(version=(0, 10)))
    assert why == "vLLM has vllm:request_time_per_output_token_seconds since 0.11"


@pytest.mark.parametrize("words", ["", "latest", "0", "0.x", "1.2.3.4"])
def test_what_is_no_version_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"0\.32, or 'any'"):
        read_version(words)


def test_jobs_and_models_are_asked_for_where_they_are_named() -> None:
    one = objective(applies=Applies(models=("llama-3.1-*", "tiny")))
    found = share(one, ServerMetrics(version=(0, 32), job="engine"))[""]
    labels = r'job="engine",model_name=~"(?i:llama\\-3\\.1\\-.*|tiny)"'
    assert f'_bucket{{{labels},le="0.25"}}' in found
    assert f"_count{{{labels}}}" in found


def test_errors_are_answers_of_5xx_and_streams_that_broke_off() -> None:
    one = objective("error_share", "share", at_most=0.01)
    found = share(one, ServerMetrics(job="engine", gateway_job="gateway"))[""]
    asked = 'job="gateway",endpoint!~"/health|/ready"'  # /ready says 503 for as long as the engine starts
    assert f'gateway_requests_total{{{asked},status_code=~"5.."}}' in found
    assert 'gateway_streams_total{job="gateway",outcome=~"upstream_error|cut_by_shutdown|failed"}' in found
    assert found.endswith(f"/ (sum(rate(gateway_requests_total{{{asked}}}[5m])) > 0)")


@pytest.mark.parametrize(
    ("indicator", "statistic", "value"),
    [
        ("queue_depth", "max", "sum by (model_name) (vllm:num_requests_waiting)"),
        ("running", "mean", "sum by (model_name) (vllm:num_requests_running)"),
        ("kv_cache_usage", "p95", "max by (model_name) (vllm:kv_cache_usage_perc)"),
    ],
)
def test_gauges_are_recorded(indicator: str, statistic: str, value: str) -> None:
    assert in_promql(objective(indicator, statistic, at_most=0.9), V32) == Gauge(value, statistic)


def test_a_gauge_of_any_version_has_both_names() -> None:
    found = in_promql(objective("kv_cache_usage", "max", at_most=0.9), ServerMetrics())
    value = "max by (model_name) (vllm:kv_cache_usage_perc or vllm:gpu_cache_usage_perc)"
    assert found == Gauge(value, "max")


def test_preemptions_are_counted_whole() -> None:
    found = in_promql(objective("preemptions", "count", at_most=2), V32)
    assert isinstance(found, Grown)
    assert found.value("1h") == "floor(sum by (model_name) (increase(vllm:num_preemptions_total[1h])))"


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (objective("errors", "count", at_most=0), "no budget"),
        (objective("goodput_share", "share", at_least=0.9, per_request={"ttft_s": 1.0}), "several limits"),
        (objective("requests_per_s", "rate", at_least=1), "how much is asked for"),
        (objective("running", "mean", at_least=8), "nobody asks"),
        (objective("gpu_power_w", "max", at_most=300), "exporter of the GPU"),
        (objective("ttft_s", "mean"), "a mean allows no share"),
        (objective(applies=Applies(users=(4, 64))), "for 4 or 64 users"),
        (objective(applies=Applies(accelerators=("a6000",))), "for a6000, which the server's"),
        (objective(applies=Applies(environments=("eks",))), "no --environment"),
        (objective("error_share", "share", at_most=0.1, applies=Applies(models=("x",))), "models apart"),
    ],
)
def test_what_the_server_cannot_judge_is_left_out_with_why(one: ServiceLevelObjective, why: str) -> None:
    assert why in left_out(one)
    kept = objective(id="kept")
    file = rules_of([one, kept], for_period(), V32)
    assert [name for name, _ in file.left_out] == ["o"]
    assert {rule.labels["slo"] for group in file.groups for rule in group.rules} == {"kept"}
    assert f"# Left out: o: {left_out(one)}." in rules_text(file, for_period(), "x").splitlines()


def test_an_environment_chooses_its_own_objectives() -> None:
    one = objective(applies=Applies(environments=("eks*",)))
    assert left_out(one, environment="local") == "for eks*, this is local"
    assert isinstance(in_promql(one, V32, "eks-2"), BadShare)


@pytest.mark.parametrize("given", [[], [objective("errors", "count", at_most=0)]])
def test_rules_that_watch_nothing_are_refused(given: list[ServiceLevelObjective]) -> None:
    with pytest.raises(ConfigurationError, match="nothing to watch"):
        rules_of(given, for_period(), V32)


def test_every_window_has_its_share_and_every_long_window_its_events() -> None:
    names = rules(rules_of([objective()], for_period(), V32))
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    assert {f"slo:sli_error:ratio_rate{window}" for window in windows} <= set(names)
    assert {f"slo:sli_events:increase{window}" for window in ("1h", "6h", "1d", "3d")} <= set(names)
    assert names.count("SloBurnRate") == 4
    assert names.count("SloNotJudged") == 1


def test_an_alert_that_no_share_could_fire_is_not_made_and_said() -> None:
    """A p90 lets 10 % be slow: 14.4 times that is 144 %."""
    file = rules_of([objective(statistic="p90")], for_period(), V32)
    assert rules(file).count("SloBurnRate") == 3
    assert "# No such alert: o: 14.4 times a budget of 10 % is more than there could be." in rules_text(
        file, for_period(), "x"
    )


def test_an_advisory_objective_wakes_nobody() -> None:
    def severities(*, required: bool) -> list[str]:
        file = rules_of([objective(required=required)], for_period(), V32)
        return [
            rule.labels["severity"]
            for group in file.groups
            for rule in group.rules
            if rule.name == "SloBurnRate"
        ]

    assert severities(required=True) == ["page", "page", "ticket", "ticket"]
    assert severities(required=False) == ["ticket"] * 4


def test_the_text_says_what_the_rules_say() -> None:
    """Names with quotes, backslashes, colons and templates included."""
    nasty = 'a "b": {{ $labels }} \\ #é'
    file = rules_of([objective(id=nasty), objective("queue_depth", "max", id="q")], for_run(600.0), V32)
    text = rules_text(file, for_run(600.0), "made\nso")
    read = yaml.safe_load(text)["groups"]
    assert [group["name"] for group in read] == [group.name for group in file.groups]
    for group, told in zip(file.groups, read, strict=True):
        for rule, said in zip(group.rules, told["rules"], strict=True):
            assert said.get("record", said.get("alert")) == rule.name
            assert said["expr"].rstrip("\n") == rule.expr
            assert said["labels"] == dict(rule.labels)
            assert said.get("annotations", {}) == dict(rule.annotations)


def test_the_same_objectives_make_the_same_bytes() -> None:
    given = [objective(at_most=0.2), objective("tpot_s", id="p")]
    texts = {rules_text(rules_of(given, plan, V32), plan, "x") for plan in (for_period(), for_period())}
    assert len(texts) == 1


def test_what_the_shipped_rules_are_made_of_can_be_watched() -> None:
    """The other files of the catalog are about loads that nobody sends but the suites."""
    file = rules_of(load_objectives(CATALOG / "smoke.yaml").values(), for_period(), V32)
    assert "SloBurnRate" in rules(file)
