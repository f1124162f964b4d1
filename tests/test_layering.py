"""Who may import whom: ARCHITECTURE, section 3, as a table, checked from the syntax trees of all rooms."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What a room may import of ours; a name stands for itself and all below it.
ROOMS = {
    "instruments": ("instruments",),
    "environments": ("environments", "instruments.clock", "instruments.errors"),
    "reports": ("reports", "instruments"),
    "fixtures": ("fixtures", "instruments", "environments", "reports"),
    "suites": ("suites", "instruments"),
    "benchmarks": ("benchmarks", "instruments", "environments"),
    "conftest": ("fixtures",),
    "tests": (
        "tests",
        "conftest",
        "instruments",
        "environments",
        "fixtures",
        "suites",
        "reports",
        "benchmarks",
    ),
    "deploy": (),  # each program may import itself, see `allowed`
}

# Inside instruments, earliest first: each may import those of its own line and of earlier ones.
ORDER = (
    ("clock", "errors", "expansion", "catalog"),
    ("records",),
    ("workloads", "arrivals", "limits"),
    ("alarm", "loop", "target", "plan", "spawn"),
    ("transport",),
    ("journal", "merging", "engine", "selfcheck"),
    ("worker", "looks", "fleet", "remote"),
    ("telemetry",),
    ("statistics",),
    ("slo",),
    ("results",),
    ("frames", "export", "live", "tokenize", "calibration", "trials"),
    ("cli",),
    ("__main__",),
)
JUDGES = ("statistics", "slo")
# These become a program of deploy, with a fault in it.
PLANTERS = ("tests.mutants.patches", "tests.mutants.gateway", "tests.mutants.exporter")
PRODUCERS = "loop engine selfcheck transport journal merging worker looks fleet remote".split()

Import = tuple[int, str]  # line, and the dotted name that it brings in


def imports(source: str, package: str) -> Iterator[Import]:
    """Every import of a module in `package`, wherever it stands and however it is spelled."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            yield from _texts(node.args[:1])
        elif isinstance(node, ast.Assign) and any(_called(one) == "pytest_plugins" for one in node.targets):
            yield from _texts([node.value])


def _called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _texts(nodes: list[ast.expr]) -> Iterator[Import]:
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.lineno, one.value


def below(name: str, roots: Iterable[str]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def allowed(module: str) -> tuple[str, ...]:
    """What a module may import of ours."""
    room, *rest = module.split(".")
    if room == "deploy":
        return (".".join(["deploy", *rest[:1]]),) if rest else ()
    if room == "tests" and (rest[:1] in (["deploy"], ["workflows"]) or below(module, PLANTERS)):
        return (*ROOMS["tests"], "deploy")
    return ROOMS[room]


def rank(unit: str) -> int | None:
    return next((number for number, line in enumerate(ORDER) if unit in line), None)


def broken_inside(module: str, name: str) -> str | None:
    """Why a module of instruments may not import another one, or None."""
    unit, other = ((*one.split("."), "")[1] for one in (module, name))
    own, its = rank(unit), rank(other)
    if own is None or its is None:
        return f"instruments.{unit if own is None else other} has no place in ORDER"
    if unit in JUDGES and other in PRODUCERS:
        return "what judges a run never imports what produced it"
    return f"instruments.{other} comes after instruments.{unit}" if its > own else None


def broken(module: str, source: str, *, is_package: bool = False) -> list[tuple[int, str]]:
    """(line, what is wrong) of each import that the table forbids."""
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for line, name in imports(source, package):
        room = name.split(".")[0]
        if room == "pytest" and module.split(".")[0] == "instruments":
            found.append((line, "instruments knows nothing of pytest"))
        if room not in ROOMS:
            continue
        if not below(name, allowed(module)):
            found.append((line, f"{module} may not import {name}"))
        elif room == "instruments" and module.split(".")[0] == "instruments":
            found += [(line, why) for why in [broken_inside(module, name)] if why]
    return found


def files() -> list[Path]:
    """Every Python file of a room, and of anything that calls itself one."""
    tops = [
        path for path in sorted(ROOT.iterdir()) if not path.name.startswith(".") and path.name != "results"
    ]
    found = [path for path in tops if path.suffix == ".py"]
    found += [path for top in tops if top.is_dir() for path in sorted(top.rglob("*.py"))]
    return [path for path in found if "node_modules" not in path.parts]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    module = module_of(path)
    where = path.relative_to(ROOT)
    assert module.split(".")[0] in ROOMS, f"{where}:1 is in no room of the table"
    found = broken(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py")
    assert not found, "\n".join(f"{where}:{line}: {what}" for line, what in found)


def test_no_two_parts_of_the_instruments_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in (ROOT / "instruments").rglob("*.py"):
        module = module_of(path)
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        units = graph.setdefault((*module.split("."), "")[1], set())
        for _, name in imports(path.read_text(encoding="utf-8"), package):
            if name.startswith("instruments."):
                units.add(name.split(".")[1])
    try:
        list(TopologicalSorter({unit: others - {unit} for unit, others in graph.items()}).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' → '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("instruments.engine", "import environments"),
        ("instruments.engine", "import pytest"),
        ("instruments.engine", "from tests.instruments import shapes"),
        ("instruments.records", "from instruments.engine import LoadEngine"),
        ("instruments.records", "from instruments import journal"),
        ("instruments.transport.http", "from instruments.journal import Journal"),
        ("instruments.transport.http", "from ..engine import LoadEngine"),
        ("instruments.statistics.summary", "from instruments.transport.sse import events"),
        ("instruments.statistics.summary", "import instruments.journal"),
        ("instruments.slo.verdict", "def late():\n    from instruments.engine import LoadEngine"),
        ("instruments.slo.verdict", "from instruments.results import RunFolder"),
        ("instruments.novelty", "from instruments.clock import Clock"),
        ("instruments.engine", "from instruments.novelty import x"),
        ("environments.local", "from instruments.records import Request"),
        ("environments.local", "import instruments"),
        ("environments.local", "from deploy.gateway import app"),
        ("environments.local", "import importlib\nimportlib.import_module('deploy.gateway')"),
        ("reports.page", "from environments.provider import Stack"),
        ("suites.smoke.test_a", "from environments.provider import Stack"),
        ("suites.smoke.test_a", "from reports import page"),
        ("suites.conftest", "pytest_plugins = ['environments.plugin']"),
        ("fixtures.stack", "import deploy.simulator"),
        ("deploy.gateway.app", "from deploy.simulator.law import x"),
        ("deploy.gateway.app", "from ..simulator import law"),
        ("deploy.gateway.app", "from instruments.clock import Clock"),
        ("tests.environments.test_a", "from deploy.gateway import app"),
        ("conftest", "from environments import local"),
    ],
)  # fmt: skip
def test_the_table_finds_the_line_that_breaks_it(module: str, source: str) -> None:
    assert [line for line, _ in broken(module, f"# one line before\n{source}\n")] == [
        1 + len(source.splitlines())
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("instruments.slo.verdict", "from instruments.statistics.summary import RunSummary"),
        ("instruments.engine", "from instruments.journal import Journal\nimport asyncio"),
        ("instruments.workloads.synthetic", "from instruments.arrivals import ClosedLoop"),
        ("environments.local", "from instruments.errors import SloError\nfrom .ports import x"),
        ("fixtures.stack", "import environments.local, reports, instruments.slo"),
        ("suites.smoke.test_a", "from instruments.slo import evaluate"),
        ("deploy.gateway.app", "from .keys import x\nfrom deploy.gateway.keys import y"),
        ("tests.deploy.test_a", "from deploy.gateway import app"),
        ("instruments.engine", "text = 'import environments'"),
    ],
)
def test_the_table_lets_pass_what_is_allowed(module: str, source: str) -> None:
    assert broken(module, source) == []
