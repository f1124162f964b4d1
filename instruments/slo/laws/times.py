"""Laws of time: a server cannot have needed longer than its clients waited, and what lies between is bounded.

vLLM times a request from its arrival at the API to the token's arrival there from the engine core, by the
wall clock of the API's process; a client from sending to the arrival of bytes. The second contains the
first, request by request, so also in every bucket and in the mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from instruments.slo.laws import Balance, Untold, weighed
from instruments.slo.laws.clients import Seen
from instruments.slo.laws.server import Counted
from instruments.slo.verdict import State

# Of two machines' clocks: crystals run apart by at most so much.
CLOCK_RATE = 1e-4
# A client's stamps are late, never early; this is for the reading of two clocks.
CLOCK_READING_S = 0.0005


def server_within_clients(seen: Seen, counted: Counted, ours: str) -> Balance:
    """At every bucket's bound the server has at least as many requests as the clients; and the smaller mean.

    `ours` is "ttft" or "e2e". A request that a client timed within a bound is within it at the server.
    Counts instead of shares: the same where both timed the same requests, and still right where the server
    timed some more, of clients that left.
    """
    values, server = seen.timed[ours], counted.grown(ours, "_count")
    _comparable(values, server)
    bounds, (bound_s, clients_at, server_at) = _worst_bound(values, counted, ours)
    kept = clients_at <= server_at
    expected = f"at each of {bounds} bounds at least as many at the server as at the clients"
    shown = (
        "so at each" if kept else f"{server_at:g} at the server and {clients_at} at clients in {bound_s:g} s"
    )
    if server == len(values):
        client_s, server_s = _means(values, counted, ours)
        expected += f", and a mean of at most {client_s:.4g} s"
        shown += f", {server_s:.4g} s"
        kept = kept and server_s <= client_s + _slack_s(client_s)
    else:
        shown += f"; {server:g} requests timed by the server: no means to compare"
    return weighed(kept, f"{len(values)} requests timed by clients", expected, shown)


def between(seen: Seen, counted: Counted, ours: str, stamp_error_s: float, budget_s: float) -> Balance:
    """Mean client time less mean server time: the network, the gateway and the client, within a budget.

    Stamps may be late by `stamp_error_s`, and what lies between is shorter by so much then: MET stands
    without that, VIOLATED has to stand in spite of it.
    """
    values, server = seen.timed[ours], counted.grown(ours, "_count")
    _comparable(values, server)
    if server != len(values):
        raise Untold(f"the server timed {server:g} requests, clients {len(values)}: their means say nothing")
    client_s, server_s = _means(values, counted, ours)
    between_s, slack_s = client_s - server_s, _slack_s(client_s)
    if between_s < -slack_s:
        raise Untold(f"the server's mean of {server_s:.4g} s is above the clients' {client_s:.4g} s")
    reason = f"means of {len(values)} requests: {client_s:.4g} s at clients, {server_s:.4g} s at the server"
    state = State.INCONCLUSIVE
    if between_s + slack_s <= budget_s:
        state = State.MET
    elif between_s - slack_s - stamp_error_s > budget_s:
        state = State.VIOLATED
    else:
        reason += f"; stamps may be late by {stamp_error_s:.3g} s, too much to tell"
    return Balance(state, reason, f"at most {budget_s:g} s between", f"{between_s:.4g} s", between_s)


def _comparable(values: Sequence[float], server: float) -> None:
    if not values:
        raise Untold("no client timed a request")
    if server < len(values):
        raise Untold(f"the server timed {server:g} requests, clients {len(values)}")


def _worst_bound(
    values: Sequence[float], counted: Counted, ours: str
) -> tuple[int, tuple[float, int, float]]:
    """How many bounds, and the one where the server leads least: (seconds, clients', server's within it)."""
    buckets = {float(bound): grown for bound, grown in counted.grown_by(ours, "le", "_bucket").items()}
    finite = sorted(bound for bound in buckets if bound != float("inf"))
    if not finite:
        raise Untold("the server's histogram has no bounds")
    at = [(bound, bisect_right(values, bound - _slack_s(bound)), buckets[bound]) for bound in finite]
    return len(at), min(at, key=lambda one: one[2] - one[1])


def _means(values: Sequence[float], counted: Counted, ours: str) -> tuple[float, float]:
    """(clients', server's), in seconds."""
    return sum(values) / len(values), counted.grown(ours, "_sum") / counted.grown(ours, "_count")


def _slack_s(length_s: float) -> float:
    return CLOCK_READING_S + CLOCK_RATE * length_s
