"""A search for capacity on a running server: one load a probe, each sampled until its objectives are decided.

<folder>/
    capacity.json              what was asked, each probe, and where the knee lies; whole after each probe
    loads/probe-01-64.jsonl    the journals of the probes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from instruments.arrivals import Poisson
from instruments.errors import ConfigurationError
from instruments.fleet import LoadSpec
from instruments.journal import load_run
from instruments.looks import Rule
from instruments.records import RequestRecord
from instruments.results import RunFolder
from instruments.slo import ServiceLevelObjective, State, Verdict, evaluate
from instruments.slo.capacity import CapacityResult, CapacitySearch, Probe
from instruments.slo.until import so_far
from instruments.statistics.quantiles import requests_needed
from instruments.statistics.summary import RunSummary, summarize
from instruments.trials.endpoint import Endpoint
from instruments.trials.held import check_held
from instruments.workloads.synthetic import SyntheticWorkload

SCHEMA = 1
DOCUMENT = "capacity.json"
# Times the fewest requests that could show a quantile: near the knee it takes more than far off.
BUDGET_TIMES = 10
FEWEST = 50
A_USER = 2  # requests at least, or a level of many users was never really tried
Look = Callable[[Probe, CapacityResult], None]


@dataclass(frozen=True, slots=True)
class KneeSearch:
    """What is searched, by `users` or `rate` (requests per second), and between which levels.

    `requests_most`: of one probe; None is as many as its objectives may need. `left_out`: objectives that
    were asked for and do not apply, by their ids, with the reasons; they are only told of.
    """

    workload: SyntheticWorkload
    objectives: tuple[ServiceLevelObjective, ...]
    folder: Path
    seed: int
    by: Literal["users", "rate"]
    lowest: float
    highest: float
    start: float | None = None
    resolution: float = 1.0
    probes_most: int = 12
    confidence: float = 0.95
    confirm: bool = False
    promise: float | None = None
    requests_most: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def search(self) -> CapacitySearch:
        """ConfigurationError for bounds that are none, objectives that none can hold, or a folder in use."""
        check_held(self.objectives)
        if self.by == "users" and self.resolution != int(self.resolution):
            raise ConfigurationError("users are whole", expected="a whole --resolution")
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ConfigurationError(
                f"{self.folder} holds something already", expected="a new folder, or an empty one"
            )
        return CapacitySearch(
            self.lowest,
            self.highest,
            start=self.start,
            resolution=self.resolution,
            probes_most=self.probes_most,
            confidence=self.confidence,
            confirm=self.confirm,
        )

    def at(self, level: float, error: float) -> SyntheticWorkload:
        """The workload at a level, long enough to be judged with this error."""
        users = round(level) if self.by == "users" else None
        fewest = max(FEWEST, A_USER * (users or 0))
        most = self.requests_most or max(fewest, BUDGET_TIMES * self._needed(error))
        return replace(
            self.workload,
            users=users,
            rate_per_s=None,
            arrival_process=None if users is not None else Poisson(level),
            requests_measured=min(fewest, most),
            requests_most=most,
            requests_warmup=max(self.workload.requests_warmup, users or 0),
            requests_cooldown=users or 0,
        )

    def _needed(self, error: float) -> int:
        """The fewest requests that can show all of the objectives, were none bad."""
        shares = [one.bad_share for one in self.objectives if one.is_quantile or one.statistic == "share"]
        return max(
            (requests_needed(0, share, 1 - error) for share in shares if 0 < share < 1), default=FEWEST
        )


def run_search(endpoint: Endpoint, plan: KneeSearch, look: Look | None = None) -> CapacityResult:
    """Probe levels until the knee is enclosed, or the probes are spent."""
    search = plan.search()
    told: list[dict[str, Any]] = []
    while (level := search.next_level()) is not None:
        number = len(told) + 1
        journal = f"loads/probe-{number:02d}-{level:g}.jsonl"
        run = endpoint.load(
            plan.at(level, search.probe_error),
            plan.seed * 1_000 + number,
            plan.folder / journal,
            about={"trial": {"kind": "capacity", "probe": number, "by": plan.by, "level": level}},
            until=lambda spec: _rule(spec, plan.objectives, search.probe_error),
        )
        state, evidence = judge_level(summarize(run), plan.objectives, search.probe_error)
        search.tell(level, state, evidence)
        told.append({"level": level, "state": state, "evidence": evidence, "journal": journal})
        result = search.result()
        document = _document(plan, endpoint, search.probe_error, told)
        RunFolder(plan.folder).write_document(DOCUMENT, {**document, **told_result(result, plan.promise)})
        if look is not None:
            look(result.probes[-1], result)
    return search.result()


def judge_level(
    summary: RunSummary, objectives: Sequence[ServiceLevelObjective], error: float
) -> tuple[State, str]:
    """MET when all objectives are, VIOLATED when any is, each with this probability of being wrong in all."""
    verdicts = [
        evaluate(summary, replace(one, confidence=1 - error), family=len(objectives)) for one in objectives
    ]
    return _all(verdicts), "; ".join(map(_words, verdicts))


def _words(verdict: Verdict) -> str:
    why = f" ({verdict.reason})" if verdict.state is State.INCONCLUSIVE else ""
    return f"{verdict.objective} {verdict.state}: {verdict.measured()}{why}"


def _all(verdicts: Sequence[Verdict]) -> State:
    states = {verdict.state for verdict in verdicts}
    if State.VIOLATED in states:
        return State.VIOLATED
    return State.MET if states == {State.MET} else State.INCONCLUSIVE


def _rule(spec: LoadSpec, objectives: Sequence[ServiceLevelObjective], error: float) -> Rule:
    """When a probe's run may end: one VIOLATED decides a level, where `Decided` would wait for all."""
    description = spec.told(spec.processes, looked_at=True)

    def decided(records: Sequence[RequestRecord]) -> bool:
        summary = summarize(so_far(records, description))
        return judge_level(summary, objectives, error)[0] is not State.INCONCLUSIVE

    return decided


def judge_search(folder: Path) -> tuple[CapacityResult, dict[str, Any]]:
    """Judge a search again from its journals; with the document that names them."""
    document = RunFolder(folder).read_document(DOCUMENT)
    if document is None or document.get("kind") != "capacity" or document.get("schema") != SCHEMA:
        raise ConfigurationError(f"{folder} holds no search", expected=f"a {DOCUMENT} with schema {SCHEMA}")
    objectives = [ServiceLevelObjective.from_document(one) for one in document["objectives"]]
    asked = document["asked"]
    search = CapacitySearch(
        asked["lowest"],
        asked["highest"],
        resolution=asked["resolution"],
        probes_most=asked["probes_most"],
        confidence=asked["confidence"],
    )
    for probe in document["probes"]:
        summary = summarize(load_run(folder / probe["journal"]))
        search.tell(probe["level"], *judge_level(summary, objectives, search.probe_error))
    return search.result(), document


def _document(
    plan: KneeSearch, endpoint: Endpoint, error: float, probes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    asked = ("by", "lowest", "highest", "start", "resolution", "probes_most", "confidence", "promise", "seed")
    return {
        "kind": "capacity",
        "schema": SCHEMA,
        "asked": {name: getattr(plan, name) for name in asked},
        "endpoint": endpoint.told(),
        "simulated": bool(endpoint.simulated),
        "objectives": [asdict(one) for one in plan.objectives],
        "left_out": dict(plan.left_out),
        "probe_error": error,
        "probes": list(probes),
    }


def told_result(result: CapacityResult, promise: float | None) -> dict[str, Any]:
    """What a search comes to, as JSON has it."""
    low, high = result.headroom(promise) if promise else (None, None)
    kept = None if promise is None else result.promise(promise)
    return {
        "low": result.low,
        "high": result.high,
        "violated": result.violated,
        "monotone": result.monotone,
        "reason": result.reason,
        "promise": kept,
        "headroom": None if promise is None else {"low": low, "high": high},
    }
