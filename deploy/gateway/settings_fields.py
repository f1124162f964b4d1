"""Fields of the settings: the kinds of value that more than one block uses, and what may stand there."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Annotated, Literal

import limits
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, IPvAnyNetwork

if TYPE_CHECKING:
    Network = IPv4Network | IPv6Network
else:
    Network = IPvAnyNetwork

RATE_FORM = "one COUNT/PERIOD such as 100/second or 50 per minute, COUNT at least 1, PERIOD at most a year"
LONGEST_PERIOD_S = 366 * 86400
ORIGIN_FORM = "SCHEME://HOST or SCHEME://HOST:PORT with http or https, lower case, nothing behind it"
DIGEST_FORM = "the 64 hex digits that `python -m deploy.gateway keygen NAME` prints"

WHOLE = ConfigDict(extra="forbid")


class SettingsError(Exception):
    """The settings cannot be used. The text has a line a field: its path, what is wrong, what is allowed."""


def _rate(text: str) -> str:
    try:
        items = limits.parse_many(text)
    except ValueError:
        items = []
    if len(items) != 1 or items[0].amount < 1 or items[0].get_expiry() > LONGEST_PERIOD_S:
        raise ValueError(f"is not a rate; allowed: {RATE_FORM}")
    return text


def _digest(text: str) -> str:
    if len(text) != 64 or any(character not in "0123456789abcdef" for character in text):
        raise ValueError(f"is not a SHA-256 digest; allowed: {DIGEST_FORM}")
    return text


def _version_text(value: object) -> object:
    """YAML reads an unquoted 1.2 as a number; what is meant is plain."""
    return str(value) if isinstance(value, float) else value


def _digest_text(value: object) -> object:
    """YAML reads 64 unquoted digits as a number, should a digest ever have no letter."""
    return f"{value:064d}" if isinstance(value, int) and not isinstance(value, bool) else value


Rate = Annotated[str, AfterValidator(_rate)]
Digest = Annotated[str, BeforeValidator(_digest_text), AfterValidator(_digest)]
Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
KeyName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
RouteLine = Annotated[str, Field(pattern=r"^(GET|POST) /[A-Za-z0-9._/-]+$")]
TlsVersion = Annotated[Literal["1.0", "1.1", "1.2", "1.3"], BeforeValidator(_version_text)]
