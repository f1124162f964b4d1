"""Streaming: one run of many streams through our load engine, and what each second of a stream cost."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import place
from benchmarks.meter import tree
from benchmarks.quantile import p99
from benchmarks.scale.points import PROMPT_TOKENS, Point
from benchmarks.scale.probe import Seen, probing, server_among
from benchmarks.server import TRACE, Truth, serving, truth_of
from instruments.arrivals import ClosedLoop
from instruments.errors import SloError
from instruments.fleet import LoadSpec, run_load
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome, RequestRecord
from instruments.spawn import spawn
from instruments.statistics import summarize
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload

BOUND_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run. CPU shares are of one core while all streams are open; None where nothing can be said.

    `problem` says why the run counts for nothing.
    """

    rate: float
    streams: int
    tokens: int  # of each answer
    round: int
    problem: str | None = None
    completed: int = 0
    void: bool = False  # our client called its own run void
    window_s: float | None = None  # in which every stream was open
    tokens_in_window: int = 0
    client_share: float | None = None
    server_share: float | None = None
    whole_cpu_s: float | None = None  # the client's process from its start to its end
    peak_bytes: int = 0
    descriptors: int = 0
    send_lag_p99_ms: float | None = None
    loop_lag_p99_ms: float | None = None
    ttft_error_ms: float | None = None  # our p99 minus the server's, same requests
    itl_error_ms: float | None = None
    journal_bytes: int = 0
    body_bytes: int = 0

    @property
    def served_share(self) -> float | None:
        """Of the tokens that were to come while every stream was open, those that came."""
        if not self.window_s:
            return None
        return self.tokens_in_window / (self.window_s * self.rate * self.streams)


def run_once(point: Point, number: int, seed: int) -> Run:
    """One run of a point, with a server and a client process of its own."""
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        try:
            return _measured(point, number, seed, Path(folder))
        except (SloError, RuntimeError, LookupError) as error:
            return Run(point.rate, point.streams, point.tokens, number, problem=_short(error))


def _measured(point: Point, number: int, seed: int, folder: Path) -> Run:
    scenario, journal = point.scenario(), folder / "load.jsonl"
    before_s = _children_s()
    with serving(scenario, folder) as url:
        child = spawn()
        with suppress(OSError):  # of the whole machine's one core, where there is no other
            os.sched_setaffinity(child.process.pid, place.client_cores())
        with probing(child.process.pid, server_among(tree(os.getpid()))) as seen:
            run = run_load(_spec(point, url, seed, journal), spawned=child)
        whole_s = _children_s() - before_s  # the server is a child, too, but has not ended yet
    truth = truth_of((folder / TRACE).read_text(), scenario)
    return _told(point, number, run, seen, truth, whole_s, journal.stat().st_size)


def _spec(point: Point, url: str, seed: int, journal: Path) -> LoadSpec:
    workload = SyntheticWorkload(
        id=f"scale-{point.name}",
        description="streams of known timing",
        requests_warmup=0,
        requests_measured=point.streams,
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=point.tokens,
        arrival_process=ClosedLoop(point.streams, ramp_s=point.ramp_s),
    )
    limits = RunLimits(duration_s=BOUND_S)
    return LoadSpec(workload.id, workload, Target(url), place.MODEL_NAME, seed, journal, limits=limits)


def _told(
    point: Point, number: int, run: LoadRun, seen: Seen, truth: Truth, whole_s: float, journal_bytes: int
) -> Run:
    done = [one for one in run.records if one.outcome is Outcome.COMPLETED and one.chunks_ns]
    shares = _shares(done, seen)
    lags_ms = [(one.sent_ns - one.due_ns) / 1e6 for one in done if one.sent_ns is not None]
    client = run.client
    return Run(
        point.rate,
        point.streams,
        point.tokens,
        number,
        problem=None
        if len(done) == point.streams
        else f"{len(done)} of {point.streams} streams came to their end",
        completed=len(done),
        void=bool(summarize(run).void),
        window_s=shares[0],
        tokens_in_window=shares[1],
        client_share=shares[2],
        server_share=shares[3],
        whole_cpu_s=whole_s,
        peak_bytes=max(seen.peak_bytes, 0),
        descriptors=seen.descriptors,
        send_lag_p99_ms=p99(lags_ms) if lags_ms else None,
        loop_lag_p99_ms=client.loop_lag_p99_s * 1e3 if client is not None else None,
        ttft_error_ms=_difference([_ttft_ms(one) for one in done], truth.ttft_ms),
        itl_error_ms=_difference(_gaps_ms(done), truth.itl_ms),
        journal_bytes=journal_bytes,
        body_bytes=sum(one.body_bytes for one in done),
    )


def _shares(
    done: Sequence[RequestRecord], seen: Seen
) -> tuple[float | None, int, float | None, float | None]:
    """(seconds, tokens, client's share, server's share of a core) while every stream was open."""
    if not done:
        return None, 0, None, None
    begin_ns = max(one.chunks_ns[0] for one in done)
    end_ns = min(one.chunks_ns[-1] for one in done)
    if (looks := seen.within(begin_ns, end_ns)) is None:
        return None, 0, None, None
    first, last = looks
    chunks = np.concatenate([np.asarray(one.chunks_ns, dtype=np.int64) for one in done])
    tokens = int(((chunks > first.at_ns) & (chunks <= last.at_ns)).sum())
    passed_ns = last.at_ns - first.at_ns
    client, server = last.client_ns - first.client_ns, last.server_ns - first.server_ns
    return passed_ns / 1e9, tokens, client / passed_ns, server / passed_ns


def _ttft_ms(one: RequestRecord) -> float:
    return ((one.first_token_ns or 0) - (one.sent_ns or 0)) / 1e6


def _gaps_ms(done: Sequence[RequestRecord]) -> Sequence[float]:
    gaps = [np.diff(np.asarray(one.chunks_ns, dtype=np.int64)) for one in done]
    return (np.concatenate(gaps) / 1e6).tolist() if gaps else []


def _difference(ours: Sequence[float], truth: Sequence[float]) -> float | None:
    """Our p99 minus the server's; None where either has no value."""
    return p99(ours) - p99(truth) if len(ours) and len(truth) else None


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _short(error: Exception) -> str:
    """An error on one line; of a long one the end, where a traceback says what it was."""
    said = " ".join(str(error).split())
    return said if len(said) <= 300 else f"{said[:80]} … {said[-200:]}"
