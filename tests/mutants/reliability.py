"""Planted faults for the reliability suite: parts that bear the loss of others badly, and missing alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT
from tests.mutants.mutant import Mutant, Prepare, behind, patched

RULES = ROOT / "deploy" / "monitoring" / "rules"
ENGINE = "suites/reliability/test_engine.py"
REPLICAS = "suites/reliability/test_replicas.py"
GATEWAY = "suites/reliability/test_gateway.py"
MONITORING = "suites/reliability/test_monitoring.py"
SOON = {"reliability-engine-back-s": 6.0}  # of the simulator, whose start takes a second
BLIND = {"upstream": {"retries": 0, "health": {"unhealthy_after": 1000}, "outlier": {"failures": 1000}}}
HASTY = {"upstream": {"health": {"every_s": 0.1, "unhealthy_after": 1}}}


def without(alert: str) -> Prepare:
    """Rules that lack an alert."""

    def prepare(folder: Path) -> Mapping[str, Any]:
        rules = folder / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yml"):
            document = yaml.safe_load(file.read_text())
            for group in document["groups"]:
                group["rules"] = [one for one in group["rules"] if one.get("alert") != alert]
            (rules / file.name).write_text(yaml.safe_dump(document))
        return {"rules": str(rules)}

    return prepare


def _patch(name: str, why: str, nodeid: str, **more: Any) -> Mutant:
    """A fault of the gateway that one claim, and its case, must find."""
    given = {**patched(name), **more.pop("profile", {})}
    return Mutant(name + more.pop("suffix", ""), (nodeid,), (nodeid,), why=why, profile=given, **more)


def _gone(alert: str, nodeid: str) -> Mutant:
    """An alert that is no more."""
    return Mutant(f"no-{alert}", (nodeid,), (nodeid,), why=f"no rule for {alert}", prepare=without(alert))


MUTANTS = [
    _patch(
        "broken-streams-end-whole",
        "a stream that broke ends with [DONE]",
        f"{ENGINE}::test_no_broken_stream_looks_whole[killed]",
    ),
    _patch(
        "hangs-without-engine",
        "a request that finds no engine is left hanging",
        f"{ENGINE}::test_who_cannot_be_served_is_told_so_soon[killed]",
    ),
    _patch(
        "every-failure-500",
        "the engine's failures are 500",
        f"{ENGINE}::test_the_refusal_names_the_cause[killed]",
    ),
    _patch(
        "never-trusts-again",
        "a lost replica is never asked again",
        f"{ENGINE}::test_it_serves_again[killed]",
        profile={"bounds": SOON},
    ),
    _gone("EngineDown", f"{ENGINE}::test_somebody_is_told[killed]"),
    _patch(
        "cuts-with-health",
        "streams are cut when their engine takes no new requests",
        f"{ENGINE}::test_an_engine_that_is_told_to_stop_lets_its_streams_end",
        gateway=HASTY,
    ),
    _patch(
        "ready-whatever",
        "/ready is green without an engine",
        f"{ENGINE}::test_ready_says_when_the_engine_is_away",
    ),
    Mutant(
        "asks-the-dead",
        (
            f"{REPLICAS}::test_only_what_was_at_the_lost_replica_is_lost",
            f"{REPLICAS}::test_a_hung_replica_is_left_out",
        ),
        ("test_only_what_was_at_the_lost_replica_is_lost", "test_a_hung_replica_is_left_out"),
        why="no replica is ever left out, and none asked in another's place",
        gateway=BLIND,
    ),
    _patch(
        "retries-in-the-middle",
        "a broken answer is begun anew elsewhere",
        f"{REPLICAS}::test_nothing_is_begun_twice",
    ),
    _patch(
        "never-trusts-again",
        "a lost replica is never asked again",
        f"{REPLICAS}::test_a_replica_that_is_back_is_used_again",
        profile={"bounds": SOON},
        suffix="-of-two",
    ),
    _gone("ReplicaUnhealthy", f"{REPLICAS}::test_the_loss_of_a_replica_is_told"),
    _patch(
        "cuts-with-health",
        "streams are cut when their engine takes no new requests",
        f"{REPLICAS}::test_a_rolling_restart_breaks_no_stream",
        gateway=HASTY,
        suffix="-of-two",
    ),
    Mutant(
        "slots-outlive-the-gateway",
        (f"{GATEWAY}::test_a_dead_gateway_frees_its_slots",),
        ("test_a_dead_gateway_frees_its_slots",),
        why="an engine that does not see its clients leave",
        engine=behind("slot-leak"),
    ),
    _patch(
        "starts-late-again",
        "a second start takes 20 s",
        f"{GATEWAY}::test_it_serves_again",
    ),
    _gone("GatewayDown", f"{GATEWAY}::test_the_death_of_the_gateway_is_told"),
    Mutant(
        "no-drain",
        (f"{GATEWAY}::test_streams_outlive_the_order_to_stop",),
        ("test_streams_outlive_the_order_to_stop",),
        why="a gateway that is told to stop cuts its streams",
        gateway={"drain_timeout_s": 0.01},
    ),
    _patch("ends-badly", "the exit code after a drain is 7", f"{GATEWAY}::test_it_goes_in_good_order"),
    _patch(
        "ends-with-the-log",
        "a gateway that cannot write its log ends",
        f"{GATEWAY}::test_a_full_disk_under_its_log_costs_no_request",
    ),
    _patch(
        "serves-while-watched",
        "requests are refused when nobody scrapes",
        f"{MONITORING}::test_serving_needs_no_watchers",
    ),
    _patch(
        "refuses-at-times",
        "each 25th request is refused",
        f"{MONITORING}::test_a_full_disk_under_the_watchers_costs_no_request",
    ),
    _patch(
        "metrics-end-with-the-scrapes",
        "metrics are gone once a while has passed without a scrape",
        f"{MONITORING}::test_watching_goes_on_where_it_ended",
    ),
    _gone("AlertsDoNotArrive", f"{MONITORING}::test_alerts_that_do_not_arrive_are_told"),
]
