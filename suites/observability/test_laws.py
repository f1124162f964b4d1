"""Do all sides count alike: clients, gateway, engine, Prometheus?

Workloads: `observed-mixed` (lengths mixed, a sixth refused), `observed-whole` (not streamed), `observed-left`
(half of the clients leave). What a side counted is what grew on its own page from before a load to after it.
Bounds: none but exact equality; where clients leave, what they cannot know. Needs: an exclusive stack.
Costs: 25 s.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from instruments.records import Outcome, RequestRecord
from instruments.slo.conservation import LAWS

pytestmark = [
    pytest.mark.observability,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("engine_metrics", "exclusive"),
]

# Of requests that were sent whole there is no first token on the client's side to lay beside the engine's.
COUNTED = [law for law in LAWS if not law.startswith("ttft")]
SETTLED = ["observed-mixed", "observed-whole"]
GATEWAY = pytest.mark.needs("gateway_metrics", "prometheus")


def sent_of(books: Any) -> list[RequestRecord]:
    """Every request of a load that went out, warm-up included: servers know of no phase."""
    return [one for one in books.measured.run.records if one.sent_ns is not None]


def usage_of(books: Any, side: str) -> int:
    """Tokens by `usage`, over the answers that were complete."""
    return sum(getattr(one, side) or 0 for one in sent_of(books) if one.outcome is Outcome.COMPLETED)


@GATEWAY
@pytest.mark.parametrize("law", LAWS)
def test_laws_hold_on_mixed_lengths_and_refusals(law, books, law_of):
    """Streams of 8 to 120 tokens, and requests that are refused among them, obey each conservation law"""
    law_of(books("observed-mixed").measured, law).require_met()


@GATEWAY
@pytest.mark.parametrize("law", COUNTED)
def test_laws_hold_on_whole_answers(law, books, law_of):
    """Completions that are not streamed obey each law of counts, and of whole times"""
    law_of(books("observed-whole").measured, law).require_met()


@GATEWAY
@pytest.mark.parametrize("law", ["requests", "first-tokens", "generation-tokens", "drained", "kv-cache"])
def test_laws_hold_where_clients_leave(law, books, law_of):
    """Where half of the clients leave, nothing is counted twice, nothing lost, nothing stays running"""
    found = books("observed-left")
    assert any(one.outcome is Outcome.CANCELLED for one in sent_of(found)), "nobody left"
    law_of(found.measured, law).require_met()


@GATEWAY
@pytest.mark.parametrize("workload", SETTLED)
def test_the_gateway_counts_each_request_once_and_by_its_status(workload, books, stack):
    """Requests by status at the gateway are those that clients got, refusals included, to the last one"""
    found = books(workload)
    clients = Counter(str(one.status) for one in sent_of(found))
    gateway = found.grown_by("gateway", "gateway_requests_total", "status_code")
    assert gateway == clients
    models = found.grown_by("gateway", "gateway_requests_total", "model")
    assert models == {stack.model: sum(clients.values())}
    keys = found.grown_by("gateway", "gateway_requests_total", "key")
    assert len(keys) == 1, f"one key asked, and the gateway counted {keys}"


@GATEWAY
@pytest.mark.parametrize("workload", SETTLED)
@pytest.mark.parametrize(
    ("side", "at_gateway", "at_engine"),
    [
        ("completion_tokens", "gateway_tokens_generated_total", "vllm:generation_tokens_total"),
        ("prompt_tokens", "gateway_tokens_prompted_total", "vllm:prompt_tokens_total"),
    ],
    ids=["generated", "prompted"],
)
def test_tokens_are_the_same_for_client_gateway_and_engine(
    workload, side, at_gateway, at_engine, books, stack
):
    """Σ usage of the clients = tokens at the gateway = tokens at the engine, for the model that was asked"""
    found = books(workload)
    told = usage_of(found, side)
    assert told > 0, "no answer told its usage"
    gateway = found.grown("gateway", at_gateway, model=stack.model)
    engine = found.grown("engine", at_engine, model_name=stack.model)
    assert (gateway, engine) == (told, told)


@GATEWAY
def test_streams_end_for_the_gateway_as_they_end_for_clients(books):
    """Streams completed and left, as clients know them, are those of the gateway; so are first tokens"""
    found = books("observed-left")
    outcomes = Counter(one.outcome for one in sent_of(found))
    assert set(outcomes) == {Outcome.COMPLETED, Outcome.CANCELLED}, outcomes
    completed, left = outcomes[Outcome.COMPLETED], outcomes[Outcome.CANCELLED]
    streams = found.grown_by("gateway", "gateway_streams_total", "outcome")
    # Of one that leaves when its last byte is on the way the gateway cannot know.
    assert set(streams) == {"completed", "client_left"}, streams
    assert sum(streams.values()) == completed + left
    assert streams["completed"] >= completed
    assert found.grown("gateway", "gateway_client_disconnects_total") == streams["client_left"]
    first = sum(one.first_token_ns is not None for one in sent_of(found))
    assert found.grown("gateway", "gateway_time_to_first_token_seconds_count") == first
    assert found.grown("gateway", "gateway_request_duration_seconds_count") == sum(outcomes.values())


@pytest.mark.needs("gateway_metrics", "prometheus")
@pytest.mark.parametrize("part", ["engine", "gateway"])
def test_prometheus_holds_every_counter_as_the_part_shows_it(part, books, contract, page_of_all, stored):
    """Every counter, bucket and sum that a part shows when asked directly is in Prometheus, with its value"""
    books("observed-mixed")
    before, held, after = page_of_all(part), stored(part), page_of_all(part)
    own = [one for one in contract(part) if one.type != "gauge" and not one.name.startswith("http_")]
    names = [
        one.name + end for one in own for end in (("_count", "_sum") if one.type == "histogram" else ("",))
    ]
    compared = 0
    for name in names:
        for labels, low in before.series(name).items():
            found = held.total(name, **dict(labels))
            assert found is not None, f"{name}{dict(labels)} is not in Prometheus"
            assert low <= found <= after.series(name)[labels], f"{name}{dict(labels)}"
            compared += 1
    assert compared > len(own) / 2, "hardly a counter to compare"


@GATEWAY
def test_a_rate_over_the_load_is_what_clients_count(books, prometheus, bound):
    """PromQL over the time of a load gives what clients counted: exactly by difference, and by increase() but
    for what it adds beyond its first and last sample"""
    found = books("observed-paced")
    every_s, scrapes = _scraped_every_s(prometheus), bound("rate-scrapes")
    until_s = _silent_until(
        prometheus, found.began_unix_s + scrapes * every_s, bound_s=scrapes * every_s + 10
    )
    window_s = until_s - found.began_unix_s
    most = window_s / (window_s - 2 * every_s * (1 + bound("scrape-jitter-share")))
    answers = sum(one.outcome is Outcome.COMPLETED for one in sent_of(found))
    assert answers, "no answer to count"
    counted = {
        "vllm:request_success_total": answers,
        "vllm:generation_tokens_total": usage_of(found, "completion_tokens"),
    }
    for name, told in counted.items():
        one = f'{name}{{job="engine"}}'
        now = {"time": f"{until_s:.3f}"}
        grown = _one(prometheus, f"sum({one} - {one} @ {found.began_unix_s:.3f})", **now)
        assert grown == told, name
        # increase() reaches out to both ends of its window by at most a scrape's distance each.
        assert (
            told * 0.999
            <= _one(prometheus, f"sum(increase({one}[{round(window_s * 1000)}ms]))", **now)
            <= told * most
        )


def _one(prometheus: Any, query: str, **at: str) -> float:
    """The one number that a query gives."""
    found = prometheus("/api/v1/query", query=query, **at)["result"]
    assert len(found) == 1, f"{query}: {found}"
    return float(found[0]["value"][1])


def _silent_until(prometheus: Any, unix_s: float, *, bound_s: float) -> float:
    """Wait until Prometheus' clock says so; the instant that it then says."""
    deadline = time.monotonic() + bound_s
    while (now := _one(prometheus, "vector(time())")) < unix_s:
        assert time.monotonic() < deadline, "the clock of Prometheus does not go on"
        time.sleep(0.2)
    return now


def _scraped_every_s(prometheus: Any) -> float:
    """The distance between two scrapes of the engine, as Prometheus states it."""
    every = [
        one["scrapeInterval"]
        for one in prometheus("/api/v1/targets")["activeTargets"]
        if one["labels"]["job"] == "engine"
    ]
    return {"ms": 1e-3, "s": 1.0, "m": 60.0}[every[0].lstrip("0123456789")] * float(every[0].rstrip("ms"))
