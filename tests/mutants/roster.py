"""All mutants: those of the modules beside this one that have a list MUTANTS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .mutant import Mutant

FOLDER = Path(__file__).resolve().parent
HAS_MUTANTS = re.compile(r"^MUTANTS\b", re.MULTILINE)


def all_mutants() -> list[Mutant]:
    """Every mutant, by module."""
    return [mutant for path in _modules() for mutant in _of(path)]


def chosen(names: Sequence[str] = (), suites: Sequence[str] = ()) -> list[Mutant]:
    """Those with one of `names`, if any are given, of one of `suites`, if any are given.

    Raises LookupError for a name that nobody has.
    """
    # A module that nothing is wanted of is not imported: it may be half written.
    wanted = [path for path in _modules() if not names or any(one in path.read_text() for one in names)]
    found = [mutant for path in wanted or _modules() for mutant in _of(path)]
    unknown = set(names) - {mutant.name for mutant in found}
    if unknown:
        raise LookupError(f"no mutant is called {', '.join(sorted(unknown))}")
    return [
        mutant
        for mutant in found
        if (not names or mutant.name in names) and (not suites or suites_of(mutant) & set(suites))
    ]


def suites_of(mutant: Mutant) -> set[str]:
    """The folders of the claims that are asked."""
    return {Path(part.partition("::")[0]).parent.name for part in mutant.scope}


def _modules() -> list[Path]:
    files = (path for path in sorted(FOLDER.glob("*.py")) if not path.name.startswith("test_"))
    return [path for path in files if HAS_MUTANTS.search(path.read_text())]


def _of(path: Path) -> list[Mutant]:
    found: list[Mutant] = list(import_module(f"tests.mutants.{path.stem}").MUTANTS)
    return found
