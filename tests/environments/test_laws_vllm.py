"""Conservation laws on a real vLLM, by direct scrape and through a real Prometheus: kept, and broken."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import pytest

from environments.binaries import find_engine, find_monitoring
from environments.local import local_stack
from environments.profile import EngineProfile, Profile
from environments.provider import MissingBinary, Stack
from instruments.fleet import LoadSpec, run_load
from instruments.records import LoadRun, Outcome
from instruments.slo.conservation import LAWS, LawVerdict, check_laws
from instruments.slo.verdict import State
from instruments.target import Target
from instruments.telemetry import Snapshot, increase
from instruments.telemetry.prometheus import PrometheusTelemetry
from instruments.telemetry.record import ServerRecord
from instruments.telemetry.scrape import DirectScrape
from instruments.telemetry.watch import ServerWatch
from instruments.tokenize import Inquiry, vocabulary_of
from instruments.workloads.mixes import Leave, Prefix, Scenario
from instruments.workloads.synthetic import SyntheticWorkload

BUDGET_S = 5.0  # of time, which these tests say nothing about: the machine may be busy
SOURCES = ("direct scrape", "Prometheus")


def load(name: str, **asked: object) -> SyntheticWorkload:
    fields: dict[str, object] = {"requests_measured": 24, "output_tokens": 16, "users": 4} | asked
    return SyntheticWorkload(name, "", **fields)  # type: ignore[arg-type]


LOADS = (
    load("answered"),
    # Two of three fit into the context; the third asks for more tokens than it has, and is refused.
    load("refused", mix=(Scenario("fits", weight=2), Scenario("never", weight=1, output_tokens=5000))),
    load("left-in-the-middle", output_tokens=200, leave=Leave(0.5, after_tokens=8)),
    load("left-at-once", output_tokens=64, leave=Leave(0.5, after_s=0.0005)),
    load(
        "all-left",
        requests_measured=2,
        requests_warmup=0,
        output_tokens=500,
        leave=Leave(1.0, after_tokens=2),
    ),
    load("plain", stream=False, api="completions"),
    # Longer than a block of the cache, so that blocks are kept for whoever begins alike.
    load("one-prefix", prompt_tokens=320, prefix=Prefix(groups=1, tokens=300)),
)
ALL_ANSWERED = ("answered", "refused", "plain", "one-prefix")
# What cannot be told: a plain answer has no first token, and of clients that all left none saw an end. And
# what need not be: where clients left, the server may have timed tokens or ends that they did not stay for.
UNTOLD = {"plain": {"ttft-order", "ttft-overhead"}, "all-left": {"e2e-order", "e2e-overhead"}}
MAY_BE_UNTOLD = {
    "left-in-the-middle": {"e2e-overhead"},
    "left-at-once": {"ttft-overhead", "e2e-overhead"},
}


@dataclass(frozen=True, slots=True)
class Load:
    """One load on the real server, and what both sources told of it."""

    run: LoadRun
    told: Mapping[str, ServerRecord]

    def laws(self, source: str) -> dict[str, LawVerdict]:
        return laws(self.run, self.told[source])

    def count(self, outcome: Outcome) -> int:
        return sum(one.outcome is outcome for one in self.run.records)

    def grown(self, name: str) -> float:
        one = self.told[SOURCES[0]]
        assert one.before is not None
        assert one.after is not None
        return increase(one.before, one.after, name) or 0.0


def laws(run: LoadRun, server: ServerRecord) -> dict[str, LawVerdict]:
    found = check_laws(run, server, exclusive=True, overhead_budget_s=BUDGET_S)
    return {one.law: one for one in found}


def in_state(verdicts: Mapping[str, LawVerdict], state: State) -> set[str]:
    return {law for law, one in verdicts.items() if one.state is state}


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Load]]:
    """Every load, put on one real vLLM behind the gateway, one after the other."""
    try:
        find_engine()
    except MissingBinary as missing:
        pytest.skip(str(missing))
    if find_monitoring("prometheus") is None or shutil.which("lscpu") is None:
        pytest.skip("no prometheus, or no lscpu (which vLLM's CPU build asks), on this machine")
    folder = tmp_path_factory.mktemp("laws")
    # As a host starts it, by a file of settings: the way of the profile a6000, on the CPU.
    engine = EngineProfile("vllm", settings=Path("deploy/engine/settings/local.yaml"), ready_timeout_s=180)
    profile = Profile("laws", "", "local", engine, monitoring="binaries")
    with ExitStack() as leaving:
        stack = leaving.enter_context(local_stack(profile, folder, lambda _: None))
        assert "--max-num-queued-reqs 320" in stack.fingerprint["engine.flags"]  # the settings' and no others
        scrape = DirectScrape(
            f"{stack.engine_url}/metrics", leaving.enter_context(httpx.Client(trust_env=False))
        )
        prometheus = PrometheusTelemetry(str(stack.prometheus_url), 'job="engine"')
        leaving.callback(prometheus.close)
        yield {one.id: put(one, stack, folder, scrape, prometheus) for one in LOADS}


def put(
    workload: SyntheticWorkload,
    stack: Stack,
    folder: Path,
    scrape: DirectScrape,
    prometheus: PrometheusTelemetry,
) -> Load:
    target = Target(stack.base_url, stack.headers(), ca_file=stack.ca_bundle)
    journal = folder / f"{workload.id}.jsonl"
    described = {"workload": asdict(workload)}
    with Inquiry(Target(str(stack.engine_url), stack.headers())) as inquiry:
        vocabulary = vocabulary_of(inquiry, stack.model)  # so that prompts are as long as asked
    spec = LoadSpec(workload.id, workload, target, stack.model, 7, journal, vocabulary, description=described)
    with ServerWatch(scrape) as scraping, ServerWatch(prometheus) as storing:
        run = run_load(spec)
        assert run.window is not None
        window = (run.anchor.unix_s(run.window.start_ns), run.anchor.unix_s(run.window.end_ns))
        return Load(run, {one.source: one for one in (scraping.end(*window), storing.end(*window))})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", [one.id for one in LOADS])
def test_every_law_holds(loads: dict[str, Load], name: str, source: str) -> None:
    verdicts = loads[name].laws(source)
    said = "\n".join(
        f"{one.state} {one.law}: {one.reason} | {one.expected} | {one.seen}" for one in verdicts.values()
    )
    untold = in_state(verdicts, State.INCONCLUSIVE) - MAY_BE_UNTOLD.get(name, set())
    assert untold == UNTOLD.get(name, set()), said
    assert in_state(verdicts, State.VIOLATED) == set(), said


def test_the_loads_were_what_they_are_named_for(loads: dict[str, Load]) -> None:
    """A law that held because nothing happened would prove nothing."""
    assert {name: one.run.problems for name, one in loads.items() if one.run.problems} == {}
    for name in ALL_ANSWERED:
        assert loads[name].count(Outcome.COMPLETED) + loads[name].count(Outcome.REFUSED) == len(
            loads[name].run.records
        )
    assert loads["refused"].count(Outcome.REFUSED) > 0
    assert loads["left-in-the-middle"].count(Outcome.CANCELLED) > 0
    assert loads["left-in-the-middle"].count(Outcome.COMPLETED) > 0
    assert loads["left-at-once"].count(Outcome.CANCELLED) > 0
    assert loads["all-left"].count(Outcome.CANCELLED) == 2
    assert loads["one-prefix"].grown("vllm:prefix_cache_hits_total") > 0


def test_vllm_counts_who_left_as_a_first_token_and_as_no_end(loads: dict[str, Load]) -> None:
    """What the laws of counts rest on: no success of any reason, not even `abort`."""
    left = loads["all-left"]
    assert left.grown("vllm:request_success_total") == 0
    assert left.grown("vllm:time_to_first_token_seconds_count") == 2
    assert left.grown("vllm:e2e_request_latency_seconds_count") == 0
    assert left.grown("vllm:generation_tokens_total") >= 4


# --- one number is off ---

Doctor = Callable[[ServerRecord], ServerRecord]


def off(by: float, name: str, **labels: str) -> Doctor:
    """The record with one series of the snapshot after the load off by so much."""

    def doctor(server: ServerRecord) -> ServerRecord:
        assert server.after is not None
        samples = dict(server.after.samples)
        wanted = set(labels.items())
        found = [key for key in samples if key[0] == name and wanted <= key[1]]
        assert len(found) == 1, found
        samples[found[0]] += by
        return replace(server, after=Snapshot(samples, server.after.families))

    return doctor


def slow(name: str) -> Doctor:
    """The record of a server that says of its requests that none was within any bound."""

    def doctor(server: ServerRecord) -> ServerRecord:
        assert server.after is not None
        assert server.before is not None
        earlier = server.before.samples
        samples = {
            key: earlier[key] if key[0] == f"{name}_bucket" and ("le", "+Inf") not in key[1] else value
            for key, value in server.after.samples.items()
        }
        return replace(server, after=Snapshot(samples, server.after.families))

    return doctor


BROKEN: Mapping[str, Doctor] = {
    "requests": off(-1, "vllm:request_success_total", finished_reason="length"),
    "finish-reasons": off(1, "vllm:request_success_total", finished_reason="stop"),
    "first-tokens": off(-1, "vllm:time_to_first_token_seconds_count"),
    "generation-tokens": off(-1, "vllm:generation_tokens_total"),
    "prompt-tokens": off(1, "vllm:prompt_tokens_total"),
    "drained": off(1, "vllm:num_requests_waiting"),
    "kv-cache": off(0.001, "vllm:kv_cache_usage_perc"),
    "ttft-order": slow("vllm:time_to_first_token_seconds"),
    "e2e-order": slow("vllm:e2e_request_latency_seconds"),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("law", BROKEN)
def test_one_number_that_is_off_breaks_the_law(loads: dict[str, Load], law: str, source: str) -> None:
    answered = loads["answered"]
    verdict = laws(answered.run, BROKEN[law](answered.told[source]))[law]
    assert verdict.state is State.VIOLATED, verdict


@pytest.mark.parametrize("source", SOURCES)
def test_clients_that_waited_longer_than_the_budget_break_the_laws_of_overhead(
    loads: dict[str, Load], source: str
) -> None:
    """As if each request had been sent so much earlier; nothing else changes."""
    answered = loads["answered"]
    late_ns = round((BUDGET_S + 2) * 1e9)
    records = tuple(replace(one, sent_ns=(one.sent_ns or 0) - late_ns) for one in answered.run.records)
    verdicts = laws(replace(answered.run, records=records), answered.told[source])
    assert in_state(verdicts, State.VIOLATED) == {"ttft-overhead", "e2e-overhead"}


def test_every_law_is_broken_here() -> None:
    assert {*BROKEN, "ttft-overhead", "e2e-overhead"} == set(LAWS)


@pytest.mark.parametrize("source", SOURCES)
def test_where_clients_left_the_law_is_broken_below_what_they_saw_and_above_what_they_asked(
    loads: dict[str, Load], source: str
) -> None:
    left = loads["left-in-the-middle"]
    name = "vllm:generation_tokens_total"
    for by in (-left.grown(name), 1e6):
        verdict = laws(left.run, off(by, name)(left.told[source]))["generation-tokens"]
        assert verdict.state is State.VIOLATED, verdict
