"""`python -m benchmarks.scale.pods --context NAME`: load Pods against a simulator in the same cluster.

Everything is in namespaces of its own, which are gone afterwards. Exit status: 0 when every round counts,
else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import place
from benchmarks.quantile import p99
from benchmarks.scale.points import PROMPT_TOKENS, TTFT_MS, Point
from benchmarks.table import markdown, number
from environments.kubernetes.api import Api, Document
from environments.kubernetes.context import connected
from environments.kubernetes.images import local_images
from environments.kubernetes.load_objects import LoadPlan, cpu_request_m
from environments.kubernetes.load_pods import Crew, load_image, load_pods
from environments.kubernetes.ownership import Owner, marks
from environments.kubernetes.reaping import remove_namespace
from environments.kubernetes.rollout import Rollout, wait_rolled_out
from instruments.arrivals import ClosedLoop
from instruments.errors import SloError
from instruments.fleet import LoadSpec, run_load
from instruments.limits import RunLimits
from instruments.records import LoadRun, Outcome
from instruments.remote import Post
from instruments.statistics import summarize
from instruments.target import Target
from instruments.workloads.synthetic import SyntheticWorkload

PAGE = Path(__file__).resolve().parents[1] / "SCALE.md"
FIGURES = place.HOME / "scale-pods.json"
MARKS = ("<!-- pods: begin -->", "<!-- pods: end -->")
SIMULATOR = "vllm-slo/simulator"
PORT = 8_000
RATE = 10.0
STREAMS = (64, 1_024, 2_048, 4_096)
READY_BOUND_S = 120.0
BOUND_S = 120.0
SEED = 9_000


@dataclass(frozen=True, slots=True)
class PodRun:
    """One load from Pods; its share of a core is that of the Pod that had the most."""

    streams: int
    pods: int
    round: int
    problem: str | None = None
    completed: int = 0
    void: bool = False
    cpu_share: float | None = None
    send_lag_p99_ms: float | None = None
    loop_lag_p99_ms: float | None = None
    clock_error_ms: float | None = None
    start_spread_ms: float | None = None
    itl_p99_ms: float | None = None  # as the server was told, 1,000 ÷ rate
    load_s: float | None = None  # from the first request that was due to the last byte
    rest_s: float | None = (
        None  # all else: engines started, clocks compared, journals brought over and merged
    )
    journal_bytes: int = 0


@contextmanager
def simulator(api: Api, image: str, run_id: str) -> Iterator[str]:
    """The base URL, for Pods, of a simulator in a namespace of its own."""
    namespace = f"vllm-slo-scale-{run_id}"
    labels, notes = marks(run_id, "stack", Owner.here(1_800.0), kept=False)
    metadata = {"name": namespace, "labels": labels, "annotations": notes}
    uid = str(api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})["metadata"]["uid"])
    try:
        for document in _objects(namespace, image):
            api.apply(document)
        wait_rolled_out(api, namespace, [Rollout("Deployment", "simulator")], _say, READY_BOUND_S)
        yield f"http://simulator.{namespace}.svc:{PORT}"
    finally:
        remove_namespace(api, namespace, uid)


def _objects(namespace: str, image: str) -> list[Document]:
    labels = {"app": "simulator"}
    timing = ["--ttft-ms", f"{TTFT_MS:g}", "--itl-ms", f"{1e3 / RATE:g}", "--slots", "20000"]
    container = {
        "name": "simulator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["--host", "0.0.0.0", "--port", str(PORT), "--model", place.MODEL_NAME, *timing],  # noqa: S104
        "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 2},
    }
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "simulator", "namespace": namespace}
    port = {"port": PORT, "protocol": "TCP"}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [port]},
        },
    ]


def run_once(crew: Crew, url: str, streams: int, number: int) -> PodRun:
    """One load of so many streams from all Pods of the crew."""
    with tempfile.TemporaryDirectory(prefix="scale-pods-") as folder:
        journal, began_s = Path(folder) / "load.jsonl", time.monotonic()
        try:
            run = run_load(_spec(crew, url, Point(RATE, streams), number, journal))
        except SloError as error:
            return PodRun(streams, len(crew.pods), number, problem=" ".join(str(error).split())[:300])
        took_s = time.monotonic() - began_s
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return _told(run, streams, len(crew.pods), number, took_s, size)


def _spec(crew: Crew, url: str, point: Point, number: int, journal: Path) -> LoadSpec:
    workload = SyntheticWorkload(
        id=f"pods-{point.name}",
        description="streams of known timing, from Pods",
        requests_warmup=0,
        requests_measured=point.streams,
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=point.tokens,
        arrival_process=ClosedLoop(point.streams, ramp_s=point.ramp_s),
    )
    return LoadSpec(
        workload.id,
        workload,
        Target(url),
        place.MODEL_NAME,
        SEED + number,
        journal,
        limits=RunLimits(duration_s=BOUND_S),
        crew=tuple(Post(pod, crew.command(pod)) for pod in crew.pods),
    )


def _told(run: LoadRun, streams: int, pods: int, number: int, took_s: float, size: int) -> PodRun:
    done = [one for one in run.records if one.outcome is Outcome.COMPLETED and one.done_ns is not None]
    gaps_ms = [(b - a) / 1e6 for one in done for a, b in zip(one.chunks_ns, one.chunks_ns[1:], strict=False)]
    lags_ms = [(one.sent_ns - one.due_ns) / 1e6 for one in done if one.sent_ns is not None]
    client = run.client
    whole = len(done) == streams and run.complete and client is not None
    if not whole or client is None:
        why = f"{len(done)} of {streams} streams came to their end; {run.stopped_because}; {run.problems}"
        return PodRun(streams, pods, number, problem=why[:300], completed=len(done))
    load_s = (max(one.done_ns or 0 for one in done) - min(one.due_ns for one in done)) / 1e9
    return PodRun(
        streams,
        pods,
        number,
        completed=len(done),
        void=bool(summarize(run).void),
        cpu_share=client.cpu_share,
        send_lag_p99_ms=p99(lags_ms),
        loop_lag_p99_ms=client.loop_lag_p99_s * 1e3,
        clock_error_ms=None if client.clock_error_s is None else client.clock_error_s * 1e3,
        start_spread_ms=None if client.start_spread_s is None else client.start_spread_s * 1e3,
        itl_p99_ms=p99(gaps_ms),
        load_s=load_s,
        rest_s=took_s - load_s,
        journal_bytes=size,
    )


def report(saved: dict[str, Any], runs: Sequence[PodRun]) -> str:
    """The table: medians of the rounds that count, and of errors and lags the worst of them."""
    head = (
        f"{saved['pods']} Pods on {saved['nodes']}, Kubernetes {saved['version']}, with the simulator as "
        f"another Pod there and the control plane beside it, all on {saved['machine']['cores']} cores; "
        f"{RATE:g} tokens/s a stream, {saved['rounds']} rounds, load average {saved['load_before']:.2f} "
        "before the first. Times are medians, lags and errors those of the worst round."
    )
    header = ["streams", "n", "void", "busiest Pod, % of a core", "send lag p99 (ms)", "loop lag p99 (ms)"]
    header += ["clock error (ms)", "start spread (ms)", "ITL p99, 100 ms dictated (ms)", "load (s)"]
    header += ["all else (s)", "MB of journals"]
    lines = [
        _line([run for run in runs if run.streams == each]) for each in sorted({run.streams for run in runs})
    ]
    bad = [f"* {run.streams:,} streams ({run.round}): {run.problem}" for run in runs if run.problem]
    parts = [
        head,
        markdown(header, lines),
        "Rounds that count for nothing:\n\n" + "\n".join(bad) if bad else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _line(runs: Sequence[PodRun]) -> list[str]:
    good = [run for run in runs if run.problem is None]
    return [
        f"{runs[0].streams:,}",
        f"{len(good)}",
        f"{sum(run.void for run in good)}",
        number(_of(median, [None if run.cpu_share is None else 100 * run.cpu_share for run in good])),
        *(number(_of(max, [getattr(run, name) for run in good])) for name in _WORST),
        number(_of(median, [run.load_s for run in good])),
        number(_of(median, [run.rest_s for run in good])),
        number(_of(median, [run.journal_bytes / 1e6 for run in good])),
    ]


_WORST = ("send_lag_p99_ms", "loop_lag_p99_ms", "clock_error_ms", "start_spread_ms", "itl_p99_ms")


def _of(which: Any, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(which(known)) if known else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.pods", description=__doc__)
    add = parser.add_argument
    add(
        "--context",
        required=True,
        metavar="NAME",
        help="the kubeconfig's context; its current one is never used",
    )
    add("--pods", type=int, default=4, metavar="N", help="load Pods (4)")
    add("--rounds", type=int, default=3, metavar="N", help="each number of streams so often (3)")
    add("--write", action="store_true", help="put the table into benchmarks/SCALE.md")
    given = parser.parse_args()
    with connected(given.context) as api:
        saved = _all(api, given.pods, given.rounds)
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(json.dumps(saved))
    runs = [PodRun(**one) for one in saved["runs"]]
    text = report(saved, runs)
    print(f"\n{text}")
    if given.write:
        PAGE.write_text(placed(PAGE.read_text("utf-8"), text), "utf-8")
    return int(any(run.problem for run in runs))


def placed(page: str, text: str) -> str:
    """The page with the table between its markers. ValueError when it lacks them."""
    before, begin, rest = page.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"expected the lines {MARKS[0]} and {MARKS[1]} in the page")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def _all(api: Api, count: int, rounds: int) -> dict[str, Any]:
    run_id = f"{time.strftime('%H%M%S', time.gmtime())}-{os.getpid()}"
    images = local_images([SIMULATOR], _say)
    plan = LoadPlan(run_id, count, load_image(None, _say), cpu_request_m(api, count), 1_800.0)
    runs = []
    told = {"machine": place.machine(), "rounds": rounds, "pods": count, "version": api.version()}
    told["load_before"] = os.getloadavg()[0]
    with simulator(api, images[SIMULATOR], run_id) as url, load_pods(api, plan, _say) as crew:
        told["nodes"] = f"{len(crew.nodes)} node{'s' * (len(crew.nodes) > 1)}"
        for number_ in range(1, rounds + 1):
            for streams in STREAMS:
                runs.append(run := run_once(crew, url, streams, number_))
                took = run.problem or f"{run.load_s:.1f} s and {run.rest_s:.1f} s"
                _say(f"{number_}: {streams:,} streams: {took}")
    return {**told, "runs": [asdict(run) for run in runs]}


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
