"""Conservation laws: what clients recorded, laid beside what the server counted, as verdicts.

A benchmark that loses requests, a proxy that invents tokens, a server that leaks a slot: each breaks a sum
that must hold exactly, with no statistics and no objective. A sum that cannot be taken (a series that
vanished, other clients on the server, lost records) is INCONCLUSIVE and says why; it never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from instruments.records import LoadRun
from instruments.slo.laws import Balance, Untold, counts, quiet, times
from instruments.slo.laws.clients import Seen, seen_by_clients
from instruments.slo.laws.server import Counted
from instruments.slo.verdict import ObjectiveInconclusive, ObjectiveViolated, State
from instruments.statistics.summary import summarize
from instruments.telemetry.record import ServerRecord

# What may lie between server and client in the mean: network, gateway, client.
OVERHEAD_BUDGET_S = 0.05

LAWS: Mapping[str, str] = {
    "requests": "requests sent = the server's successes + refused + aborted",
    "finish-reasons": "answers by finish reason = the server's successes by finish reason",
    "first-tokens": "requests that got a first token = the server's observations of TTFT",
    "generation-tokens": "Σ usage.completion_tokens = growth of the server's generation tokens",
    "prompt-tokens": "Σ usage.prompt_tokens = growth of the server's prompt tokens",
    "drained": "running and waiting are 0 after the load",
    "kv-cache": "KV cache in use returns to its idle value",
    "ttft-order": "the server's TTFT is not above the clients', at every bucket and in the mean",
    "ttft-overhead": "clients' mean TTFT − the server's is within its budget",
    "e2e-order": "the server's E2E is not above the clients', at every bucket and in the mean",
    "e2e-overhead": "clients' mean E2E − the server's is within its budget",
}
# These need the server alone, and no record of the client's.
AT_REST = ("drained", "kv-cache")


@dataclass(frozen=True, slots=True)
class LawVerdict:
    """What became of one law on one load, with both sides of it in numbers."""

    law: str  # a key of LAWS
    load: str
    state: State
    reason: str
    expected: str = ""
    seen: str = ""
    value: float | None = None  # seconds, of the laws that have a budget of time

    def require_met(self) -> None:
        """Raise ObjectiveViolated or ObjectiveInconclusive unless it was met."""
        if self.state is State.MET:
            return
        kind = ObjectiveViolated if self.state is State.VIOLATED else ObjectiveInconclusive
        raise kind(
            f"{self.state}: {self.law} on {self.load}: {LAWS[self.law]}: {self.reason}",
            expected=self.expected or None,
            seen=self.seen or None,
        )

    def document(self) -> dict[str, Any]:
        """For laws.jsonl and verdict.json; `statement` is the law in words."""
        return {**asdict(self), "statement": LAWS[self.law]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> LawVerdict:
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**{**known, "state": State(document["state"])})


def check_laws(
    run: LoadRun,
    server: ServerRecord,
    *,
    exclusive: bool,
    overhead_budget_s: float = OVERHEAD_BUDGET_S,
) -> tuple[LawVerdict, ...]:
    """Judge every law on one load; always one verdict for each of LAWS, in that order.

    All phases of the run count, for the server's counters span its warm-up too. `exclusive`: nobody else
    uses the server.
    """
    seen = seen_by_clients(run)
    try:
        counted = _books(seen, server, exclusive=exclusive)
    except Untold as untold:
        return tuple(_inconclusive(law, run, untold) for law in LAWS)
    found: dict[str, LawVerdict] = {}
    try:
        _require_same_requests(run, seen, counted)
        unlike = None
    except Untold as untold:
        unlike = untold
    for law, judge in _judges(run, seen, counted, overhead_budget_s).items():
        if unlike is not None and law not in AT_REST:
            found[law] = _inconclusive(law, run, unlike)
            continue
        try:
            found[law] = _verdict(law, run, judge())
        except Untold as untold:
            found[law] = _inconclusive(law, run, untold)
    return tuple(found[law] for law in LAWS)


def _books(seen: Seen, server: ServerRecord, *, exclusive: bool) -> Counted:
    """Both snapshots, where they speak of this load alone."""
    if not exclusive:
        raise Untold("other clients may use the server: its counters are not this load's alone")
    if not seen.sent:
        raise Untold("nothing was sent")
    if server.before is None or server.after is None:
        when = "before" if server.before is None else "after"
        why = "; ".join(server.problems)
        raise Untold(f"{server.source} told nothing {when} the load" + (f": {why}" if why else ""))
    return Counted(server.before, server.after)


def _require_same_requests(run: LoadRun, seen: Seen, counted: Counted) -> None:
    """Untold unless the records and the two snapshots enclose the same requests, each with one answer."""
    if not seen.completed and not seen.began:
        raise Untold(
            f"none of {seen.sent} requests was answered: that the server counted nothing says nothing"
        )
    if not run.complete or run.problems:
        why = run.stopped_because or "; ".join(run.problems) or "for no reason that it tells"
        raise Untold(f"the run did not end well, records may be missing: {why}")
    for when, before in (("before", True), ("after", False)):
        busy = [counted.gauge(name, before=before) for name in ("running", "waiting")]
        if any(busy):
            raise Untold(f"{busy[0]:g} requests were running and {busy[1]:g} waiting {when} the load")
    asked, answers = (counted.grown_if_exposed("answers_asked", part) for part in ("_count", "_sum"))
    if asked is not None and answers is not None and answers != asked:
        raise Untold(
            f"{asked:g} requests asked for {answers:g} answers: vLLM counts each answer as a request"
        )


def _judges(run: LoadRun, seen: Seen, counted: Counted, budget_s: float) -> dict[str, Callable[[], Balance]]:
    def order(ours: str) -> Balance:
        _require_one_clock(run)
        return times.server_within_clients(seen, counted, ours)

    def overhead(ours: str) -> Balance:
        _require_one_clock(run)
        return times.between(seen, counted, ours, _stamp_error_s(run), budget_s)

    return {
        "requests": lambda: counts.requests(seen, counted),
        "finish-reasons": lambda: counts.finish_reasons(seen, counted),
        "first-tokens": lambda: counts.first_tokens(seen, counted),
        "generation-tokens": lambda: counts.generation_tokens(seen, counted),
        "prompt-tokens": lambda: counts.prompt_tokens(seen, counted),
        "drained": lambda: quiet.drained(counted),
        "kv-cache": lambda: quiet.kv_cache(counted),
        "ttft-order": lambda: order("ttft"),
        "ttft-overhead": lambda: overhead("ttft"),
        "e2e-order": lambda: order("e2e"),
        "e2e-overhead": lambda: overhead("e2e"),
    }


def _require_one_clock(run: LoadRun) -> None:
    if run.client is None:
        raise Untold("the client did not check itself during this load")
    if run.client.clock_steps:
        raise Untold("the wall clock, which the server takes its times from, was set during the load")


def _stamp_error_s(run: LoadRun) -> float:
    """How late the client's stamps may be, in seconds."""
    error_s = summarize(run).stamp_error_s
    if error_s is None:
        raise Untold("the client did not check itself during this load")
    return error_s


def _verdict(law: str, run: LoadRun, found: Balance) -> LawVerdict:
    return LawVerdict(law, run.name, found.state, found.reason, found.expected, found.seen, found.value)


def _inconclusive(law: str, run: LoadRun, untold: Untold) -> LawVerdict:
    return LawVerdict(law, run.name, State.INCONCLUSIVE, str(untold))
