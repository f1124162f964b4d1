"""What a set of IAM policies answers to a request: as much of the evaluation logic as our policies use.

Source: the IAM user guide's "Policy evaluation logic" and "IAM JSON policy elements: Condition operators". A
request is allowed if a statement allows it and none denies it. Within a condition block every operator and
key must hold, and one value of a key suffices; a key that the request lacks fails every operator used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any]

COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda seen, wanted: seen == wanted,
    "StringLike": lambda seen, wanted: like(wanted, seen),
    "ArnLike": lambda seen, wanted: like(wanted, seen),
    "Bool": lambda seen, wanted: seen.lower() == wanted.lower(),
    "NumericLessThan": lambda seen, wanted: float(seen) < float(wanted),
}


def like(pattern: str, text: str) -> bool:
    """IAM's wildcards: * for any characters, ? for one."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.S) is not None


def listed(value: str | Sequence[str]) -> list[str]:
    """IAM takes a single value for a list of one."""
    return [value] if isinstance(value, str) else list(value)


def holds(condition: Document, context: Mapping[str, str]) -> bool:
    """Whether a condition block holds; an operator that is not known here is a KeyError."""
    return all(
        key in context and any(COMPARE[operator](context[key], value) for value in listed(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def principals(statement: Document) -> list[str]:
    """Whom a statement of a resource's policy is about; empty for an identity's policy."""
    named = statement.get("Principal", {})
    return ["*"] if named == "*" else [one for value in named.values() for one in listed(value)]


def applies(
    statement: Document, action: str, resource: str, context: Mapping[str, str], principal: str | None
) -> bool:
    """Whether a statement speaks of this request."""
    if principal is not None and not any(one in ("*", principal) for one in principals(statement)):
        return False
    return (
        any(like(one.lower(), action.lower()) for one in listed(statement["Action"]))
        and any(like(one, resource) for one in listed(statement.get("Resource", "*")))
        and holds(statement.get("Condition", {}), context)
    )


def allowed(
    policies: Sequence[Document],
    action: str,
    resource: str = "*",
    context: Mapping[str, str] | None = None,
    principal: str | None = None,
) -> bool:
    """The answer. `principal` is asked of trust and resource policies only."""
    effects = {
        statement["Effect"]
        for policy in policies
        for statement in policy["Statement"]
        if applies(statement, action, resource, context or {}, principal)
    }
    return "Allow" in effects and "Deny" not in effects
