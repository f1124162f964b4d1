"""Fields: the table of custom resources (fields.yaml) as JSON schemas, and as definitions for an API server.

In the table a mapping is an object with no other fields, `name!` a field that must be there, `"*"` any field;
a list of one is an array. `string`, `integer`, `boolean` are types, `a|b` one of two types, `=a|b` one of the
texts, `/.../` a text of that pattern, `duration` a text as Prometheus writes durations.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

TABLE = Path(__file__).with_name("fields.yaml")
DURATION = "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
OURS = frozenset({"apiVersion", "kind", "metadata", "spec"})

Schema = dict[str, Any]


@functools.cache  # reading it costs more than all checks by it
def resources() -> dict[tuple[str, str], dict[str, Any]]:
    """The table's rows by (apiVersion, kind)."""
    rows = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return {(f"{row['group']}/{row['version']}", row["kind"]): row for row in rows}


def complaint(document: Mapping[str, Any]) -> str | None:
    """What is wrong with a custom resource, or None. Raises KeyError for a kind that the table lacks."""
    row = resources()[document["apiVersion"], document["kind"]]
    if unknown := sorted(set(document) - OURS):
        return f"unknown: {unknown}"
    errors = jsonschema.Draft202012Validator(schema(row["spec"])).iter_errors(document["spec"])
    found = next(errors, None)
    return None if found is None else f"spec{found.json_path[1:]}: {found.message}"


def schema(entry: Any, *, closed: bool = True) -> Schema:
    """JSON schema of a table's entry; `closed`: a field that is not in the table is an error."""
    if isinstance(entry, str):
        return _text_schema(entry)
    if isinstance(entry, list):
        return {"type": "array", "items": schema(entry[0], closed=closed)}
    if "*" in entry:
        return {"type": "object", "additionalProperties": schema(entry["*"], closed=closed)}
    fields = {name.rstrip("!"): schema(value, closed=closed) for name, value in entry.items()}
    required = sorted(name.rstrip("!") for name in entry if name.endswith("!"))
    made: Schema = {"type": "object", "properties": fields}
    return {
        **made,
        **({"required": required} if required else {}),
        **({"additionalProperties": False} if closed else {}),
    }


def _text_schema(entry: str) -> Schema:
    if entry == "duration":
        return {"type": "string", "minLength": 1, "pattern": DURATION}
    if entry.startswith("/"):
        return {"type": "string", "pattern": entry.strip("/")}
    if entry.startswith("="):
        return {"type": "string", "enum": entry[1:].split("|")}
    types = entry.split("|")
    if types == ["integer", "string"]:
        # What an API server wants to see for both, and a validator leaves alone.
        return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
    return {"type": entry}


def definition(row: Mapping[str, Any]) -> dict[str, Any]:
    """The CustomResourceDefinition of a row. The server drops what it does not know; nothing is left open."""
    whole = {
        "type": "object",
        "properties": {"spec": schema(row["spec"], closed=False)},
        "required": ["spec"],
    }
    names = {"kind": row["kind"], "plural": row["plural"], "singular": row["kind"].lower()}
    version = {
        "name": row["version"],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": whole},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{row['plural']}.{row['group']}",
            # Asked for in groups of Kubernetes' own, such as the Gateway API's; this says: nobody's.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {"group": row["group"], "names": names, "scope": "Namespaced", "versions": [version]},
    }
