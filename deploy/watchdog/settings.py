"""Settings of the watchdog: the YAML file, checked whole at the start."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

# Where a secret would stand in the list of processes, which every user of a machine can read.
SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW", re.IGNORECASE)
SECRET_FLAGS = ("--api-k", "--hf-t", "--token", "--password")


class SettingsError(Exception):
    """The settings cannot be used. The text has a line a field."""


def _no_secrets(command: tuple[str, ...]) -> tuple[str, ...]:
    for word in command:
        if word.replace("_", "-").startswith(SECRET_FLAGS):
            raise ValueError("no secret among the arguments; name its variable in environment_from")
    return command


def _public(given: Mapping[str, str]) -> Mapping[str, str]:
    for name in given:
        if SECRET_NAME.search(name):
            raise ValueError(f"{name} looks like a secret, and this file holds none; see environment_from")
    return given


_WHOLE = ConfigDict(extra="forbid")
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ChildName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


@dataclass(frozen=True, config=_WHOLE)
class Health:
    """A GET that must be answered with 2xx within `timeout_s`; `failures` in a row are a hang."""

    url: Url
    every_s: Seconds = 5.0
    timeout_s: Seconds = 5.0
    failures: Count = 3


@dataclass(frozen=True, config=_WHOLE)
class Probe:
    """A completion of one token: a stopped engine core leaves /health at 200, and only this finds it.

    An engine with a long queue answers late as well: where `metrics_url` shows that any of `progress` grew
    meanwhile, it is busy and not hung.
    """

    url: Url
    model: str
    key_env: VariableName | None = None
    every_s: Seconds = 30.0
    timeout_s: Seconds = 30.0
    failures: Count = 2
    metrics_url: Url | None = None
    progress: tuple[str, ...] = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")


@dataclass(frozen=True, config=_WHOLE)
class Child:
    """One program. It gets PATH and the like, `environment`, and the variables in `environment_from`."""

    command: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_no_secrets)]
    health: Health | None = None
    probe: Probe | None = None
    folder: Path = Path()
    log: Path | None = None
    environment: Annotated[Mapping[VariableName, str], AfterValidator(_public)] = dataclasses.field(
        default_factory=dict
    )
    environment_from: tuple[VariableName, ...] = ()
    start_timeout_s: Seconds = 900.0
    stop_timeout_s: Seconds = 40.0
    hung_stop_timeout_s: Seconds = 10.0


@dataclass(frozen=True, config=_WHOLE)
class Restarts:
    """After `most` restarts of one child within `within_s` the next failure is given up on."""

    first_delay_s: Seconds = 1.0
    longest_delay_s: Seconds = 60.0
    jitter_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    stable_after_s: Seconds = 60.0
    most: Annotated[int, Field(ge=0)] = 5
    within_s: Seconds = 600.0
    seed: int | None = None


@dataclass(frozen=True, config=_WHOLE)
class Address:
    """Where the metrics are; port 0 takes a free one, which the log names."""

    port: Annotated[int, Field(ge=0, le=65_535)]
    host: str = "127.0.0.1"


@dataclass(frozen=True, config=_WHOLE)
class Settings:
    """The whole file. Children start in the order in which they stand, and stop in the opposite one."""

    children: Annotated[dict[ChildName, Child], Field(min_length=1)]
    restarts: Restarts = dataclasses.field(default_factory=Restarts)
    metrics: Address | None = None
    certificate_authority: Path | None = None  # PEM: who vouches for children that speak https


def load(path: Path, environment: Mapping[str, str], only: str | None = None) -> Settings:
    """The settings in a file. Raises SettingsError, also where a variable that is named is not set.

    `only` names the child whose variables and folders are needed, where it is not all of them.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {' '.join(str(error).split())}") from None
    try:
        settings = TypeAdapter(Settings).validate_python(document)
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(one) for one in error.errors())) from None
    if only is not None and only not in settings.children:
        raise SettingsError(f"children: there is no {only}")
    if complaints := [*_missing(settings, environment, only)]:
        raise SettingsError("\n".join(complaints))
    return settings


def _complaint(detail: Any) -> str:
    """A line without the value: somebody may have put a secret there."""
    where = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"


def _missing(settings: Settings, environment: Mapping[str, str], only: str | None) -> Iterator[str]:
    for name, child in settings.children.items():
        if only not in (None, name):
            continue
        for field, folder in (("folder", child.folder), ("log", (child.log or Path("x")).parent)):
            if not folder.is_dir():
                yield f"children.{name}.{field}: there is no folder {folder}"
        for variable in child.environment_from:
            if not environment.get(variable):
                yield f"children.{name}.environment_from: {variable} is not set"
        if child.probe and child.probe.key_env and not environment.get(child.probe.key_env):
            yield f"children.{name}.probe.key_env: {child.probe.key_env} is not set"
