"""Programs in Python: this machine's interpreter and standard library, our modules, what they import."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.util import cache_from_source
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

from deploy.images.local.recipe import ROOT, Places, Recipe, content, libraries

PYTHON = "/usr/local/bin/python"
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "dist-packages",
            "site-packages"}  # fmt: skip
ENVIRONMENT = {
    "PYTHONHOME": "/usr/local",
    "PYTHONPATH": "/app:/app/site",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "HOME": "/tmp",  # noqa: S108 - of the container
}


def python_program(sources: Iterable[Path], module: str, packages: Iterable[str] = ()) -> Recipe:
    """An image of these files, which starts a module. What they import goes with them, unless it is named."""
    files = sorted(sources)
    needed = sorted(_closure(packages or _imported(files)))
    return Recipe(
        parts=(
            sys.version,
            *(f"{file.relative_to(ROOT)} {content(file)}" for file in files),
            *(f"{package}=={importlib.metadata.version(package)}" for package in needed),
        ),
        places=lambda: _places(files, needed),
        entrypoint=(PYTHON, "-m", module),
        environment=ENVIRONMENT,
        folder="/app",
    )


def room(name: str) -> list[Path]:
    """The files of a room, and those that make it a package."""
    folder = ROOT / name
    found = [one for one in folder.rglob("*") if one.is_file() and one.suffix != ".pyc"]
    above = [place / "__init__.py" for place in folder.parents if place.is_relative_to(ROOT)]
    return [*found, *(one for one in above if one.is_file())]


def standard_library(library: Path) -> Places:
    """The standard library of an interpreter, where the image has it."""
    found: Places = {}
    for folder, below, names in os.walk(library):
        below[:] = [one for one in below if one not in LEFT_OUT and not one.startswith("config-")]
        for name in names:
            path = Path(folder, name)
            found[f"usr/local/lib/{library.name}/{path.relative_to(library)}"] = path
    return found


def with_bytecode(places: Places) -> Places:
    """These and what this machine has compiled of them: a read-only image could keep nothing of its own."""
    found: Places = {}
    for name, path in places.items():
        compiled = Path(cache_from_source(str(path))) if path.suffix == ".py" else path
        if compiled != path and compiled.is_file():
            found[f"{PurePosixPath(name).parent}/__pycache__/{compiled.name}"] = compiled
    return {**places, **found}


def with_libraries(places: Places) -> Places:
    """These and the system's libraries that the loadable ones among them need."""
    loadable = [path for name, path in places.items() if ".so" in path.name or "bin" in Path(name).parts[:-1]]
    needed = [one for one in libraries(loadable) if "site-packages" not in one.parts]
    return {**{_searched(path): path for path in needed}, **places}


def _searched(library: Path) -> str:
    """Where the loader finds a library by itself: an interpreter of its own folder has one elsewhere."""
    if library.parts[1] in ("lib", "lib64", "usr"):
        return str(library)[1:]
    return f"usr/lib/{sysconfig.get_config_var('MULTIARCH') or ''}/{library.name}"


def _places(files: list[Path], packages: list[str]) -> Places:
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    places: Places = {PYTHON[1:]: executable, **standard_library(Path(sysconfig.get_path("stdlib")))}
    places |= {f"app/site/{name}": path for package in packages for name, path in _files(package)}
    ours: Places = {f"app/{file.relative_to(ROOT)}": file for file in files}
    return {**with_libraries(with_bytecode(places)), **ours}


def _names(file: Path) -> Iterator[str]:
    """Dotted names of what a module imports, anywhere in it, by their whole paths."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def _imported(files: Iterable[Path]) -> set[str]:
    """Names of the distributions that these modules import."""
    tops: set[str] = set()
    for file in (one for one in files if one.suffix == ".py"):
        names = list(_names(file))
        tops.update(name.split(".")[0] for name in names)
        # A namespace's distributions share the first part of their modules' names.
        tops.update(name for name in names if name.startswith("opentelemetry."))
    known = importlib.metadata.packages_distributions()
    return {name for top in tops for name in known.get(top, [])}


def _closure(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need here."""
    found: set[str] = set()
    waiting = [_plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        read = [Requirement(need) for need in needs]
        waiting += [_plain(r.name) for r in read if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _files(package: str) -> Iterator[tuple[str, Path]]:
    for file in importlib.metadata.files(package) or []:
        path = Path(str(file.locate()))
        if ".." not in file.parts and "__pycache__" not in file.parts and path.is_file():
            yield str(file), path
