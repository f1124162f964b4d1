"""A plugin of pytest: what would keep a stack from standing is planted once it stands.

    pytest -p tests.mutants.after --after NAME

NAME is a key of LATER, a dict in one of tests/mutants/later/*.py, of functions that get the stack when it
is up and nothing has been claimed of it. Only a module that writes the name in quotes is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from environments.provider import Stack

FOLDER = Path(__file__).resolve().parent / "later"

Later = Callable[[Stack], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option of this plugin."""
    parser.addoption("--after", metavar="NAME", required=True, help="a key of LATER in tests/mutants/later/")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Plant, when the stack stands."""
    found = yield
    if fixturedef.argname == "stack" and isinstance(found, Stack):
        later(request.config.getoption("--after"))(found)
    return found


def later(name: str) -> Later:
    """What is planted by the name. Raises LookupError unless there is exactly one."""
    modules = [path.stem for path in sorted(FOLDER.glob("[!_]*.py")) if f'"{name}"' in path.read_text()]
    books = (import_module(f"tests.mutants.later.{module}").LATER for module in modules)
    found: list[Later] = [each[name] for each in books if name in each]
    if len(found) != 1:
        raise LookupError(f"expected one called {name} in {FOLDER}/*.py; seen: {len(found)}")
    return found[0]


def part(stack: Stack, name: str) -> Any:
    """A part of the stack: a Process, which has pid, signal, again, stop. LookupError where there is none."""
    for one in (*stack.components, *stack.watchers):
        if one.name == name:
            return one
    names = [one.name for one in (*stack.components, *stack.watchers)]
    raise LookupError(f"expected a part {name}; seen: {names}")
