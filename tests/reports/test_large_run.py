"""A run of 200,000 requests is rendered within 2 GB. How long it takes is printed, and not judged here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.pages import GOAL_BYTES, Size, make_run, render

LARGEST_PAGE_BYTES = 2_000_000


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory is read from /proc")
def test_two_hundred_thousand_requests_are_rendered_in_two_gigabytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run-1", Size(requests=200_000, tokens=2), seed=7)
    usage = render(run)
    assert usage.status == 0
    assert 50_000_000 < usage.largest_rss_bytes < GOAL_BYTES
    assert (run / "report.html").stat().st_size < LARGEST_PAGE_BYTES
    told = json.loads((run / "verdict.json").read_text())
    assert (told["state"], told["problems"]) == ("MET", [])
    assert told["loads"][0]["outcomes"] == {"COMPLETED": 200_000}
    gaps = next(one for one in told["objectives"] if one["indicator"] == "itl_s")
    assert gaps["requests"] == 200_000  # of two tokens each: one gap a request
    print(f"{usage.wall_s:.1f} s, {usage.cpu_s:.1f} s of CPU on {os.cpu_count()} cores")  # noqa: T201
