"""A benchmark's saved output: every run's raw figures as JSON, and the README's part made from it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import place
from benchmarks.figures import Figures, Run
from benchmarks.roster import PEERS
from benchmarks.table import report

README = place.ROOT / "benchmarks" / "README.md"
DEFAULT = place.HOME / "figures.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def save(path: Path, runs: list[Run], *, rounds: int, quick: bool) -> None:
    """Write every run; times in seconds or milliseconds as the names say, sizes in bytes."""
    saved = {
        "machine": place.machine(),
        "rounds": rounds,
        "quick": quick,
        "how": {peer.name: peer.how for peer in PEERS},
        "runs": [asdict(run) for run in runs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(saved, indent=1, ensure_ascii=False) + "\n", "utf-8")


def rendered(path: Path) -> str:
    """The tables of a saved output. OSError, ValueError or LookupError when it cannot be read."""
    saved: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return report(saved, Figures([Run(**run) for run in saved["runs"]]))


def with_figures(page: str, tables: str) -> str:
    """`page` with what stands between its markers replaced. ValueError when it lacks them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the lines {BEGIN} and {END} in the page")
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def write_readme(path: Path) -> None:
    """Put the tables of the saved output at `path` into the README."""
    README.write_text(with_figures(README.read_text("utf-8"), rendered(path)), "utf-8")
