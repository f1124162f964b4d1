"""The summary as one JSON document; instruments/JOURNAL.md tells its keys, which end in their units."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from instruments.cli.figures import CONFIDENCE, Distribution, latencies, read_lag_s
from instruments.records import LoadRun, Outcome
from instruments.statistics import RunSummary

SCHEMA = 1
TOLD = (
    "base_url", "api", "model", "simulated", "seed", "workload_sha256", "open_loop", "arrivals",
    "vocabulary", "tls_verified", "processes",
)  # fmt: skip


def document(run: LoadRun, summary: RunSummary, journal: Path) -> dict[str, Any]:
    """What `--json` prints. Null is undefined or unknown, never 0."""
    check = asdict(summary.client) if summary.client else None
    return {
        "kind": "load_summary",
        "schema": SCHEMA,
        "name": run.name,
        "journal": str(journal),
        **{name: run.description.get(name) for name in TOLD},
        "complete": run.complete,
        "stopped_because": run.stopped_because,
        "problems": list(run.problems),
        "void_because": list(summary.void),
        "apart_because": list(summary.apart),
        "requests": _requests(summary),
        "duration_s": summary.duration_s,
        "offered_per_s": summary.offered_per_s,
        "achieved_per_s": summary.achieved_per_s,
        "completed_per_s": summary.completed_per_s,
        "prompt_tokens": summary.prompt_tokens,
        "output_tokens": summary.output_tokens,
        "output_tokens_per_s": summary.output_tokens_per_s,
        "interval_confidence": CONFIDENCE,
        "latencies": {name: _distribution(one) for name, one in latencies(summary).items()},
        "client": check
        and {
            **check,
            "send_lag_p99_s": summary.send_lag_p99_s,
            "read_lag_s": _distribution(read_lag_s(summary.records)),
            "stamp_error_s": summary.stamp_error_s,
        },
    }


def _requests(summary: RunSummary) -> dict[str, Any]:
    outcomes = {outcome.value.lower(): summary.outcomes.get(outcome, 0) for outcome in Outcome}
    error_share = summary.errors / summary.due if summary.due else None
    return {"due": summary.due, **outcomes, "errors": summary.errors, "error_share": error_share}


def _distribution(one: Distribution) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(one).items()}
