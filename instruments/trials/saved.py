"""Saved runs and baselines as files: results/<run>/ folders and single journals in, baselines in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError
from instruments.journal import load_run, whole_run
from instruments.results import RunFolder
from instruments.slo.baseline import Baseline, SavedRun, saved_load
from instruments.statistics.summary import summarize

# Of a load's description, what could change a number.
TOLD = ("workload_sha256", "model", "api", "simulated", "processes", "open_loop")


def read_run(path: Path) -> SavedRun:
    """The figures of a run: a folder with loads/, or one journal. ConfigurationError where there is none."""
    folder = RunFolder(path)
    journals = folder.journals() if path.is_dir() else [whole_run(path)] if path.suffix == ".jsonl" else []
    if not journals:
        raise ConfigurationError(
            f"{path} is not a run", expected="a folder with loads/*.jsonl, or one journal"
        )
    fingerprint: dict[str, str] = {}
    if path.is_dir():
        fingerprint = {
            name: str(value) for name, value in (folder.read_document("fingerprint.json") or {}).items()
        }
    loads = {}
    for journal in journals:
        run = load_run(journal)
        name = _workload(run.description) or run.name
        fingerprint |= _fingerprint(name, run.description)
        loads[name] = saved_load(summarize(run))
    # Of results/latest, the run that it names.
    return SavedRun(path.resolve().name, fingerprint, loads)


def _workload(description: Mapping[str, Any]) -> str | None:
    workload = description.get("workload")
    found = workload.get("id") if isinstance(workload, dict) else None
    return found if isinstance(found, str) else None


def _fingerprint(load: str, description: Mapping[str, Any]) -> dict[str, str]:
    found = {f"loads.{load}.{name}": str(description[name]) for name in TOLD if name in description}
    vocabulary = description.get("vocabulary")
    if isinstance(vocabulary, dict) and "sha256" in vocabulary:
        found[f"loads.{load}.vocabulary"] = str(vocabulary["sha256"])
    return found


def read_baseline(path: Path) -> Baseline | None:
    """A baseline; None where there is no such file. ConfigurationError for a file that is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read {path}", expected="a baseline's JSON", seen=str(error)
        ) from None
    return Baseline.from_document(document if isinstance(document, dict) else {}, str(path))


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write it whole: a reader sees the old one or the new one. JournalError when the disk refuses."""
    RunFolder(path.parent).write_document(path.name, baseline.document())
