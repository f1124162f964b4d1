"""A check of documents against a JSON Schema, written from the specification: only what our schema uses.

An unknown keyword is an error here: a rule that nobody checks would look like one that holds. Stricter than
the specification in one thing: what the schema does not name is a fault, where a reader would pass it over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
    "null": (type(None),),
}
# Of each keyword that says nothing of a document, or is looked at beside another.
SILENT = frozenset({"$schema", "$defs", "title", "description"})


def verdict_schema() -> dict[str, Any]:
    """The schema of verdict.json, as it is shipped."""
    path = Path(__file__).parents[2] / "reports" / "verdict.schema.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def faults(
    document: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "$"
) -> list[str]:
    """What of a document is not as the schema says, with its path; nothing when all is."""
    root = schema if root is None else root
    found: list[str] = []
    for keyword in schema.keys() - SILENT:
        found += _CHECKS[keyword](document, schema, root, at)
    return sorted(set(found))


def is_of(document: Any, name: str) -> bool:
    """Whether a value is of a type of JSON Schema; true and false are no numbers."""
    if isinstance(document, bool):
        return name == "boolean"
    if name == "integer" and isinstance(document, float):
        return document.is_integer()
    return isinstance(document, TYPES[name])


def _type(document: Any, schema: dict[str, Any], _root: dict[str, Any], at: str) -> Iterator[str]:
    allowed = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if not any(is_of(document, name) for name in allowed):
        yield f"{at}: {document!r} is none of {allowed}"


def _properties(document: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if not isinstance(document, dict):
        return
    for name, value in document.items():
        known = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        if known is None:
            yield f"{at}.{name} is unknown"
        elif isinstance(known, dict):
            yield from faults(value, known, root, f"{at}.{name}")


def _required(document: Any, schema: dict[str, Any], _root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(document, dict):
        yield from (f"{at}.{name} is missing" for name in schema["required"] if name not in document)


def _items(document: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if isinstance(document, list):
        for number, item in enumerate(document):
            yield from faults(item, schema["items"], root, f"{at}[{number}]")


def _one_of(document: Any, schema: dict[str, Any], _root: dict[str, Any], at: str) -> Iterator[str]:
    allowed = schema["enum"] if "enum" in schema else [schema["const"]]
    if document not in allowed or isinstance(document, bool):
        yield f"{at}: {document!r} is none of {allowed}"


def _bounds(document: Any, schema: dict[str, Any], _root: dict[str, Any], at: str) -> Iterator[str]:
    if not is_of(document, "number"):
        return
    if document < schema.get("minimum", document) or document >= schema.get("exclusiveMaximum", document + 1):
        yield f"{at}: {document} is out of bounds"


def _reference(document: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    name = schema["$ref"].removeprefix("#/$defs/")
    yield from faults(document, root["$defs"][name], root, at)


def _any_of(document: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    tried = [faults(document, one, root, at) for one in schema["anyOf"]]
    if all(tried):
        yield from min(tried, key=len)


_CHECKS = {
    "type": _type,
    "properties": _properties,
    "additionalProperties": _properties,
    "required": _required,
    "items": _items,
    "enum": _one_of,
    "const": _one_of,
    "minimum": _bounds,
    "exclusiveMaximum": _bounds,
    "$ref": _reference,
    "anyOf": _any_of,
}
