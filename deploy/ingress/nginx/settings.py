"""Settings of the ingress: a YAML file, checked whole; nothing in it can end a directive of nginx's early."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, ConfigDict, Field, IPvAnyNetwork, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

RATE = re.compile(r"([1-9][0-9]{0,5})/(second|minute)")
RATE_FORM = "one COUNT/second or COUNT/minute, COUNT from 1 to 999999"


class SettingsError(Exception):
    """The settings cannot be used. The text has a line a field."""


def _word(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_./:\[\]*+@,=-]+", text):
        raise ValueError("must be one word of letters, digits and _ . / : [ ] * + @ , = -")
    return text


def _rate(text: str) -> str:
    if not RATE.fullmatch(text):
        raise ValueError(f"is not a rate; allowed: {RATE_FORM}")
    return text


Word = Annotated[str, AfterValidator(_word)]
Rate = Annotated[str, AfterValidator(_rate)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Burst = Annotated[int, Field(ge=0, le=1_000_000)]
ServerName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """The whole file. The defaults are those of a host; `server_name` and the certificate have none."""

    server_name: ServerName
    certificate: Word  # PEM: the server's certificate, then those that lead to the authority
    private_key: Word
    upstreams: tuple[Word, ...] = ("127.0.0.1:8080",)  # gateways, host:port
    kept_connections: Annotated[int, Field(ge=0, le=1_000_000)] = (
        256  # to gateways, between requests; 0: none
    )
    listen: tuple[Word, ...] = ("443", "[::]:443")
    listen_http: tuple[Word, ...] = ("80", "[::]:80")
    rate: Rate = "10/second"  # of an address
    burst: Burst = 20  # that many more at once, without delay
    reject_code: Literal[429, 503] = 429
    streams: Count = 64  # open requests of an address
    own_addresses: tuple[IPvAnyNetwork, ...] = ()  # of whoever tests or watches: the own_* bounds instead
    own_rate: Rate = "2000/second"
    own_burst: Burst = 2000
    own_streams: Count = 4096
    max_body_bytes: Annotated[int, Field(ge=1, le=1_000_000_000)] = 4_194_304  # the gateway's own bound
    read_timeout_s: Annotated[int, Field(ge=1, le=86400)] = 610  # longer than the gateway's own 600 s
    generate: bool = False  # let POST /generate in
    chat_page: bool = False  # let GET /chat in
    # Where Debian's own package keeps its own: its service and its log rotation find them.
    access_log: Word = "/var/log/nginx/vllm-slo-access.log"
    error_log: Word = "/var/log/nginx/error.log"
    folder: Word = "/var/lib/nginx"  # what nginx would spool
    pid: Word = "/run/nginx.pid"
    user: Word | None = "www-data"  # null: nginx is not started as root


def load(path: Path) -> Settings:
    """The settings in a YAML file. Raises SettingsError with a line for every wrong field."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    try:
        return TypeAdapter(Settings).validate_python(document)
    except ValidationError as error:
        raise SettingsError("\n".join(map(_complaint, error.errors()))) from None


def _complaint(detail: ErrorDetails) -> str:
    place = ".".join(map(str, detail["loc"])) or "(the whole file)"
    return f"{place}: {detail['msg'].removeprefix('Value error, ')}"
