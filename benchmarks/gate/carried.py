"""The carried table: figures kept in the repo as JSON, the page made from them, fresh ones beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate.figures import Figure, Share, from_json, to_json
from benchmarks.gate.page import goals, table, told
from benchmarks.saved import with_figures

HERE = Path(__file__).resolve().parent
FILE, PAGE = HERE / "table.json", HERE.parent / "GATE.md"


@dataclass(frozen=True, slots=True)
class Table:
    """One benchmark's figures, and what they are reproduced by."""

    seed: int
    repetitions: int
    figures: tuple[Figure, ...]

    def __str__(self) -> str:
        return f"{goals(self.figures)}\n\n{table(self.figures, self.repetitions, self.seed)}"

    def differs(self, fresh: Table) -> list[str]:
        """What a fresh table says otherwise than this one, beyond the error of both."""
        known = {(one.section, one.row, one.name): one for one in self.figures}
        found = []
        for one in fresh.figures:
            carried = known.pop((one.section, one.row, one.name), None)
            if carried is None:
                found.append(f"not in the carried table: {told(one)}")
            elif not _agree(carried, one):
                found.append(f"{told(one)}; carried: {told(carried)}")
        return [*found, *(f"only in the carried table: {told(one)}" for one in known.values())]

    def missed(self) -> list[str]:
        """Goals that are missed beyond the error."""
        return [told(one) for one in self.figures if isinstance(one, Share) and one.surely_missed]


def _agree(carried: Figure, fresh: Figure) -> bool:
    if isinstance(carried, Share) and isinstance(fresh, Share):
        return carried.agrees(fresh)
    return not isinstance(carried, Share) and not isinstance(fresh, Share) and carried.agrees(fresh)


def load(path: Path = FILE) -> Table | None:
    """The table at `path`; None without one. ValueError or LookupError for what is not one."""
    if not path.is_file():
        return None
    saved = json.loads(path.read_text("utf-8"))
    return Table(saved["seed"], saved["repetitions"], tuple(from_json(saved["figures"])))


def save(made: Table, path: Path = FILE, page: Path | None = PAGE) -> None:
    """Write the table, and its page between the markers."""
    lines: Sequence[str] = [json.dumps(line, ensure_ascii=False) for line in to_json(made.figures)]
    head = f'{{"seed": {made.seed}, "repetitions": {made.repetitions}, "figures": [\n'
    path.write_text(head + ",\n".join(lines) + "\n]}\n", "utf-8")
    if page is not None:
        page.write_text(with_figures(page.read_text("utf-8"), str(made)), "utf-8")
