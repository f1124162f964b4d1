"""How far the client may be trusted: how late its stamps can be, and what makes a run void.

A run that the client disturbed is not a measurement of the server. Each bound here is far from what a
healthy client shows (benchmarks/README.md), and beyond it no verdict stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from instruments.records import ClientCheck


@dataclass(frozen=True, slots=True)
class ClientBounds:
    """What a client must keep for its run to count. Times in seconds, shares 0 to 1."""

    send_lag_p99_s: float = 0.1  # of an open loop's requests: sent after they were due
    loop_lag_p99_s: float = 0.25  # of the loop: awake after it meant to be
    gc_pause_max_s: float = 0.1
    cpu_share: float = 0.95  # of the one core that an engine has
    rate_share: float = 0.01  # achieved against offered rate of an open loop
    littles_share: float = 0.05  # requests in flight as counted, against λW of the records
    littles_excess_s: float = 0.005  # and later than their stamps say by more than this, in the mean
    requests_for_rates: int = 50  # with fewer, the last two say nothing


BOUNDS = ClientBounds()

# Of load from several machines: what holds for figures that lay the instants of one beside those of another.
SPREAD_S = 0.05  # between the first that began to send and the last
WINDOW_SHARE = 0.01  # that spread, and both ends' clock error, of the time over which something is counted
# What the kernel's stamps are worth where nobody has calibrated: a preempted sender, a late interrupt.
KERNEL_ERROR_S = 0.0005


def stamp_error_s(
    check: ClientCheck | None,
    calibrated_s: float | None,
    *,
    gap_s: float | None = None,
    read_lag_s: float | None = None,
) -> float | None:
    """How late a stamp may be, at p99, in seconds; None when nobody knows.

    The calibrated error where there is one, else what the kernel's stamps are worth; where the client
    stamped what it read itself, the lateness of its loop. And a lateness again where it is more than the
    usual gap between two chunks (`gap_s`): several then lie in one socket, and share the last one's stamp.
    `read_lag_s`: of each answer the longest time that bytes lay in the kernel unread, p99.
    """
    if check is None:
        return None
    late_s = max(check.loop_lag_p99_s, read_lag_s or 0.0)
    merged = gap_s is not None and late_s > gap_s
    if check.stamps == "kernel" and not merged:
        return KERNEL_ERROR_S if calibrated_s is None else calibrated_s
    return max(late_s, calibrated_s or 0.0)


def void_reasons(
    check: ClientCheck | None,
    *,
    open_loop: bool,
    send_lag_p99_s: float | None,
    offered_per_s: float | None,
    achieved_per_s: float | None,
    requests: int,
    bounds: ClientBounds = BOUNDS,
) -> tuple[str, ...]:
    """Why the client's own numbers make a run void; empty when they do not."""
    found = [*_of_the_process(check, bounds)] if check is not None else []
    # A closed loop's user is due when its last answer ended: sent later, it has thought a little longer.
    late = send_lag_p99_s is not None and send_lag_p99_s > bounds.send_lag_p99_s
    if late and open_loop:
        found.append(
            f"requests were sent {send_lag_p99_s:.3g} s late at p99 (bound: {bounds.send_lag_p99_s:g} s)"
        )
    if requests >= bounds.requests_for_rates:
        found += _of_the_counts(check, offered_per_s, achieved_per_s, bounds)
    return tuple(found)


def apart_reasons(check: ClientCheck | None, window_s: float | None) -> tuple[str, ...]:
    """Why machines that sent a load are too far apart for what is counted over all of them; else empty.

    A latency is measured by one clock and stands whatever is here.
    """
    if check is None or check.clock_error_s is None:
        return ()
    spread_s, error_s = check.start_spread_s or 0.0, check.clock_error_s
    found = []
    if spread_s > SPREAD_S:
        found.append(f"the machines began {spread_s:.3g} s apart (bound: {SPREAD_S:g} s)")
    doubt_s = spread_s + 2 * error_s
    if window_s and doubt_s > WINDOW_SHARE * window_s:
        found.append(
            f"their starts and clocks leave {doubt_s:.3g} s of a window of {window_s:.3g} s open "
            f"(bound: {WINDOW_SHARE:.0%})"
        )
    return tuple(found)


def _of_the_process(check: ClientCheck, bounds: ClientBounds) -> Iterator[str]:
    lag_s, pause_s, cpu_share = check.loop_lag_p99_s, check.gc_pause_max_s, check.cpu_share
    if lag_s > bounds.loop_lag_p99_s:
        yield f"the client's loop was {lag_s:.3g} s late at p99 (bound: {bounds.loop_lag_p99_s:g} s)"
    if pause_s > bounds.gc_pause_max_s:
        yield f"garbage collection paused the client for {pause_s:.3g} s (bound: {bounds.gc_pause_max_s:g} s)"
    if cpu_share > bounds.cpu_share:
        yield f"the client used {cpu_share:.0%} of a core (bound: {bounds.cpu_share:.0%}): use more processes"
    if check.clock_steps:
        yield f"the wall clock, which the kernel stamps with, was set {check.clock_steps} times in the run"


def _of_the_counts(
    check: ClientCheck | None, offered_per_s: float | None, achieved_per_s: float | None, bounds: ClientBounds
) -> Iterator[str]:
    ratio = check.littles_ratio if check is not None else None
    # Of an answer that takes a millisecond, the time to notice its end is a large share, and no harm.
    excess_s = (check.littles_excess_s if check is not None else None) or 0.0
    apart = ratio is not None and abs(ratio - 1) > bounds.littles_share
    if apart and abs(excess_s) > bounds.littles_excess_s:
        yield (
            f"{ratio:.3g} times as many requests were in flight as the records say "
            f"(Little's law; bound: {bounds.littles_share:.0%} apart)"
        )
    if not offered_per_s or achieved_per_s is None:
        return
    if abs(achieved_per_s / offered_per_s - 1) > bounds.rate_share:
        yield (
            f"{achieved_per_s:.4g} requests a second were sent where {offered_per_s:.4g} were due "
            f"(bound: {bounds.rate_share:.0%} apart)"
        )
