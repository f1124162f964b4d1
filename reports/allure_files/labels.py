"""Where a claim stands in Allure: its suites, its behaviour, how severe its failure is, what marks it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# What fails here is a hole or a wrong answer, whatever it costs in milliseconds.
CRITICAL_SUBJECTS = frozenset({"security", "correctness"})
CRITICAL, NORMAL, MINOR = "critical", "normal", "minor"
LONGEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class Standing:
    """The words by which Allure sorts a claim. `suite` is its folder, `question` what its file asks."""

    place: str
    suite: str
    question: str
    claim: str
    severity: str
    tags: tuple[str, ...]


def question_of(documented: str | None, name: str) -> str:
    """What a file of claims asks: the first sentence of its docstring, else its name as words."""
    first = (documented or "").strip().partition("\n")[0]
    asked, mark, _ = first.partition("?")
    return f"{asked}?" if mark else first.rstrip(".") or name.removeprefix("test_").replace("_", " ")


def severity_of(about: Iterable[str], parameters: Iterable[Any]) -> str:
    """Critical for a required objective, minor for an advisory one; else by what it is about.

    `about`: the claim's suite, its markers, its file without `test_`.
    """
    required = [one.required for one in parameters if isinstance(getattr(one, "required", None), bool)]
    if required:
        return CRITICAL if any(required) else MINOR
    return CRITICAL if CRITICAL_SUBJECTS & set(about) else NORMAL


def tags_of(marks: Iterable[tuple[str, tuple[Any, ...]]]) -> tuple[str, ...]:
    """Tags of marks with arguments, which allure-pytest leaves out: origins of a claim, and its needs."""
    found: list[str] = []
    for name, given in marks:
        if name == "claim":
            found += [f"from {origin}" for origin in given]
        elif name == "needs":
            found += [f"needs {capability}" for capability in given]
    return tuple(dict.fromkeys(found))


def shown(value: Any) -> str:
    """A parameter for a reader: an objective by its id, text without quotes, and no page of it."""
    named = [getattr(value, name, None) for name in ("id", "__name__")]  # what has neither is said as it is
    known = [one for one in (value, *named) if isinstance(one, str)]
    text = known[0] if known else repr(value)
    text = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"
