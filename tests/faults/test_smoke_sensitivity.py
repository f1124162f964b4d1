"""Mutation proof of the smoke suite: one planted fault turns the right claims red, and only those.

The engine is the simulator, whose timing is dictated, so that what turns red does so by the fault and
not by a busy machine. `VLLM_SLO_FAULT_ENGINE=vllm` runs the same against real vLLM.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
RUN_BOUND_S = 240
INCONCLUSIVE = 11  # exit code


@dataclass(frozen=True)
class Fault:
    """What is planted, and the claims that must turn red: parts of their names, each seen at least once."""

    name: str
    red: tuple[str, ...]
    gateway: dict[str, Any] = field(default_factory=dict)
    interposer: tuple[str, ...] = ()


def law(name: str) -> str:
    """The claim of one conservation law, on any load."""
    return f"counted_alike[{name}-"


def between(fault: str, *more: str, red: tuple[str, ...]) -> Fault:
    """A fault of the saboteur, which stands between the engine and all that talks to it."""
    return Fault(fault, red, interposer=("--fault", fault, *more))


LATENCY = ("ttft-p95-lone-user", "ttft-p95-four-users", "goodput-four-users")
# Between the gateway's own share, on a busy machine, and what `first-token-delay` adds.
OVERHEAD_BUDGET_S = 0.2
FAULTS = [
    between("none", red=()),
    Fault(
        "authentication-off",
        red=("who_has_no_key", "no_key_gets_no_tokens", "guessing_keys"),
        gateway={"authentication": "off"},
    ),
    Fault(
        "limiter-off",
        red=("over_the_limit", "limit_of_one_key", "guessing_keys"),
        gateway={"limits": {"anonymous": None}, "keys": "unlimited"},
    ),
    Fault(
        "tls-1.0-allowed",
        red=("tls_before_1_2_is_refused[tls1.0]", "tls_before_1_2_is_refused[tls1.1]"),
        gateway={"tls": {"minimum_version": "1.0"}},
    ),
    between("buffering", red=("tokens_arrive_while", "client_that_leaves")),
    between(
        "first-token-delay", "--delay-ms", "300", red=(*LATENCY, law("ttft-overhead"), law("e2e-overhead"))
    ),
    between("token-dropped", red=("streaming_and_plain",)),
    between(
        "metrics-renamed",
        red=(
            "every_metric",
            "counted_alike",
            "client_that_leaves",
            "prometheus_and_direct",
            "prometheus_scrapes",
            "no_alert_is_pending",  # MetricMissing: the engine answers without what alerts look at
        ),
    ),
    between("usage-inflated", red=(law("generation-tokens"), "length_asked_for", "events_come_in_order")),
    between("counter-lies", red=(law("generation-tokens"),)),
    between("cache-full", red=("no_alert_is_pending",)),
    Fault(
        "metrics-public",
        red=("metrics_are_not_on_the_public_port",),
        gateway={
            "routes": ["GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions", "GET /metrics"]
        },
    ),
    # Not malformed JSON: the gateway refuses that by itself, and no engine sees it.
    between("error-200", red=("unknown_model", "does_not_fit", "max_tokens_below_one")),
    between("slot-leak", red=("client_that_leaves",)),
]


def profile_with(fault: Fault) -> dict[str, Any]:
    """The local profile with the fault in it."""
    kind = os.environ.get("VLLM_SLO_FAULT_ENGINE", "simulator")
    # Behind the delay a stream has to go on for longer than the delay, or it arrives in one burst.
    itl_ms = "1.2" if fault.name == "first-token-delay" else "0.4"
    engine: dict[str, Any] = {"kind": kind, "simulator_arguments": ["--ttft-ms", "5", "--itl-ms", itl_ms]}
    if fault.interposer:
        engine["interposer"] = [sys.executable, "-m", "tests.faults.saboteur", *fault.interposer]
    settings = dict(fault.gateway)
    if settings.get("keys") == "unlimited":
        names = ("suite", "second", "limited")
        settings["keys"] = [{"name": name, "key_env": f"GATEWAY_KEY_{name.upper()}"} for name in names]
    return {
        "name": f"fault-{fault.name}",
        "description": f"a stack with one fault: {fault.name}",
        "provider": "local",
        "engine": engine,
        "gateway": {"settings": settings},
        "overhead_budget_s": OVERHEAD_BUDGET_S,
    }


def run_smoke(folder: Path, fault: Fault) -> tuple[int, dict[str, str], str]:
    """Exit code, outcome of each claim, and what was printed."""
    profile = folder / "profile.yaml"
    profile.write_text(yaml.safe_dump(profile_with(fault)))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "smoke",
            "-q",
            f"--env={profile}",
            f"--results={folder / 'results'}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_BOUND_S,
    )
    claims = lines(folder / "results" / "latest" / "claims.jsonl")
    # On a busy machine the honest answer may be that nothing can be told. It speaks of no fault.
    undecided = {
        one["claim"]
        for one in lines(folder / "results" / "latest" / "verdicts.jsonl")
        if one["state"] == "INCONCLUSIVE"
    }
    undecided |= {
        claim["nodeid"]
        for claim in claims
        for one in lines(folder / "results" / "latest" / "laws.jsonl")
        if one["state"] == "INCONCLUSIVE" and one["law"].endswith("-overhead")
        if claim["nodeid"].endswith(f"[{one['law']}-{one['load']}]")
    }
    outcomes = {
        one["nodeid"]: "inconclusive" if one["nodeid"] in undecided else one["outcome"] for one in claims
    }
    return done.returncode, outcomes, done.stdout + done.stderr


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_turns_the_right_claims_red(fault: Fault, tmp_path: Path) -> None:
    """Every claim that turns red is one that speaks of the fault, and each of those does."""
    code, outcomes, printed = run_smoke(tmp_path, fault)
    assert len(outcomes) > 50, printed
    red = {name for name, outcome in outcomes.items() if outcome in ("failed", "error")}
    unexpected = {name for name in red if not any(part in name for part in fault.red)}
    assert not unexpected, f"{sorted(unexpected)}\n{printed}"
    missed = [part for part in fault.red if not any(part in name for name in red)]
    assert not missed, f"these stayed green: {missed}\n{printed}"
    assert code != 0 if fault.red else code in (0, INCONCLUSIVE)
    assert "skipped" not in outcomes.values()
