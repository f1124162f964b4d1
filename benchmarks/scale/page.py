"""The page: SCALE.md's tables, made from saved runs; the plan from what the table of figures prints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.scale.basis import LEAST_SERVED, MOST_ERROR_MS, MOST_SEND_LAG_MS, Row, is_true, rows
from benchmarks.scale.plan import (
    ANSWER_TOKENS,
    COLLECTED_MB_S,
    CORE_SHARE,
    MERGER_GB,
    NAT_PORTS,
    NODE_CORES,
    NODE_GBIT,
    PATIENCE_MIN,
    PODS_A_NODE,
    PORTS,
    RUN_S,
    STREAMS,
    SYSTEM_CORES,
    WIRE_BYTES,
    Plan,
    limits,
    planned,
)
from benchmarks.scale.points import PLANNED_RATES
from benchmarks.scale.reading import Read
from benchmarks.scale.streaming import Run
from benchmarks.table import markdown, number

NO_PLAN = "There is no plan: "
FIGURE_ROW = re.compile(r"^\| `(\w+)` +\|[^|]+\| +([\d,.e+-]+) +\|", re.MULTILINE)


def report(saved: Mapping[str, Any], runs: Sequence[Run], reads: Sequence[Read]) -> str:
    """All that one benchmark says; in place of a plan, why there can be none."""
    machine = saved["machine"]
    head = (
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}; {machine['pinning']}. {saved['rounds']} rounds; load average "
        f"{saved['load_before']:.2f} before the first. The server is a simulator of known timing: nothing "
        "here says anything about vLLM's own speed."
    )
    if saved["quick"]:
        head += " QUICK: too few streams for a plan."
    parts = [head, "### Measured", measured(runs), _bounds(), merging(reads), _problems(runs, reads)]
    try:
        found = rows(runs, reads)
        basis = {row.name: row.figure.value for row in found}
        parts += ["### Figures of the plan", figures(found), plan_part(basis)]
    except ValueError as why:
        parts.append(f"{NO_PLAN}{why}.")
    return "\n\n".join(part for part in parts if part)


def measured(runs: Sequence[Run]) -> str:
    """A line a point: medians of its rounds; of errors and lags the worst round."""
    header = [
        "tokens/s",
        "streams",
        "n",
        "client, % of a core",
        "its rounds",
        "server, %",
        "tokens/s in all",
        "µs of CPU a token",
        "descriptors",
        "peak MiB",
        "TTFT p99 error (ms)",
        "ITL p99 error (ms)",
        "send lag p99 (ms)",
        "loop lag p99 (ms)",
        "true",
    ]
    points = sorted({(run.rate, run.streams, run.tokens) for run in runs if run.streams > 1})
    return markdown(
        header,
        [_line([run for run in runs if (run.rate, run.streams, run.tokens) == point]) for point in points],
    )


def _line(runs: Sequence[Run]) -> list[str]:
    good = [run for run in runs if run.problem is None]
    shares = [100 * run.client_share for run in good if run.client_share is not None]
    windows = [run for run in good if run.window_s and run.tokens_in_window and run.client_share]
    token_us = [(run.client_share or 0) * (run.window_s or 0) / run.tokens_in_window * 1e6 for run in windows]
    return [
        f"{runs[0].rate:g}",
        f"{runs[0].streams:,}",
        f"{len(good)}",
        number(_median(shares)),
        f"{number(min(shares))} – {number(max(shares))}" if shares else "–",
        number(_median([100 * run.server_share for run in good if run.server_share is not None])),
        number(_median([run.tokens_in_window / (run.window_s or 1) for run in windows])),
        number(_median(token_us)),
        number(_median([float(run.descriptors) for run in good])),
        number(_median([run.peak_bytes / 2**20 for run in good])),
        *(
            number(_worst([getattr(run, name) for run in good]))
            for name in ("ttft_error_ms", "itl_error_ms", "send_lag_p99_ms", "loop_lag_p99_ms")
        ),
        f"{sum(is_true(run) for run in runs)} of {len(runs)}",
    ]


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _worst(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), key=abs, default=None)


def _bounds() -> str:
    return (
        f"A round is true where our p99 of TTFT and of ITL is within {MOST_ERROR_MS:g} ms of the server's "
        f"own, the p99 of send lag is at most {MOST_SEND_LAG_MS:g} ms, the client did not call its run void "
        f"and the server kept up ({LEAST_SERVED:.0%} of rate × streams came). Errors and lags are those of "
        "the worst round; shares of a core and tokens/s are medians, taken while every stream was open."
    )


def figures(found: Sequence[Row]) -> str:
    """What the plan is made of, as it is made of it."""
    header = ["name", "what", "median", "least – most", "n"]
    return markdown(
        header,
        [
            [
                f"`{row.name}`",
                row.what,
                _told(row.figure.value),
                f"{_told(row.figure.low)} – {_told(row.figure.high)}",
                str(row.figure.rounds),
            ]
            for row in found
        ],
    )


def _told(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 100 else f"{value:g}"


def printed(page: str) -> dict[str, float]:
    """The figures of a page, by their names."""
    return {name: float(value.replace(",", "")) for name, value in FIGURE_ROW.findall(page)}


def merging(reads: Sequence[Read]) -> str:
    header = ["requests", "parts", "tokens each", "n", "MB of journals", "seconds", "least – most", "peak MB"]
    lines = []
    for requests in sorted({read.requests for read in reads}):
        those = [read for read in reads if read.requests == requests and read.seconds is not None]
        seconds = [read.seconds for read in those if read.seconds is not None]
        if those:
            lines.append(
                [
                    f"{requests:,}",
                    str(those[0].parts),
                    str(those[0].tokens),
                    str(len(those)),
                    number(those[0].journal_bytes / 1e6),
                    number(median(seconds)),
                    f"{number(min(seconds))} – {number(max(seconds))}",
                    number(median([read.peak_bytes / 1e6 for read in those])),
                ]
            )
    return "Reading and merging the parts of a run (`load_run`, one process):\n\n" + markdown(header, lines)


def plan_part(basis: Mapping[str, float]) -> str:
    """The plan and what breaks first, from figures as they are printed."""
    plans = [planned(basis, streams, rate) for rate in PLANNED_RATES for streams in STREAMS]
    header = ["", *(f"{one.streams:,} × {one.rate:g} tokens/s" for one in plans), "by"]
    table = [[what, *(cell(one) for one in plans), by] for what, cell, by in _LINES]
    tight = [
        [
            f"{one.streams:,} × {one.rate:g}",
            limit.what,
            f"{number(limit.need)} {limit.unit}",
            f"{number(limit.there_is)} {limit.unit}",
            f"{number(limit.times)}×",
        ]
        for one in plans
        for limit in limits(one)[:3]
    ]
    return "\n\n".join(
        [
            "### The plan",
            _decided(),
            markdown(header, table),
            "### What breaks first",
            markdown(["plan", "what", "needs", "there is", "needs ÷ there is"], tight),
        ]
    )


def _decided() -> str:
    return (
        f"Decided: a load Pod is one process on one core, planned for {CORE_SHARE:.0%} of it; nodes "
        f"of {NODE_CORES} cores, {SYSTEM_CORES} left to the system; answers of "
        f"{ANSWER_TOKENS} tokens; a run of {RUN_S:g} s. Known: {PORTS:,} local "
        f"ports (Linux' default) for each pair of addresses, {NAT_PORTS:,} where Linux' NAT chooses them. "
        "Assumed, not measured: "
        f"{WIRE_BYTES} bytes around each token on the wire (a packet a token, TLS), "
        f"{COLLECTED_MB_S:g} MB/s of journals through the API server, "
        f"{MERGER_GB:g} GB where they are merged, {NODE_GBIT:g} Gbit/s a node, "
        f"{PATIENCE_MIN:g} min to collect."
    )


def _whole(name: str) -> Any:
    return lambda one: f"{getattr(one, name):,}"


def _three(name: str) -> Any:
    return lambda one: number(getattr(one, name))


def _thousand(one: Plan) -> str:
    return number(one.core_a_stream * 1_000)


def _millions(one: Plan) -> str:
    return number(one.requests / 1e6)


_LINES: tuple[tuple[str, Any, str], ...] = (
    ("cores for 1,000 streams", _thousand, f"`cores_per_1000` + `request_ms` × rate ÷ {ANSWER_TOKENS}"),
    (
        "streams a Pod",
        _whole("streams_a_pod"),
        f"least of `most_streams` and ⌊{CORE_SHARE * 1_000:g} ÷ cores for 1,000⌋",
    ),
    ("cores at work", _three("busy_cores"), "streams ÷ 1,000 × cores for 1,000"),
    ("load Pods, exec connections", _whole("pods"), "⌈streams ÷ streams a Pod⌉"),
    ("nodes", _whole("nodes"), f"⌈Pods ÷ {PODS_A_NODE}⌉"),
    ("memory a Pod (MiB)", _three("pod_mib"), "`process_mib` + streams a Pod × `stream_kib` ÷ 1,024"),
    ("descriptors a Pod", _whole("pod_descriptors"), "streams a Pod + `descriptors`"),
    (
        "destinations (Pods leave by their node's address)",
        _whole("node_destinations"),
        f"⌈streams a Pod × {PODS_A_NODE} ÷ {NAT_PORTS:,}⌉",
    ),
    ("address pairs (all leave through one NAT)", _whole("nat_pairs"), f"⌈streams ÷ {NAT_PORTS:,}⌉"),
    (
        "network towards the Pods (Gbit/s)",
        _three("gbit_s"),
        f"streams × rate × (`body_bytes` + {WIRE_BYTES}) × 8 bit",
    ),
    (f"requests in {RUN_S:g} s (millions)", _millions, f"streams × rate ÷ {ANSWER_TOKENS} × {RUN_S:g} s"),
    (
        "journals (GB)",
        _three("journal_gb"),
        f"requests × (`journal_request_bytes` + {ANSWER_TOKENS} × `journal_token_bytes`)",
    ),
    ("collecting them (min)", _three("collect_min"), f"journals ÷ {COLLECTED_MB_S:g} MB/s"),
    ("merging them, one process (min)", _three("merge_min"), "millions of requests × `merge_s` ÷ 60"),
    ("memory to merge them (GB)", _three("merge_gb"), "millions of requests × `merge_gb`"),
)


def _problems(runs: Sequence[Run], reads: Sequence[Read]) -> str:
    bad = [
        f"* {run.rate:g} tokens/s × {run.streams:,} ({run.round}): {run.problem}"
        for run in runs
        if run.problem
    ]
    bad += [f"* merging {read.requests:,}: {read.problem}" for read in reads if read.problem]
    return "Rounds that count for nothing:\n\n" + "\n".join(bad) if bad else ""
