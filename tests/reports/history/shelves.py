"""Histories made by hand: runs as the two small documents that history is told from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.history.entries import Entry, open_entry

FINGERPRINT = {"engine.version": "vllm 0.31.0", "engine.flags": "--port 4000 --max-num-seqs 64"}


def objective(
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """One objective of a verdict.json: TTFT p95 ≤ 1.2 s on 'chat', or what is changed of it."""
    return {
        "id": "chat.ttft",
        "description": "An answer begins soon",
        "workload": "chat",
        "indicator": "ttft_s",
        "statistic": "p95",
        "at_most": 1.2,
        "at_least": None,
        "per_request": {},
        "confidence": 0.95,
        "required": True,
        "family": "gate",
        "cost_per_hour": None,
        "applies": {},
        "state": "MET",
        "test": "an exact binomial test",
        "value": value,
        "low": low,
        "high": high,
        "requests": 100,
        "bad": 2,
        "journal": "loads/chat-10.jsonl",
    } | changes


def load(rate: float = 10.0, **changes: Any) -> dict[str, Any]:
    return {
        "name": "chat-10",
        "workload": "chat",
        "due": 100,
        "outcomes": {"COMPLETED": 98, "FAILED": 2},
        "achieved_per_s": rate,
        "completed_per_s": rate,
        "output_tokens_per_s": 64 * rate,
    } | changes


def put(
    folder: Path,
    day: int,
    objectives: Sequence[Mapping[str, Any]] = (),
    *,
    session: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A run that began on that day of November 2026, with these objectives. Returns its folder."""
    name = f"202611{day:02d}T060000Z-local-{day:04x}"
    path = folder / name
    path.mkdir(parents=True)
    run = {
        "schema": 1,
        "run_id": name,
        "started_at": f"2026-11-{day:02d}T06:00:00+00:00",
        "finished_at": f"2026-11-{day:02d}T06:01:30+00:00",
        "environment": "local",
        "engine": "vllm",
        "exit_code": 0,
        **(session or {}),
    }
    verdict = {
        "schema": 2,
        "state": "MET",
        "gate": False,
        "simulated": False,
        "objectives": list(objectives),
        "claims": {"total": 3, "passed": 3},
        "loads": [load()],
        "fingerprint": dict(FINGERPRINT),
        **{key: run[key] for key in ("run_id", "started_at", "finished_at", "environment", "engine")},
        **changes,
    }
    (path / "run.json").write_text(json.dumps(run))
    (path / "verdict.json").write_text(json.dumps(verdict))
    return path


def entry(folder: Path, day: int, *objectives: Mapping[str, Any], **changes: Any) -> Entry:
    """The same, read again."""
    return open_entry(put(folder, day, objectives, **changes))
