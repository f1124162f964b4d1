"""Expansion: one item of a YAML list that stands for many, once for each combination of values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError

PLACE = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)*)\}")


def expanded(items: Any, path: Path) -> Any:
    """Items with `for_each: {users: [1, 2]}` once for each combination, `{users}` in them being its value.

    A text that is nothing but `{users}` becomes the value itself; `{length.tokens}` is what stands under a
    key of a value that is a mapping. ConfigurationError names the file and the name that stands for nothing.
    """
    if not isinstance(items, list):
        return items
    found: list[Any] = []
    for item in items:
        over = item.get("for_each") if isinstance(item, dict) else None
        if over is None:
            found.append(item)
            continue
        if not _lists(over):
            raise ConfigurationError(
                f"{path}: for_each of {item.get('id')!r} is not lists of values by name",
                expected="for_each: {users: [1, 2, 4]}",
                seen=repr(over),
            )
        rest = {name: value for name, value in item.items() if name != "for_each"}
        combinations = (dict(zip(over, values, strict=True)) for values in product(*over.values()))
        found += [_filled(rest, values, path) for values in combinations]
    return found


def _lists(over: Any) -> bool:
    return (
        isinstance(over, dict) and bool(over) and all(isinstance(one, list) and one for one in over.values())
    )


def _filled(told: Any, values: Mapping[str, Any], path: Path) -> Any:
    if isinstance(told, dict):
        return {name: _filled(value, values, path) for name, value in told.items()}
    if isinstance(told, list):
        return [_filled(value, values, path) for value in told]
    if not isinstance(told, str):
        return told
    whole = PLACE.fullmatch(told)
    if whole is not None:
        return _value(whole[1], values, path)
    return PLACE.sub(lambda found: str(_value(found[1], values, path)), told)


def _value(name: str, values: Mapping[str, Any], path: Path) -> Any:
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise ConfigurationError(
                f"{path}: {{{name}}} stands for nothing", expected=f"one of {', '.join(values)}"
            )
        found = found[part]
    return found
