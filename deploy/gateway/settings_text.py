"""Text of the settings: YAML read strictly, and pydantic's findings put into one line a field."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import ErrorDetails

from deploy.gateway.settings_fields import SettingsError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: ten times slower, which a keys_file of thousands feels
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_QUOTED = re.compile(r"'[^']*'")
# A user and password in a URL, a query, one of our keys or OpenAI's, anything long and without a space.
_MAY_BE_SECRET = re.compile(r"@|\?|\bsk-|[^\s/:]{24,}")
# What somebody may call the field in which a plain key was written.
PLAIN_KEY_FIELDS = frozenset({"key", "secret", "token", "password", "value", "api_key"})


def read_document(path: Path, name: str = "") -> Any:
    """What a YAML file says; `name` stands before a complaint. Raises SettingsError."""
    lead = f"{name}: {path}" if name else f"{path}:"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{lead} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{lead} cannot be read (it is not UTF-8)") from None
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  a SafeLoader underneath
    except yaml.MarkedYAMLError as error:
        # Never the error's whole text: it quotes the line, and somebody may have put a secret there.
        mark = error.problem_mark
        where = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError(f"{lead} is not YAML{where}: {_problem(error)}") from None
    except yaml.YAMLError:
        raise SettingsError(f"{lead} is not YAML: it holds a character that may not stand there") from None
    except (ValueError, TypeError, LookupError, AttributeError):
        # What PyYAML raises for a value that is not of the kind its tag or form says: a 31st of February.
        raise SettingsError(f"{lead} is not YAML: a value in it is not what its form or tag says") from None
    except RecursionError:
        raise SettingsError(f"{lead} is nested too deeply to be settings") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What is wrong; the names of aliases and tags, as which a secret may have been read, are left out."""
    text = str(error.problem)
    return _QUOTED.sub("…", text) if "alias" in text or "tag" in text else text


class _PlainLoader(_Loader):
    """SafeLoader in which only true and false are booleans (`off` is a word) and no field comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "the name of a field must be a word", key_node.start_mark
                )
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key_node.value}' is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_PlainLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:bool" or first in ("t", "T", "f", "F")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def complaints(details: Sequence[ErrorDetails], root: Any, *under: str) -> Iterator[str]:
    """A line for every finding; `root` is the type that the document was held against, `under` where it
    would stand in the whole settings."""
    return (_complaint(detail, root, under) for detail in details)


def _complaint(detail: ErrorDetails, root: Any, under: tuple[str, ...]) -> str:
    path = ".".join(str(part) for part in (*under, *detail["loc"])) or "(the whole file)"
    kind = detail["type"]
    if kind == "unexpected_keyword_argument":
        allowed = ", ".join(_fields_at(detail["loc"][:-1], root))
        if "keys" in path and detail["loc"][-1] in PLAIN_KEY_FIELDS:
            return f"{path}: a plain key has no place in a file; allowed: {allowed}"
        return f"{path}: is not a known field; allowed: {allowed}"
    if kind == "missing":
        return f"{path}: is missing"
    if kind in ("dataclass_type", "dataclass_exact_type"):
        return f"{path}: must be a mapping; allowed: {', '.join(_fields_at(detail['loc'], root))}"
    reason = detail["msg"].removeprefix("Value error, ")
    return f"{path}: {reason}{_found(path, detail['input'])}"


def _found(path: str, value: object) -> str:
    """The value found, unless somebody may have put a secret where a name belongs."""
    if "key" in path or "url" in path or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, str) and _MAY_BE_SECRET.search(value):
        return ""
    return f" (found {value!r})"


def _fields_at(location: tuple[int | str, ...], root: Any) -> list[str]:
    """The field names of the dataclass at this place in the document."""
    kind = root
    for part in location:
        kind = (
            _item_type(kind)
            if isinstance(part, int)
            else _plain(typing.get_type_hints(kind).get(part, object))
        )
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _item_type(kind: Any) -> Any:
    return (*typing.get_args(kind), object)[0]


def _plain(kind: Any) -> Any:
    """T out of `T | None`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(option for option in typing.get_args(kind) if option is not type(None))
    return kind
