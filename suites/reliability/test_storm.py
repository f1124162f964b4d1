"""Is what leavers held free again, are they counted as gone and not as errors, and is a crowd let in?

Workloads: `leavers` (half of all streams are left after eight tokens), `leavers-unanswered` (all leave before
their answer begins: the 499 of access logs); and 200 connections at once, dropped, and made anew.
Bounds: slot-freed-s, storm-* of the catalog. Needs: metrics of engine and gateway; for the access log
the ingress and its log. Costs: a quarter of a minute; nothing is broken by it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from instruments.limits import RunLimits
from instruments.records import Outcome
from instruments.telemetry.scrape import DirectScrape
from instruments.workloads.mixes import Leave

pytestmark = [pytest.mark.reliability, pytest.mark.claim("minikube-rtx3060", "nobody")]

LEFT = RunLimits(consecutive_failures=10**9)
SETTLED_S = 5.0
ALL = Leave(share=1, after_tokens=8)


class Counts:
    """What the gateway counts, since this was made."""

    def __init__(self, stack: Any, http: httpx.Client) -> None:
        self._scrape = DirectScrape(stack.gateway_metrics_url, http)
        self._began = self._scrape.snapshot()

    def grown(self, name: str, **labels: str) -> float:
        now = self._scrape.snapshot().total(name, **labels) or 0.0
        return now - (self._began.total(name, **labels) or 0.0)

    def storm(self) -> dict[str, Any]:
        """All that claims about a storm ask for, now."""
        left = self.grown("gateway_streams_total", outcome="client_left")
        disconnects = self.grown("gateway_client_disconnects_total")
        return {"disconnects": disconnects, "streams left": left, "errors": self.errors()}

    def errors(self) -> dict[str, float]:
        now, before = (one.series("gateway_requests_total") for one in (self._scrape.snapshot(), self._began))
        grown = {key: value - before.get(key, 0.0) for key, value in now.items()}
        return {
            dict(key)["status_code"]: n for key, n in grown.items() if n and dict(key)["status_code"] >= "500"
        }


@pytest.fixture
def counts(stack, visitor):
    """Begins to count."""
    return lambda: Counts(stack, visitor(on=stack))


@pytest.fixture(scope="module")
def kept():
    """What one storm of leavers left behind, for all claims about it."""
    return {}


@pytest.fixture
def stormed(kept, load_on, load_beside, stack, counts, scrape, parts):
    """The storm, once: (measured, what the gateway counted, how long the last slot was held)."""
    if not kept:
        since = counts()
        measured = load_on(stack, "leavers", name="storm.leavers", limits=LEFT)
        parts.seen(lambda: since.grown("gateway_client_disconnects_total") >= gone(measured), SETTLED_S)
        counted = since.storm()
        # Behind the last who stays no slot of a leaver would be seen: here nobody stays.
        nobody = {"requests_measured": 32, "leave": ALL, "limits": LEFT}
        with load_beside(stack, "leavers", name="storm.all-leave", **nobody) as going:
            looks = list(looked_at(scrape, going))
        kept["storm"] = measured, counted, held_s(going.result().run, looks)
    return kept["storm"]


def running(scrape: Any) -> float:
    """Requests that hold a slot of the engine, or wait for one."""
    found = scrape.snapshot()
    return (found.total("vllm:num_requests_running") or 0) + (found.total("vllm:num_requests_waiting") or 0)


def looked_at(scrape: Any, going: Any) -> Iterator[tuple[float, float]]:
    """Instants (Unix seconds) and the slots held then, until some seconds after the end of a load."""
    until, held = math.inf, 1.0
    while held or not going.ended:
        at, held = time.time(), running(scrape)
        yield at, held
        until = min(until, at + SETTLED_S) if going.ended else until
        if at > until:
            return
        time.sleep(0.03)


def held_s(run: Any, looks: list[tuple[float, float]]) -> float:
    """How long after the last client had left a slot was seen held; infinite if to the end."""
    left = max(run.anchor.unix_s(record.left_ns or 0) for record in run.records)
    free = [at - left for at, held in looks if at > left and not held]
    return min(free, default=math.inf)


def gone(measured: Any) -> int:
    """How many left."""
    return int(measured.summary.outcomes.get(Outcome.CANCELLED, 0))


@pytest.mark.needs("engine_metrics", "gateway_metrics", "exclusive")
def test_streams_that_were_left_free_their_slots(stormed, bound):
    """When all have left every slot is free within a bound, and who stayed had the whole answer"""
    measured, _, held = stormed
    assert gone(measured) > 0
    assert measured.summary.outcomes == {
        Outcome.COMPLETED: measured.summary.completed,
        Outcome.CANCELLED: gone(measured),
    }
    whole = [one for one in measured.run.records if one.outcome is Outcome.COMPLETED]
    assert {one.completion_tokens for one in whole} == {measured.workload.output_tokens}
    assert held <= bound("slot-freed-s"), f"slots held for {held:.2f} s after the last client had left"


@pytest.mark.needs("engine_metrics", "gateway_metrics", "exclusive")
def test_nothing_is_generated_for_who_has_left(stormed, bound):
    """Of the tokens that leavers had asked for, next to none is made after they left"""
    measured, _, _ = stormed
    made = measured.grown("vllm:generation_tokens_total")
    assert made is not None
    asked = gone(measured) * measured.workload.output_tokens
    for_leavers = made - measured.summary.output_tokens
    assert 0 <= for_leavers <= asked * bound("storm-wasted-share"), f"{for_leavers:.0f} of {asked} were made"


@pytest.mark.needs("engine_metrics", "gateway_metrics", "exclusive")
def test_each_who_left_is_counted_and_none_is_an_error(stormed):
    """The gateway counts exactly as many clients that left as did, and not one answer of 500 or more"""
    measured, counted, _ = stormed
    assert counted == {"disconnects": gone(measured), "streams left": gone(measured), "errors": {}}


@pytest.mark.needs("gateway_metrics", "exclusive")
def test_who_leaves_before_the_answer_is_a_499_and_no_error(load_on, stack, counts, parts):
    """Clients that leave before their answer began are counted as 499, all of them, apart from errors"""
    counted = counts()
    measured = load_on(stack, "leavers-unanswered", name="storm.unanswered", limits=LEFT)
    left = gone(measured)
    assert left > 0
    assert left == measured.summary.due, f"not all left: {measured.summary.outcomes}"
    parts.seen(lambda: counted.grown("gateway_requests_total", status_code="499") >= left, SETTLED_S)
    assert counted.grown("gateway_requests_total", status_code="499") == left
    assert counted.errors() == {}


@pytest.mark.needs("ingress", "logs", "exclusive")
def test_the_access_log_tells_leavers_from_errors(load_on, stack, ingress_log, parts):
    """In the ingress's log each client that left before its answer is a 499, and nothing is a 5xx"""
    log = ingress_log()
    measured = load_on(stack, "leavers-unanswered", name="storm.logged", limits=LEFT)
    left = gone(measured)
    assert left > 0

    def statuses() -> list[int]:
        return [int(line["status"]) for line in log.since() if line["path"].startswith("/v1/chat")]

    parts.seen(lambda: len(statuses()) >= left, SETTLED_S)
    assert statuses() == [499] * left


async def test_a_crowd_at_the_door_is_let_in_and_health_stays_up(stack, bound):
    """A crowd that connects at once is answered, every one, twice in a row, and health answers meanwhile"""
    crowd, patience_s = int(bound("storm-connections")), bound("storm-health-s")
    for storm in ("the storm", "the storm anew"):
        asked_once = asyncio.Event()
        probing = asyncio.create_task(probed(stack, patience_s, asked_once))
        answers = await asyncio.gather(*(asked(stack) for _ in range(crowd)), return_exceptions=True)
        await asyncio.wait({probing, asyncio.create_task(asked_once.wait())}, return_when="FIRST_COMPLETED")
        probing.cancel()
        slowest_s, seen = await probing
        failed = [repr(one) for one in answers if one != 200]
        assert not failed, f"{storm}: {len(failed)} of {crowd} were not answered 200, as {failed[0]}"
        assert seen == {200}, f"{storm}: health answered {seen}"
        assert slowest_s <= patience_s, f"{storm}: health took {slowest_s:.1f} s"


async def asked(stack: Any) -> int:
    """One connection of its own, one question on it; the status, or an exception."""
    parts = urlsplit(stack.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    secured = stack.tls() if parts.scheme == "https" else None
    async with asyncio.timeout(30.0):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secured)
        try:
            said = [f"{name}: {value}" for name, value in stack.headers().items()]
            lines = ["GET /v1/models HTTP/1.1", f"Host: {parts.netloc}", *said, "", ""]
            writer.write("\r\n".join(lines).encode())
            return int((await reader.readline()).split()[1])
        finally:
            writer.transport.abort()


async def probed(stack: Any, patience_s: float, asked_once: asyncio.Event) -> tuple[float, set[int]]:
    """Ask for health again and again, until told to end: the slowest answer, and all statuses."""
    slowest_s, seen = 0.0, set[int]()
    async with httpx.AsyncClient(base_url=stack.base_url, verify=stack.tls(), trust_env=False) as http:
        try:
            while True:
                began = time.monotonic()
                answer = await http.get("/health", timeout=2 * patience_s)
                slowest_s = max(slowest_s, time.monotonic() - began)
                seen.add(answer.status_code)
                asked_once.set()
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            return slowest_s, seen
