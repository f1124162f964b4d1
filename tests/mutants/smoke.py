"""Faults for the smoke suite: one planted fault turns the right claims red, and only those."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from environments.binaries import ROOT

from .mutant import Mutant, behind, patched

SERVICE = "suites/smoke/test_service.py"
BAD_REQUESTS = "suites/smoke/test_bad_requests.py"
LATENCY = "suites/smoke/test_latency.py"
SECURITY = "suites/smoke/test_security.py"
TELEMETRY = "suites/smoke/test_telemetry.py"
SMOKE = (SERVICE, BAD_REQUESTS, LATENCY, SECURITY, TELEMETRY)

# The gateway is reached directly: a limit or a TLS version of its own is not hidden by an ingress.
DIRECT: Mapping[str, Any] = {"ingress": None, "exporter": {"kind": "none"}}
UNLIMITED = [
    {"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in ("suite", "second", "limited")
]


def law(name: str) -> str:
    """The claim of one conservation law, on any load."""
    return f"counted_alike[{name}-"


def smoke(name: str, why: str, *red: str, scope: tuple[str, ...] = SMOKE, **more: Any) -> Mutant:
    """A fault of this suite."""
    return Mutant(name, scope, red, why, ground=DIRECT, **more)


def later(name: str, *, scope: str, red: str, why: str, patch: str | None = None) -> Mutant:
    """A fault of a stack that stands already."""
    planted = patched(patch) if patch else {}
    return Mutant(patch or name, (scope,), (red,), why, ground=DIRECT, profile=planted, after=name)


def no_alerts(folder: Path) -> Mapping[str, Any]:
    """Rules that record and alert nobody."""
    for path in (ROOT / "deploy" / "monitoring" / "rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group["rules"] = [rule for rule in group["rules"] if "record" in rule]
        rules["groups"] = [group for group in rules["groups"] if group["rules"]]
        (folder / path.name).write_text(yaml.safe_dump(rules))
    return {"rules": str(folder)}


OPEN_ROUTES = ["GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions"]
OBJECTIVES = tuple(
    f"objective_is_met[{name}]"
    for name in ("ttft-p95-lone-user", "ttft-p95-four-users", "goodput-four-users")
)

MUTANTS = [
    smoke(
        "authentication-off",
        "the gateway asks for no key",
        "who_has_no_key",
        "no_key_gets_no_tokens",
        "guessing_keys",
        gateway={"authentication": "off"},
        scope=(SECURITY,),
    ),
    smoke(
        "limiter-off",
        "no key and no address has a limit",
        "over_the_limit",
        "limit_of_one_key",
        "guessing_keys",
        gateway={"limits": {"anonymous": None}, "keys": UNLIMITED},
        scope=(SECURITY,),
    ),
    smoke(
        "tls-1.0-allowed",
        "the gateway speaks TLS from 1.0 on",
        "tls_before_1_2_is_refused[tls1.0]",
        "tls_before_1_2_is_refused[tls1.1]",
        gateway={"tls": {"minimum_version": "1.0"}},
        scope=(SECURITY,),
    ),
    smoke(
        "tls-1.3-only",
        "the gateway speaks no TLS below 1.3",
        "tls_from_1_2_on_is_spoken[tls1.2]",
        gateway={"tls": {"minimum_version": "1.3"}},
        scope=(SECURITY,),
    ),
    smoke(
        "metrics-public",
        "/metrics is on the list of routes",
        "metrics_are_not_on_the_public_port",
        gateway={"routes": [*OPEN_ROUTES, "GET /metrics"]},
        scope=(SECURITY,),
    ),
    smoke(
        "tokenizer-open",
        "/tokenize is on the list of routes",
        "what_vllm_leaves_open_is_closed[/tokenize]",
        gateway={"routes": [*OPEN_ROUTES, "POST /tokenize"]},
        engine=behind("tokenizer-open"),
        scope=(SECURITY,),
    ),
    smoke(
        "bearer-not-read",
        "the gateway looks for keys in X-API-Key alone",
        "right_key_as_bearer",
        profile=patched("bearer-not-read"),
        scope=(f"{SECURITY}::test_the_right_key_as_bearer_is_let_in",),
    ),
    smoke(
        "x-api-key-not-read",
        "the gateway looks for keys in Authorization alone",
        "right_key_as_x_api_key",
        profile=patched("x-api-key-not-read"),
        scope=(SECURITY,),
    ),
    smoke(
        "plain-http-served",
        "on the port for TLS plain HTTP is answered too",
        "plain_http_is_refused",
        profile=patched("plain-http-served"),
        scope=(f"{SECURITY}::test_plain_http_is_refused_or_sent_to_https",),
    ),
    later(
        "signal-gateway",
        patch="certificate-changed",
        why="a certificate that no authority has signed",
        scope=f"{SECURITY}::test_tls_is_verified_against_the_authority",
        red="tls_is_verified",
    ),
    later(
        "signal-gateway",
        patch="falls-ill",
        why="/ready says 503 though all is well",
        scope=SERVICE,
        red="says_that_it_is_well[/ready]",
    ),
    smoke(
        "models-unlisted",
        "models are listed by name and without an id",
        "the_model_is_listed",
        engine=behind("models-unlisted"),
        scope=(SERVICE,),
    ),
    smoke(
        "refused-bodies-200",
        "the gateway refuses a body with 200",
        "malformed_json",
        profile=patched("refused-bodies-200"),
        scope=(BAD_REQUESTS,),
    ),
    smoke(
        "error-200",
        "the engine's refusals of a client come as 200",
        "unknown_model",
        "does_not_fit",
        "max_tokens_below_one",
        engine=behind("error-200"),
        scope=(SERVICE, BAD_REQUESTS, SECURITY),
    ),
    smoke(
        "buffering",
        "streams are held back to their end",
        "tokens_arrive_while",
        "client_that_leaves",
        engine=behind("buffering"),
    ),
    smoke(
        "token-dropped",
        "each stream lacks one event with text",
        "streaming_and_plain",
        engine=behind("token-dropped"),
    ),
    smoke(
        "slot-leak",
        "the engine goes on for a client that has left",
        "client_that_leaves",
        engine=behind("slot-leak"),
        scope=(SERVICE,),
    ),
    smoke(
        "first-token-delay",
        "the first token comes 300 ms late",
        *OBJECTIVES,
        law("ttft-overhead"),
        law("e2e-overhead"),
        # Behind the delay a stream has to go on for longer than it, or it arrives in one burst.
        engine=behind("first-token-delay", "--delay-ms", "300")
        | {"simulator_arguments": ["--ttft-ms", "5", "--itl-ms", "1.2"]},
    ),
    smoke(
        "usage-inflated",
        "usage tells one token too many",
        law("generation-tokens"),
        "length_asked_for",
        "events_come_in_order",
        engine=behind("usage-inflated"),
    ),
    smoke(
        "counter-lies",
        "the engine counts one generated token less for each request",
        law("generation-tokens"),
        engine=behind("counter-lies"),
        scope=(TELEMETRY,),
    ),
    smoke(
        "metrics-renamed",
        "all of the engine's metrics have other names",
        "every_metric",
        "client_that_leaves",
        "prometheus_and_direct",
        "prometheus_scrapes",
        "no_alert_is_pending",  # MetricMissing: the engine answers without what alerts look at
        blind=("counted_alike",),
        engine=behind("metrics-renamed"),
    ),
    smoke(
        "cache-full",
        "the KV cache is nearly full",
        "no_alert_is_pending",
        engine=behind("cache-full"),
        scope=(TELEMETRY,),
    ),
    smoke(
        "no-alerting-rules",
        "Prometheus is given the recording rules alone",
        "the_rules_are_loaded",
        prepare=no_alerts,
        scope=(TELEMETRY,),
    ),
    later(
        "alertmanager-killed",
        why="Alertmanager is dead",
        scope=f"{TELEMETRY}::test_alerts_would_arrive",
        red="alerts_would_arrive",
    ),
    later(
        "metrics-gone",
        patch="metrics-gone",
        why="the gateway's metrics answer 503",
        scope=f"{TELEMETRY}::test_prometheus_reports_its_targets_up",
        red="prometheus_reports_its_targets_up",
    ),
]
