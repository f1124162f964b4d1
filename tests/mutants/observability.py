"""Faults for the observability suite, alerts apart: metrics, books, panels, rules, logs and GPUs that lie."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT

from .mutant import Mutant, behind, patched

CONTRACT = "suites/observability/test_contract.py"
LAWS = "suites/observability/test_laws.py"
DASHBOARDS = "suites/observability/test_dashboards.py"
LOGS = "suites/observability/test_logs.py"
GPU = "suites/observability/test_gpu.py"
# Only what the claims look at: without ingress and exporter a stack stands sooner.
SMALL: Mapping[str, Any] = {"ingress": None, "exporter": {"kind": "none"}}
# Rules over days are evaluated often enough to be waited for.
PACED: Mapping[str, Any] = {**SMALL, "pace": 10, "bounds": {"panels-answer-s": 25}}


def engine(fault: str, why: str, claim: str, red: str = "", **more: Any) -> Mutant:
    """A fault between the engine and all others, and the one claim that must find it."""
    return Mutant(
        fault, (claim,), (red or claim.partition("::")[2],), why, ground=SMALL, engine=behind(fault), **more
    )


def gateway(fault: str, why: str, claim: str, red: str = "", **more: Any) -> Mutant:
    """A fault within the gateway."""
    wanted = red or claim.partition("::")[2]
    return Mutant(fault, (claim,), (wanted,), why, ground=SMALL, profile=patched(fault), **more)


def exporter(fault: str, why: str, claim: str, red: str = "", **more: Any) -> Mutant:
    """A fault within the GPU exporter."""
    program = [sys.executable, "-m", "tests.mutants.exporter", "--fault", fault]
    wanted = red or claim.partition("::")[2]
    planted = {"exporter": {"program": program}}
    return Mutant(fault, (claim,), (wanted,), why, ground={"ingress": None}, profile=planted, **more)


def rules(change: Callable[[str, list[dict[str, Any]]], None]) -> Callable[[Path], Mapping[str, Any]]:
    """The rules of deploy/ with each group's list of rules changed: change(the group's name, its rules)."""

    def made(folder: Path) -> Mapping[str, Any]:
        for path in (ROOT / "deploy" / "monitoring" / "rules").glob("*.yml"):
            document = yaml.safe_load(path.read_text("utf-8"))
            for group in document["groups"]:
                change(group["name"], group["rules"])
            (folder / path.name).write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return {"rules": str(folder)}

    return made


def without_kv_cache(name: str, found: list[dict[str, Any]]) -> None:
    """What a panel asks for is not recorded."""
    if name == "engine":
        found[:] = [rule for rule in found if rule.get("record") != "engine:kv_cache_usage:ratio"]


def failing(name: str, found: list[dict[str, Any]]) -> None:
    """An alert whose expression cannot be evaluated."""
    for rule in found if name == "gateway" else ():
        if rule.get("alert") == "LimitStorageErrors":
            rule["expr"] = "count by (job, instance) (up) * on () up > 0"


def recorded_elsewhere(name: str, found: list[dict[str, Any]]) -> None:
    """Further rules record something else under a name, between its own evaluations."""
    if name in ("gateway", "gpu", "targets"):
        found.append({"record": "engine:kv_cache_usage:ratio", "expr": "vllm:kv_cache_usage_perc + 5"})


def in_percent(name: str, found: list[dict[str, Any]]) -> None:
    """A ratio is recorded in percent."""
    for rule in found if name == "gpu" else ():
        if rule.get("record") == "gpu:utilization:ratio":
            rule["expr"] = rule["expr"].replace("gpu_utilization_percent / 100", "gpu_utilization_percent")


MUTANTS = [
    Mutant(
        "metric-renamed",
        (f"{CONTRACT}::test_a_metric_has_its_name_its_type_and_its_help",),
        ("its_help[engine-vllm:",),
        "no metric of the engine begins with vllm:",
        ground=SMALL,
        engine=behind("metrics-renamed"),
    ),
    engine(
        "metric-retyped",
        "a gauge's TYPE is another",
        f"{CONTRACT}::test_a_metric_has_its_name_its_type_and_its_help",
        "its_help[engine-vllm:num_requests_running]",
    ),
    engine(
        "metric-labelled",
        "a label that is not in the contract",
        f"{CONTRACT}::test_a_metric_has_its_labels_from_closed_sets",
        "closed_sets[engine-vllm:request_success_total]",
    ),
    engine(
        "buckets-changed",
        "one bound of a histogram is another",
        f"{CONTRACT}::test_a_histogram_has_its_buckets_and_counts_all",
        "counts_all[engine-vllm:e2e_request_latency_seconds]",
    ),
    engine(
        "buckets-not-cumulative",
        "the lowest bucket holds more than the one above it",
        f"{CONTRACT}::test_a_histogram_has_its_buckets_and_counts_all",
        "counts_all[engine-vllm:e2e_request_latency_seconds]",
    ),
    engine(
        "ratio-in-percent",
        "a share of the KV cache above 1",
        f"{CONTRACT}::test_gauges_stay_within_their_ranges_over_a_load",
        "over_a_load[engine]",
    ),
    engine(
        "counter-falls",
        "a counter is less with each scrape",
        f"{CONTRACT}::test_no_counter_falls_over_a_load",
        "over_a_load[engine]",
    ),
    engine(
        "metric-misnamed",
        "a time in milliseconds",
        f"{CONTRACT}::test_names_say_what_they_are",
        "what_they_are[engine]",
    ),
    engine(
        "help-dropped",
        "a page without its HELP lines",
        f"{CONTRACT}::test_a_page_is_one_that_every_parser_reads",
        "parser_reads[engine]",
    ),
    engine(
        "metrics-slow",
        "a page takes more than a second",
        f"{CONTRACT}::test_a_scrape_is_done_in_time",
        "in_time[engine]",
    ),
    gateway(
        "model-label-open",
        "a label with whatever a client writes as the model",
        f"{CONTRACT}::test_odd_requests_add_no_series",
        "no_series[gateway]",
    ),
    Mutant(
        "first-tokens-told-double",
        (
            f"{LAWS}::test_laws_hold_on_mixed_lengths_and_refusals",
            f"{LAWS}::test_laws_hold_on_whole_answers",
            f"{LAWS}::test_laws_hold_where_clients_leave",
        ),
        ("refusals[first-tokens", "whole_answers[first-tokens", "clients_leave[first-tokens"),
        "the engine counts each first token twice",
        also=("[requests", "[ttft-", "[e2e-"),
        ground=SMALL,
        engine=behind("first-tokens-doubled"),
    ),
    gateway(
        "requests-counted-twice",
        "the gateway counts each request twice",
        f"{LAWS}::test_the_gateway_counts_each_request_once_and_by_its_status",
    ),
    gateway(
        "tokens-lost",
        "the gateway counts a token less of each answer",
        f"{LAWS}::test_tokens_are_the_same_for_client_gateway_and_engine",
    ),
    gateway(
        "leavers-hidden",
        "a client that left is a completed stream",
        f"{LAWS}::test_streams_end_for_the_gateway_as_they_end_for_clients",
    ),
    engine(
        "prometheus-told-double",
        "Prometheus is told twice as much as anybody else",
        f"{LAWS}::test_prometheus_holds_every_counter_as_the_part_shows_it",
        "shows_it[engine]",
    ),
    Mutant(
        "rate-told-double",
        (f"{LAWS}::test_a_rate_over_the_load_is_what_clients_count",),
        ("test_a_rate_over_the_load",),
        "the same, as a rate",
        ground=SMALL,
        engine=behind("prometheus-told-double"),
    ),
    Mutant(
        "panel-asks-old-name",
        (f"{DASHBOARDS}::test_a_panel_answers_with_a_number",),
        ("a_number[engine: KV cache in use A]", "a_number[overview: KV cache in use A]"),
        "nobody records what a panel asks for",
        ground=PACED,
        prepare=rules(without_kv_cache),
    ),
    Mutant(
        "rule-fails",
        (f"{DASHBOARDS}::test_a_rule_is_evaluated_in_time_and_without_error",),
        ("-LimitStorageErrors]",),
        "a rule's expression matches many to many",
        ground=PACED,
        prepare=rules(failing),
    ),
    Mutant(
        "rule-recorded-elsewhere",
        (f"{DASHBOARDS}::test_what_a_rule_records_is_what_its_expression_says",),
        ("engine-0-engine:kv_cache_usage:ratio]",),
        "other rules record something else under the same name",
        also=("engine:kv_cache_usage:ratio]",),
        ground=PACED,
        prepare=rules(recorded_elsewhere),
    ),
    gateway(
        "log-not-json",
        "a line of the gateway's log is plain words",
        f"{LOGS}::test_every_line_of_a_log_is_an_object_and_each_request_has_its_fields",
    ),
    gateway("log-twice", "each request has two lines", f"{LOGS}::test_each_request_of_a_load_has_one_line"),
    gateway(
        "request-id-dropped",
        "the gateway does not tell the engine the request's id",
        f"{LOGS}::test_an_id_joins_client_ingress_gateway_and_engine",
    ),
    gateway(
        "request-id-any",
        "whatever a client sends as an id is written down",
        f"{LOGS}::test_an_odd_id_is_replaced_by_one_of_our_own",
    ),
    gateway(
        "prompt-logged",
        "the gateway writes bodies down",
        f"{LOGS}::test_no_prompt_and_no_answer_is_in_any_log",
    ),
    engine(
        "id-tells-prompt",
        "the engine's log gets the prompt, in the id",
        f"{LOGS}::test_an_engine_that_logs_requests_logs_no_prompt",
    ),
    gateway(
        "log-elsewhere", "lines are stamped in another zone", f"{LOGS}::test_instants_are_in_utc_and_of_now"
    ),
    gateway(
        "failures-as-info",
        "a failed request's line has the level of a success",
        f"{LOGS}::test_a_failure_is_logged_with_its_level_and_its_cause",
    ),
    exporter(
        "gpu-milliwatts",
        "power in milliwatts under a name that says watts",
        f"{GPU}::test_a_figure_is_what_nvml_says",
        "nvml_says[gpu_power_draw_watts]",
    ),
    exporter(
        "gpu-absent-as-0",
        "a reading that a card does not give is 0",
        f"{GPU}::test_what_a_card_does_not_give_is_absent_and_never_0",
    ),
    exporter("gpu-swapped", "two cards have each other's index", f"{GPU}::test_cards_are_told_apart"),
    exporter("gpu-stub-unsaid", "a stub passes for a GPU", f"{GPU}::test_a_stub_says_that_it_is_one"),
    exporter("gpu-age-constant", "readings are always of just now", f"{GPU}::test_readings_are_fresh"),
    exporter(
        "gpu-fan-untold",
        "Prometheus is not told of a reading",
        f"{GPU}::test_prometheus_holds_what_the_exporter_shows",
    ),
    Mutant(
        "gpu-ratio-in-percent",
        (f"{GPU}::test_a_figure_is_recorded_in_the_unit_of_its_name",),
        ("its_name[gpu:utilization:ratio]",),
        "a ratio is recorded in percent",
        ground={"ingress": None},
        prepare=rules(in_percent),
    ),
]
