"""An interleaved A/B of two endpoints: pairs of loads in random order, until the difference is decided.

<folder>/
    comparison.json            what was asked, each pair, and what it comes to; whole after each pair
    loads/pair-001-a.jsonl     the journals of the blocks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from instruments.errors import ConfigurationError
from instruments.journal import load_run
from instruments.records import LoadRun
from instruments.results import RunFolder
from instruments.slo.comparison import Block, Comparison, Figure, Pair, judge_pairs
from instruments.statistics.comparison import Change, CompareRule
from instruments.statistics.summary import summarize
from instruments.trials.endpoint import Endpoint
from instruments.workloads.catalog import AnyWorkload

SCHEMA = 1
DOCUMENT = "comparison.json"
Look = Callable[[Comparison], None]


@dataclass(frozen=True, slots=True)
class Interleaved:
    """What is compared, of which workload's blocks, when it is decided, and where all is written."""

    workload: AnyWorkload  # one block
    folder: Path
    seed: int
    figure: Figure = field(default_factory=Figure)
    rule: CompareRule = field(default_factory=CompareRule)
    duration_s: float | None = None  # of a block

    def check(self) -> None:
        """ConfigurationError for a block that cannot have the figure, or a folder that holds something."""
        requests = getattr(self.workload, "requests_measured", None) or self.workload.check()
        if requests < self.figure.requests_least:
            raise ConfigurationError(
                f"a block of {requests} requests has no {self.figure.statistic}",
                expected=f"at least {self.figure.requests_least} requests a block",
                hint="--requests N",
            )
        if self.folder.exists() and any(self.folder.iterdir()):
            raise ConfigurationError(
                f"{self.folder} holds something already", expected="a new folder, or an empty one"
            )


def run_interleaved(a: Endpoint, b: Endpoint, plan: Interleaved, look: Look | None = None) -> Comparison:
    """Run pairs of blocks until their difference is decided, or the budget of pairs is spent.

    Which of a pair's blocks runs first is drawn for each pair: what drifts, and what the first leaves behind,
    favours neither. No two blocks ask the same: where A and B lie on one server, its caches help neither.
    """
    plan.check()
    order = Random(f"{plan.seed}/order")
    found: list[dict[str, str]] = []
    pairs: list[Pair] = []
    comparison = judge_pairs(pairs, plan.figure, plan.rule)
    while comparison.change is Change.INCONCLUSIVE and len(pairs) < plan.rule.pairs_most:
        arms = {"a": a, "b": b}
        names = order.sample(sorted(arms), 2)
        number = len(pairs) + 1
        journals = {name: f"loads/pair-{number:03d}-{name}.jsonl" for name in arms}
        blocks = {}
        for place, name in enumerate(names):
            seed = plan.seed * 10_000 + 2 * number + place
            about = {"trial": {"kind": "interleaved", "pair": number, "arm": name}}
            run = arms[name].load(
                plan.workload, seed, plan.folder / journals[name], about=about, duration_s=plan.duration_s
            )
            blocks[name] = _block(run, plan.figure)
        pairs.append((blocks["a"], blocks["b"]))
        found.append({"first": names[0], **journals})
        comparison = judge_pairs(pairs, plan.figure, plan.rule)
        told = {"a": a.told(), "b": b.told()}
        RunFolder(plan.folder).write_document(DOCUMENT, _document(plan, comparison, told, found))
        if look is not None:
            look(comparison)
    return comparison


def judge_saved(folder: Path) -> tuple[Comparison, dict[str, Any]]:
    """Judge a comparison again from its journals; with the document that names them."""
    document = RunFolder(folder).read_document(DOCUMENT)
    if document is None or document.get("kind") != "interleaved" or document.get("schema") != SCHEMA:
        raise ConfigurationError(
            f"{folder} holds no comparison", expected=f"a {DOCUMENT} with schema {SCHEMA}"
        )
    figure, rule = Figure(**document["figure"]), CompareRule(**document["rule"])
    pairs = [
        (_block(load_run(folder / pair["a"]), figure), _block(load_run(folder / pair["b"]), figure))
        for pair in document["pairs"]
    ]
    return judge_pairs(pairs, figure, rule), document


def _block(run: LoadRun, figure: Figure) -> Block:
    return Block.of(summarize(run), figure)


def _document(
    plan: Interleaved,
    comparison: Comparison,
    endpoints: Mapping[str, Mapping[str, Any]],
    pairs: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    ratio = [end if math.isfinite(end) else None for end in comparison.state.ratio]
    return {
        "kind": "interleaved",
        "schema": SCHEMA,
        "figure": asdict(plan.figure),
        "rule": asdict(plan.rule),
        "seed": plan.seed,
        "workload_sha256": plan.workload.fingerprint(),
        "simulated": any(one["simulated"] for one in endpoints.values()),
        "endpoints": dict(endpoints),
        "change": comparison.change,
        "reason": comparison.reason,
        "ratio": dict(zip(("value", "low", "high"), ratio, strict=True)),
        "requests": dict(zip("ab", comparison.requests, strict=True)),
        "failed": dict(zip("ab", comparison.failed, strict=True)),
        "pairs_more": comparison.pairs_more,
        "pairs": list(pairs),
    }
