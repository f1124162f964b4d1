"""Settings: the YAML file, checked whole at the start; a complaint names its field and what is allowed."""

from __future__ import annotations

import dataclasses
import types
import typing
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import limits
import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

if TYPE_CHECKING:
    Network = IPv4Network | IPv6Network
else:
    Network = IPvAnyNetwork

RATE_FORM = "one COUNT/PERIOD such as 100/second or 50 per minute, COUNT at least 1"
DEFAULT_ROUTES = ("GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions")


class SettingsError(Exception):
    """The settings cannot be used. The text has a line a field: its path, what is wrong, what is allowed."""


def _rate(text: str) -> str:
    try:
        items = limits.parse_many(text)
    except ValueError:
        items = []
    if len(items) != 1 or items[0].amount < 1:
        raise ValueError(f"is not a rate; allowed: {RATE_FORM}")
    return text


def _upstream_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not the URL of a server; allowed: http://HOST:PORT or https://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "must hold no user, password, query or fragment; a key goes into upstream.api_key_env"
        )
    return text.rstrip("/")


def _version_text(value: object) -> object:
    """YAML reads an unquoted 1.2 as a number; what is meant is plain."""
    return str(value) if isinstance(value, float) else value


Rate = Annotated[str, AfterValidator(_rate)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
KeyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
RouteLine = Annotated[str, Field(pattern=r"^(GET|POST) /[A-Za-z0-9._/-]+$")]
TlsVersion = Annotated[Literal["1.0", "1.1", "1.2", "1.3"], BeforeValidator(_version_text)]

_WHOLE = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_WHOLE)
class Address:
    """Where to listen. Port 0 takes any free one; the line `listening` on stderr says which."""

    port: Port
    host: str = "127.0.0.1"


@dataclass(frozen=True, config=_WHOLE)
class Tls:
    """Files in PEM, and the lowest version of the protocol that is spoken."""

    certificate: Path
    private_key: Path
    minimum_version: TlsVersion = "1.2"


@dataclass(frozen=True, config=_WHOLE)
class Upstream:
    """The engine: its URL, the variable that holds its key, who vouches for it, how long to wait."""

    url: Annotated[str, AfterValidator(_upstream_url)]
    api_key_env: EnvironmentName | None = None
    certificate_authority: Path | None = None
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 600.0


@dataclass(frozen=True, config=_WHOLE)
class Key:
    """One client's key: a name for logs and metrics, and the variable that holds the secret."""

    name: KeyName
    key_env: EnvironmentName
    limit: Rate | None = None


@dataclass(frozen=True, config=_WHOLE)
class Limits:
    """Rates of a moving window, each null for none: per address, per address without a key, per key."""

    client: Rate | None = None
    anonymous: Rate | None = None
    key: Rate | None = None


@dataclass(frozen=True, config=_WHOLE)
class Settings:
    """The whole file."""

    listen: Address
    metrics: Address
    upstream: Upstream
    authentication: Literal["required", "off"] = "required"
    tls: Tls | None = None
    keys: tuple[Key, ...] = ()
    limits: Limits = dataclasses.field(default_factory=Limits)
    routes: tuple[RouteLine, ...] = DEFAULT_ROUTES
    trusted_proxies: tuple[Network, ...] = ()
    drain_timeout_s: Seconds = 20.0
    body_timeout_s: Seconds = 60.0
    max_body_bytes: Annotated[int, Field(ge=1)] = 4_194_304


def load(path: Path) -> Settings:
    """The settings in a YAML file. Raises SettingsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from None
    try:
        document = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  a SafeLoader underneath
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    return parse(document)


def parse(document: object) -> Settings:
    """The settings in a parsed document. Raises SettingsError with a line for every wrong field."""
    try:
        settings = TypeAdapter(Settings).validate_python(document)
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(detail) for detail in error.errors())) from None
    complaints = list(_contradictions(settings))
    if complaints:
        raise SettingsError("\n".join(complaints))
    return settings


def _contradictions(settings: Settings) -> typing.Iterator[str]:
    names = [key.name for key in settings.keys]
    if "anonymous" in names:
        yield "keys: the name 'anonymous' is taken by clients without a key; choose another"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"keys: the name '{name}' is given more than once; allowed: one entry a name"
    if settings.authentication == "required" and not settings.keys:
        yield "keys: none given, but authentication is required; give one, or say 'authentication: off'"
    if not settings.routes:
        yield "routes: is empty, so nothing would pass; leave it out for the default"
    if settings.listen.port and settings.listen == settings.metrics:
        yield "metrics.port: is the port of the API; allowed: a port of its own"


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader in which only true and false are booleans (`off` is a word) and no field comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
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


def _complaint(detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
    kind = detail["type"]
    if kind == "unexpected_keyword_argument":
        return f"{path}: is not a known field; allowed: {', '.join(_fields_at(detail['loc'][:-1]))}"
    if kind == "missing":
        return f"{path}: is missing"
    if kind in ("dataclass_type", "dataclass_exact_type"):
        return f"{path}: must be a mapping; allowed: {', '.join(_fields_at(detail['loc']))}"
    reason = detail["msg"].removeprefix("Value error, ")
    return f"{path}: {reason}{_found(path, detail['input'])}"


def _found(path: str, value: object) -> str:
    """The value found, unless somebody may have put a secret where a name belongs."""
    if "key" in path or "url" in path or not isinstance(value, str | int | float):
        return ""
    return f" (found {value!r})"


def _fields_at(location: tuple[int | str, ...]) -> list[str]:
    """The field names of the dataclass at this place in the document."""
    kind: Any = Settings
    for part in location:
        kind = (
            _item_type(kind)
            if isinstance(part, int)
            else _plain(typing.get_type_hints(kind).get(part, object))
        )
    return [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []


def _item_type(kind: Any) -> Any:
    return typing.get_args(kind)[0]


def _plain(kind: Any) -> Any:
    """T out of `T | None`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(option for option in typing.get_args(kind) if option is not type(None))
    return kind
