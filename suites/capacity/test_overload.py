"""What does it do with more than it can? It says no, serves whom it let in, is fair, and gets over it.

Workload: `overload` (forty requests a second), on a stage whose gateway lets two requests in and four wait,
for two seconds. Bounds: `overload-*`. Needs a stage of its own. Costs a minute.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import httpx
import pytest

from instruments.limits import RunLimits
from instruments.records import Outcome, RequestRecord
from instruments.statistics.quantiles import quantile

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.stress,
    pytest.mark.claim("nobody"),
    pytest.mark.needs("stage", "gateway", "keys"),
]

SLOTS, QUEUED, PATIENCE_S = 2, 4, 2
FACED = RunLimits(consecutive_failures=10**9)  # refusals are what is looked at
BODY = {
    "messages": [{"role": "user", "content": "how long is a queue?"}],
    "max_tokens": 64,
    "ignore_eos": True,
}


@pytest.fixture
def small(stage):
    """A stack whose gateway lets two requests in and four wait, for two seconds."""
    queue = {"in_flight": SLOTS, "queued": QUEUED, "queue_timeout_s": PATIENCE_S}
    return stage("small", gateway={"settings": {"admission": queue}})


@pytest.fixture(scope="module")
def known():
    """The one overload of this file, which several claims look at."""
    return {}


@pytest.fixture
def overloaded(known, small, load_on):
    """An overload: more is asked, for five seconds, than can be answered."""
    if not known:
        known["run"] = load_on(
            small, "overload", name="capacity.overload", limits=FACED, requests_measured=200
        )
    return known["run"]


def took_s(client: httpx.Client, model: str) -> tuple[httpx.Response, float]:
    """One answer, and the seconds until it was whole."""
    began = time.monotonic()
    answer = client.post("/v1/chat/completions", json={"model": model, **BODY})
    return answer, time.monotonic() - began


def test_who_cannot_be_served_is_told_so(overloaded, bound):
    """Each request is answered or refused, none hangs, and none ends in anything else"""
    records = overloaded.summary.records
    ended = {one.outcome for one in records}
    assert ended == {Outcome.COMPLETED, Outcome.REFUSED}, [one.error for one in records if one.error][:3]
    assert {one.status for one in records if one.outcome is Outcome.REFUSED} == {503}
    longest_s = max(e2e_of(one) for one in records)
    assert longest_s <= PATIENCE_S + bound("overload-answer-s"), f"one took {longest_s:.1f} s"


def test_refusals_are_quick(overloaded, bound):
    """Who finds the queue full is refused at once; who waited in vain, when the waiting time is over"""
    refused = sorted(e2e_of(one) for one in overloaded.summary.records if one.outcome is Outcome.REFUSED)
    assert refused, "nobody was refused"
    at_once = [one for one in refused if one < PATIENCE_S]
    assert len(at_once) >= len(refused) / 2, f"{len(refused) - len(at_once)} of {len(refused)} waited first"
    assert quantile(at_once, 0.95) <= bound("overload-refusal-s")


def test_who_is_let_in_is_served(overloaded, bound):
    """An answer that was begun is whole, and takes no longer than the queue and its own time"""
    served = [one for one in overloaded.summary.records if one.outcome is Outcome.COMPLETED]
    assert len(served) >= SLOTS, f"{len(served)} were served"
    assert {one.completion_tokens for one in served} == {overloaded.workload.output_tokens}
    assert max(e2e_of(one) for one in served) <= PATIENCE_S + bound("overload-answer-s")


def test_a_refusal_says_when_to_come_back(small, visitor):
    """A 503 of a full queue has Retry-After, in whole seconds, and an error in the API's own words"""
    client = visitor(on=small)
    with ThreadPoolExecutor(24) as together:
        answers = list(together.map(lambda _: took_s(client, small.model)[0], range(24)))
    refused = [one for one in answers if one.status_code == 503]
    assert {one.status_code for one in answers} == {200, 503}
    for one in refused:
        assert int(one.headers["retry-after"]) >= 1
        assert one.json()["error"]["message"]


def test_a_greedy_key_does_not_push_out_a_modest_one(small, visitor, load_beside, bound):
    """While one key asks for all there is, another with one request at a time loses nothing"""
    modest, answers = visitor(on=small, key="second"), []
    with load_beside(small, "overload", name="capacity.greedy", limits=FACED, requests_measured=200) as going:
        while not going.ended:
            answers.append(took_s(modest, small.model))
    refused = going.result().summary.outcomes.get(Outcome.REFUSED, 0)
    assert refused >= 50, f"{refused} of 200 were refused: this was no overload"
    assert len(answers) >= 2, "the modest key was never answered beside the greedy one"
    assert {answer.status_code for answer, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) <= bound("overload-answer-s")


def test_it_gets_over_it(small, visitor, load_on, bound):
    """After the overload a lone user is served as before, within a bound"""
    client = visitor(on=small)
    before_s = median(took_s(client, small.model)[1] for _ in range(5))
    enough_s = before_s * bound("overload-recovered-times")
    load_on(small, "overload", name="capacity.recovery", limits=FACED, requests_measured=120)
    deadline = time.monotonic() + bound("overload-recovery-s")
    in_a_row = 0
    while in_a_row < 3 and time.monotonic() < deadline:
        answer, seconds = took_s(client, small.model)
        in_a_row = in_a_row + 1 if answer.status_code == 200 and seconds <= enough_s else 0
    assert in_a_row == 3, f"HTTP {answer.status_code} after {seconds:.2f} s, before it was {before_s:.2f} s"


def e2e_of(record: RequestRecord) -> float:
    """From sending to the end, whatever the end was."""
    assert record.sent_ns is not None
    assert record.done_ns is not None
    return (record.done_ns - record.sent_ns) / 1e9
