"""One run folder that is made by hand, and one that was met."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reports.runs import RunBuilder, even_load, objective


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    return RunBuilder(tmp_path / "results" / "run-1")


@pytest.fixture
def met(run: RunBuilder) -> RunBuilder:
    """100 answers, one objective met, its claim passed, the session finished with 0."""
    run.judge(run.load("chat-10", even_load()), objective())
    run.folder.write_document("fingerprint.json", {"vllm": "0.11.2", "quantization": None})
    return run.claim("passed").session()
