"""Are long generations left alone on their way, and streams that begin late?

Workload long-generation by the way in of clients; one answer as long as the context allows; a stage with
a single slot, before which streams wait for their first token (bound late-first-token-s, scaled). What the
proxies are set to is read from the files that they run on (bound read-timeout-s). Costs half a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from instruments.limits import RunLimits
from instruments.records import Outcome, RequestRecord
from instruments.statistics.indicators import e2e_s, ttft_s

pytestmark = [pytest.mark.ttft, pytest.mark.claim("minikube-rtx3060", "kubeadm-ec2")]

WORKLOAD = "long-generation"
PROMPT = 64  # tokens that are left for the question of an answer that fills the context
ALL = RunLimits(consecutive_failures=10**9)  # every stream is asked, however many are cut


@pytest.mark.needs("logs", "gateway")
def test_proxies_wait_ten_minutes_between_two_reads(read_timeouts, stack, bound):
    """Gateway and ingress let an engine be silent for ten minutes, the ingress no shorter than the gateway"""
    found_s = read_timeouts()
    assert set(found_s) == {"gateway", *(["ingress"] if stack.ingress_url else [])}
    assert min(found_s.values()) >= bound("read-timeout-s"), found_s
    assert found_s.get("ingress", math.inf) >= found_s["gateway"], (
        "the ingress answers before the gateway does"
    )


def test_long_generations_are_not_cut(measure):
    """Answers of 900 tokens come whole, to the token"""
    records = measure(WORKLOAD).summary.records
    assert records
    assert {record.outcome for record in records} == {Outcome.COMPLETED}, cut(records)
    assert {record.completion_tokens for record in records} == {900}


@pytest.mark.needs("ingress", "logs")
def test_the_ingress_saw_no_long_generation_end_early(measure, access_log, stack):
    """In the ingress's access log no long generation is a 499 or a 504

    One that it cuts in the middle it logs as a whole 200: of that the clients tell, in the claim before.
    """
    ids = {record.request_id for record in measure(WORKLOAD).run.records}
    lines = access_log(stack, ids)
    early = {
        name: (line["status"], line["completed"])
        for name, line in lines.items()
        if (line["status"], line["completed"]) != (200, "OK")
    }
    assert not early, f"status and completion as logged, of {len(ids)}: {early}"


@pytest.mark.needs("context_length")
def test_an_answer_may_fill_the_context(load_on, stack):
    """An answer as long as the context allows comes whole"""
    asked = stack.max_model_len - PROMPT
    shape = {"users": 1, "requests_measured": 1, "prompt_tokens": PROMPT // 2, "output_tokens": asked}
    (record,) = load_on(stack, WORKLOAD, name="latency.context", **shape).summary.records
    assert record.outcome is Outcome.COMPLETED, record.error
    assert record.completion_tokens == asked


@pytest.mark.needs("stage")
def test_a_stream_that_begins_late_is_not_cut(stage, load_on, bound, scaled_s):
    """A stream that waits for its first token behind a full engine is answered whole in its turn"""
    one_slot = stage("one-slot", engine=ONE_SLOT)
    alone = {"users": 1, "requests_measured": 1, "limits": ALL}
    (first,) = load_on(one_slot, WORKLOAD, name="latency.alone", **alone).summary.records
    assert first.outcome is Outcome.COMPLETED, first.error
    alone_s, wanted_s = e2e_s(first) or 0.0, scaled_s(bound("late-first-token-s"), 3.0)
    waiting = math.ceil(wanted_s / alone_s) + 1
    many = {"users": waiting, "requests_measured": waiting, "limits": ALL}
    records = load_on(one_slot, WORKLOAD, name="latency.late", **many).summary.records
    assert {record.outcome for record in records} == {Outcome.COMPLETED}, cut(records)
    longest_s = max(ttft_s(record) or 0.0 for record in records)
    assert longest_s >= 0.5 * wanted_s, f"nobody waited: the last first token came after {longest_s:.2f} s"


ONE_SLOT = {"arguments": ["--max-num-seqs", "1"], "simulator_arguments": ["--slots", "1"]}


def cut(records: Iterable[RequestRecord]) -> list[str]:
    """Why those were cut that were, a few of them."""
    return [
        f"{record.outcome} HTTP {record.status}: {record.error}"
        for record in records
        if record.outcome is not Outcome.COMPLETED
    ][:5]
