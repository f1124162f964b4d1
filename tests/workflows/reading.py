"""The workflows as data: their jobs and steps, and the commands that the shell of a step would run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))

SEPARATORS = frozenset(";&|()")
KEYWORDS = {"if", "then", "else", "elif", "fi", "do", "done", "!", "{", "}"}
ASSIGNMENT = re.compile(r"^\w+\+?=")
ARRAY = re.compile(r"\w+\+?=\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job, as its file has it."""

    workflow: str
    job: str
    number: int
    fields: dict[str, Any]

    @property
    def run(self) -> str | None:
        return self.fields.get("run")

    @property
    def uses(self) -> str | None:
        return self.fields.get("uses")

    def __str__(self) -> str:
        return f"{self.workflow}/{self.job}/{self.number}"


@cache
def workflow(path: Path) -> dict[str, Any]:
    """The document of one file; YAML 1.1 takes the word `on` for true, so it is given back its name."""
    found = yaml.safe_load(path.read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(workflow, job, its fields) of all files."""
    for path in FILES:
        for name, fields in workflow(path)["jobs"].items():
            yield path.stem, name, fields


def steps() -> list[Step]:
    return [
        Step(file, job, number, fields)
        for file, job, all_of_it in jobs()
        for number, fields in enumerate(all_of_it["steps"])
    ]


def scripts() -> list[Step]:
    return [step for step in steps() if step.run]


def commands(script: str) -> list[list[str]]:
    """The words of each command of a shell script, without keywords, assignments, tests and redirections."""
    found: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(ARRAY.sub("", line), posix=True, punctuation_chars=True)
        lexer.wordchars += "$[]{}@%:!,+"
        found += _simple(list(lexer))
    return [words for words in found if words and words[0] not in ("[", "echo", "exit", "printf")]


def _simple(words: list[str]) -> Iterator[list[str]]:
    current: list[str] = []
    skip = False
    for word in words:
        if SEPARATORS.issuperset(word):
            yield current
            current = []
        elif skip or word.startswith((">", "<")):
            skip = not skip  # the file of a redirection belongs to no command
        elif current or (word not in KEYWORDS and not ASSIGNMENT.match(word)):
            current.append(word)
    yield current


def ours(words: list[str]) -> str | None:
    """How the table names a command of ours: a target, a module with its command, a script; else None."""
    if words[0] == "make":
        return f"make {words[1]}"
    if words[0] == ".venv/bin/python":
        assert words[1] == "-m", words
        named = words[3:4] if words[2] == "reports" and not words[3].startswith(("-", "results")) else []
        return " ".join(["python -m", words[2], *named])
    return words[0] if (ROOT / words[0]).is_file() else None
