"""The claims of the suites, read out of their source: what each says, and from which stack it comes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from environments.binaries import ROOT

SUITES = ROOT / "suites"


@dataclass(frozen=True, slots=True)
class ClaimFunction:
    """One test function below suites/. `path` is relative to the clone."""

    path: str
    name: str
    title: str  # first line of its docstring
    origins: tuple[str, ...]  # of its markers `claim`, and of its file's
    needs: tuple[str, ...]

    @property
    def nodeid(self) -> str:
        """Without parameters."""
        return f"{self.path}::{self.name}"

    @property
    def suite(self) -> str:
        """Its folder's name."""
        return Path(self.path).parent.name


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """One file of a suite, with the question that it asks."""

    path: str
    question: str
    words: tuple[str, ...]  # the further lines of its docstring: load, bounds, needs, cost
    claims: tuple[ClaimFunction, ...]

    @property
    def suite(self) -> str:
        """Its folder's name."""
        return Path(self.path).parent.name


def suite_files(suites: Path = SUITES) -> list[SuiteFile]:
    """All files of all suites, in order of path."""
    return [_read(path, suites.parent) for path in sorted(suites.rglob("test_*.py"))]


def claim_functions(suites: Path = SUITES) -> list[ClaimFunction]:
    """All claims of all suites, as they stand in their files."""
    return [claim for file in suite_files(suites) for claim in file.claims]


def _read(path: Path, root: Path) -> SuiteFile:
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    shared = [mark for node in tree.body if _is_pytestmark(node) for mark in _marks(node)]
    name = path.relative_to(root).as_posix()
    question, *words = (line.strip() for line in (ast.get_docstring(tree) or "").splitlines() or [""])
    return SuiteFile(name, question, tuple(filter(None, words)), tuple(_functions(tree, name, shared)))


def _functions(tree: ast.Module, path: str, shared: list[ast.Call]) -> Iterator[ClaimFunction]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [*shared, *(mark for one in node.decorator_list for mark in _marks(one))]
            origins, needs = (_words(marks, name) for name in ("claim", "needs"))
            yield ClaimFunction(path, node.name, _first_line(node), origins, needs)


def _is_pytestmark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets
    )


def _marks(node: ast.AST) -> list[ast.Call]:
    """Calls of pytest.mark.NAME(...) anywhere below."""
    return [
        one for one in ast.walk(node) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)
    ]


def _words(marks: list[ast.Call], name: str) -> tuple[str, ...]:
    given = [arg for mark in marks if getattr(mark.func, "attr", "") == name for arg in mark.args]
    return tuple(dict.fromkeys(str(arg.value) for arg in given if isinstance(arg, ast.Constant)))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0].strip()
