"""Each conservation law is broken by a fault planted between a load and a server, and by no other fault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from instruments.fleet import LoadSpec, run_load
from instruments.slo.conservation import LAWS, LawVerdict, check_laws
from instruments.slo.verdict import State
from instruments.target import Target
from instruments.telemetry.record import ServerRecord
from instruments.telemetry.scrape import DirectScrape
from instruments.workloads.synthetic import SyntheticWorkload
from tests.deploy.running import AUTH, ROOT, Simulator, simulator
from tests.faults.planted.metrics import METRIC_FAULTS

WORKLOAD = SyntheticWorkload("load", "", requests_measured=10, requests_warmup=2, users=2, output_tokens=8)
BOUND_S = 20.0
# A budget that a busy machine keeps, and the delay of `first-token-delay` does not.
BUDGET_S = 0.25
DELAY_S = 0.6

COUNTED = set(LAWS) - {"drained", "kv-cache"}
# fault -> the laws that it breaks, and those that cannot be told any more.
BREAKS: dict[str, tuple[set[str], set[str]]] = {
    "none": (set(), set()),
    "usage-inflated": ({"generation-tokens"}, set()),
    "counter-lies": ({"generation-tokens"}, set()),
    "prompts-doubled": ({"prompt-tokens"}, set()),
    "successes-doubled": ({"requests", "finish-reasons"}, set()),
    "reasons-swapped": ({"finish-reasons"}, set()),
    "first-tokens-doubled": ({"first-tokens", "requests"}, {"ttft-overhead"}),
    "request-stuck": ({"drained"}, COUNTED),
    "cache-leaks": ({"kv-cache"}, set()),
    "histograms-slow": ({"ttft-order", "e2e-order"}, set()),
    "first-token-delay": ({"ttft-overhead", "e2e-overhead"}, set()),
    "metrics-renamed": (set(), set(LAWS)),
    "cache-full": (set(), set()),  # as full before as after
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("laws"), "--ttft-ms", "5", "--itl-ms", "1") as one:
        yield one


@contextmanager
def between(server: Simulator, fault: str) -> Iterator[str]:
    """A saboteur before the server; its URL."""
    command = [sys.executable, "-m", "tests.faults.saboteur", "--upstream", server.url, "--port", "0"]
    command += ["--fault", fault, "--delay-ms", f"{DELAY_S * 1000:g}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as saboteur:
        assert saboteur.stdout is not None
        try:
            yield saboteur.stdout.readline().rpartition(" ")[2].strip()
        finally:
            saboteur.terminate()
            saboteur.wait(BOUND_S)


def laws_of_a_load(url: str, folder: Path) -> dict[str, LawVerdict]:
    with httpx.Client(trust_env=False) as client:
        scrape = DirectScrape(f"{url}/metrics", client)
        before = scrape.snapshot()
        run = run_load(LoadSpec("load", WORKLOAD, Target(url, AUTH), "tiny", 5, folder / "load.jsonl"))
        server = ServerRecord(scrape.source, before, scrape.snapshot())
    found = check_laws(run, server, exclusive=True, overhead_budget_s=BUDGET_S)
    return {one.law: one for one in found}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_fault_breaks_the_laws_that_it_is_against_and_no_other(
    server: Simulator, tmp_path: Path, fault: str
) -> None:
    broken, untold = BREAKS[fault]
    with between(server, fault) as url:
        verdicts = laws_of_a_load(url, tmp_path)
    said = "\n".join(f"{one.state} {one.law}: {one.expected} | {one.seen}" for one in verdicts.values())
    assert {law for law, one in verdicts.items() if one.state is State.VIOLATED} == broken, said
    assert {law for law, one in verdicts.items() if one.state is State.INCONCLUSIVE} == untold, said


METRICS = """\
vllm:num_requests_running{engine="0"} 2.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:prompt_tokens_total{engine="0"} 70.0
vllm:request_success_total{engine="0",finished_reason="stop"} 2.0
vllm:request_success_total{engine="0",finished_reason="length"} 5.0
vllm:request_success_total{engine="0",finished_reason="abort"} 1.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25"} 3.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 8.0
vllm:time_to_first_token_seconds_count{engine="0"} 8.0
vllm:time_to_first_token_seconds_sum{engine="0"} 1.5
vllm:e2e_request_latency_seconds_bucket{engine="0",le="1.0"} 3.0
"""


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("prompts-doubled", [('_tokens_total{engine="0"} 70', '_tokens_total{engine="0"} 140')]),
        (
            "successes-doubled",
            [('stop"} 2', 'stop"} 4'), ('length"} 5', 'length"} 10'), ('abort"} 1', 'abort"} 2')],
        ),
        ("first-tokens-doubled", [('count{engine="0"} 8', 'count{engine="0"} 16')]),
        ("reasons-swapped", [('stop"} 2', '?"} 2'), ('length"} 5', 'stop"} 5'), ('?"} 2', 'length"} 2')]),
        ("request-stuck", [('running{engine="0"} 2', 'running{engine="0"} 3')]),
        ("cache-leaks", [("} 0.25\n", "} 0.258\n")]),  # eight requests are finished
        ("histograms-slow", [('le="0.25"} 3', 'le="0.25"} 0'), ('le="1.0"} 3', 'le="1.0"} 0')]),
    ],
)
def test_a_fault_of_metrics_changes_what_its_name_says_and_nothing_else(
    fault: str, changed: list[tuple[str, str]]
) -> None:
    expected = METRICS
    for old, new in changed:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert METRIC_FAULTS[fault](METRICS.encode()).decode() == expected


def test_every_law_has_a_fault_that_breaks_it_and_every_fault_of_metrics_is_tried() -> None:
    assert set().union(*(broken for broken, _ in BREAKS.values())) == set(LAWS)
    assert set(METRIC_FAULTS) <= set(BREAKS)
