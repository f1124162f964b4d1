"""How YAML names one of several dataclasses: by a key `kind`, or by a mapping of one key.

Both are annotations that pydantic understands and that do not need it: a core schema is a plain dict,
and pydantic asks whatever annotates a field for one. So these rooms import without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args


def tag_of(member: Any) -> str:
    """The default of a dataclass's field `kind`, which is its name in YAML."""
    return str(member.__dataclass_fields__["kind"].default)


@dataclass(frozen=True, slots=True)
class ByKind:
    """`{kind: poisson, rate_per_s: 20}`: the member whose `kind` it is; `default` where none is told."""

    default: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        choices = {tag_of(one): handler.generate_schema(one) for one in get_args(source)}
        return _tagged(self.tag, choices, "Input should be a mapping whose `kind` is one of")

    def tag(self, told: Any) -> Any:
        if isinstance(told, Mapping):
            return told.get("kind", self.default)
        return getattr(told, "kind", None)


@dataclass(frozen=True, slots=True)
class ByKey:
    """`{uniform: [8, 64]}`: the member whose `kind` the only key is; a plain whole number stays one.

    What stands under the key is a mapping of the member's fields, or else its first field.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        choices: dict[str, Any] = {"number": {"type": "int", "strict": True, "ge": 1}}
        for member in get_args(source):
            if member is not int:
                choices[tag_of(member)] = {
                    "type": "function-before",
                    "function": {"type": "no-info", "function": _Unwrap(member)},
                    "schema": handler.generate_schema(member),
                }
        return _tagged(
            self.tag, choices, "Input should be a whole number or a mapping whose only key is one of"
        )

    def tag(self, told: Any) -> Any:
        if isinstance(told, Mapping):
            return next(iter(told)) if len(told) == 1 else None
        return getattr(told, "kind", "number")


def _tagged(tag: Callable[[Any], Any], choices: dict[str, Any], expected: str) -> dict[str, Any]:
    return {
        "type": "tagged-union",
        "discriminator": tag,
        "choices": choices,
        "custom_error_type": "choice",
        "custom_error_message": f"{expected}: {', '.join(choices)}",
    }


@dataclass(frozen=True, slots=True)
class _Unwrap:
    member: Any

    def __call__(self, told: Any) -> Any:
        if not isinstance(told, Mapping):
            return told  # an instance already
        (content,) = told.values()
        if isinstance(content, Mapping):
            return content
        return {fields(self.member)[0].name: content}
