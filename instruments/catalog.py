"""YAML into dataclasses, checked whole: an error names file, field and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from instruments.errors import ConfigurationError
from instruments.expansion import expanded

Shape = TypeVar("Shape")
LISTED = "a list: in brackets, or a line for each with a dash"
# What a kind of value looks like in YAML, where a message alone would leave that to be guessed.
FORMS = {
    "list_type": LISTED,
    "tuple_type": LISTED,
    "bool_type": "true or false, without quotes",
    "float_type": "a number, without quotes",
    "int_type": "a whole number, without quotes",
}
UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")


def load_yaml(path: Path, shape: type[Shape], *, under: str) -> list[Shape]:
    """Read the list under one key of a file; every item must be of the shape."""
    document = read_yaml(path)
    if not isinstance(document, dict) or set(document) != {under}:
        seen = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise ConfigurationError(
            f"{path} is not a file of {under}", expected=f"one key, {under!r}", seen=seen
        )
    allowed = [one.name for one in fields(shape)] if is_dataclass(shape) else []
    adapter = TypeAdapter(list[shape])  # type: ignore[valid-type]  # pydantic takes it
    return checked(expanded(document[under], path), adapter, f"{path}: {under}", allowed)


def read_yaml(path: Path) -> Any:
    """The document in a file, or ConfigurationError with the line that cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        seen = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read {path}", expected="a readable YAML file", seen=seen) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that there is not
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigurationError(f"{path}{where} is not YAML", expected="valid YAML", seen=problem) from None


def checked(document: Any, adapter: TypeAdapter[Shape], where: str, allowed: Sequence[str] = ()) -> Shape:
    """Validate a document; every broken field is named with its path, and the `allowed` names are told."""
    try:
        return adapter.validate_python(document)
    except ValidationError as error:
        problems = [f"{_path(where, one['loc'])}: {_words(one)}" for one in error.errors()]
        kinds = {one["type"] for one in error.errors()}
        known = [f"the keys {', '.join(allowed)}"] if allowed and kinds & set(UNKNOWN_KEY) else []
        known += [form for kind, form in FORMS.items() if kind in kinds]
        raise ConfigurationError(
            "a configuration file has a field that is not as it must be:\n    "
            + "\n    ".join(problems[:10]),
            expected="; ".join(dict.fromkeys(known)) or None,
        ) from None


def _words(problem: ErrorDetails) -> str:
    """What is wrong, and what was there: of a whole item no more than its id."""
    given = problem["input"]
    if isinstance(given, Mapping) and "id" in given:
        return f"{problem['msg']}, of {given['id']!r}"
    return f"{problem['msg']}, got {given!r}"


def _path(where: str, location: tuple[int | str, ...]) -> str:
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
