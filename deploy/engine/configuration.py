"""Settings of one engine: a YAML file, checked whole; a complaint names its field and what is allowed.

Nothing of vLLM is imported, so a file can be checked and printed where no engine is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from deploy.engine import extra
from deploy.engine.buckets import Family

_WHOLE = ConfigDict(extra="forbid")
HALF_TYPES = ("half", "float16", "float", "float32")
BFLOAT16_SINCE = 8.0  # compute capability; a T4 has 7.5
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Count = Annotated[int, Field(ge=1)]
LimitS = Annotated[float, Field(gt=0, le=7680, allow_inf_nan=False)]
Argument = Annotated[str, AfterValidator(extra.checked_word)]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class SettingsError(Exception):
    """The settings cannot be used. The text has a line a field: its path, what is wrong, what is allowed."""


@dataclass(frozen=True, config=_WHOLE)
class Model:
    """What is served: a folder, or ORG/NAME of a hub with the commit that is meant; and how it is read."""

    source: Annotated[str, Field(min_length=1, pattern=r"^[^-]")]
    served_name: Annotated[str, Field(pattern=r"^[\w][\w./:-]*$")]
    revision: Revision | None = None
    dtype: Literal["auto", "half", "float16", "bfloat16", "float", "float32"] = "auto"
    quantization: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] | None = None
    load_format: Annotated[str, Field(pattern=r"^[a-z_]+$")] = "auto"
    max_model_len: Count | None = None

    @property
    def is_folder(self) -> bool:
        """Whether `source` is a path: /x, ./x, ../x or .cache/x, never ORG/NAME."""
        return self.source.startswith(("/", "."))


@dataclass(frozen=True, config=_WHOLE)
class Memory:
    """`gpu_utilization` of each device's memory, or `kv_cache_bytes` of the KV cache (the CPU build)."""

    gpu_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    kv_cache_bytes: Count | None = None
    kv_cache_dtype: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] = "auto"
    prefix_caching: bool = True


@dataclass(frozen=True, config=_WHOLE)
class Batch:
    """Both given, never left to vLLM, whose own numbers depend on the device's memory."""

    max_num_seqs: Count
    max_num_batched_tokens: Count


@dataclass(frozen=True, config=_WHOLE)
class Queue:
    """When a request is refused with 503. null: never.

    `max_num_queued_reqs` counts running requests as well as waiting ones, in spite of its name;
    `max_num_queued_tokens` counts the prompts' tokens of those without a first token yet.
    """

    max_num_queued_reqs: Count | None = None
    max_num_queued_tokens: Count | None = None


@dataclass(frozen=True, config=_WHOLE)
class Listen:
    """The engine's own port; clients come by way of the gateway."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000


@dataclass(frozen=True, config=_WHOLE)
class Log:
    """What is logged. `requests` logs parameters of each request, never its prompt below DEBUG."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    requests: bool = False
    access: bool = False
    statistics_every_s: Annotated[float, Field(ge=1)] = 10.0


@dataclass(frozen=True, config=_WHOLE)
class Hardware:
    """What the file was written for; used to check it, and by `deploy.engine.budget`. GiB of one device."""

    device: str
    count: Count = 1
    memory_gib: Annotated[float, Field(gt=0)] | None = None
    compute_capability: Annotated[float, Field(ge=1)] | None = None


@dataclass(frozen=True, config=_WHOLE)
class Settings:
    """The whole file."""

    model: Model
    batch: Batch
    hardware: Hardware
    memory: Memory = field(default_factory=Memory)
    queue: Queue = field(default_factory=Queue)
    listen: Listen = field(default_factory=Listen)
    log: Log = field(default_factory=Log)
    tensor_parallel: Count = 1
    shutdown_timeout_s: Annotated[int, Field(ge=0, le=3600)] = 60
    request_id_headers: bool = True
    interactive_docs: bool = False
    slo_limits_s: dict[Family, tuple[LimitS, ...]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    extra_arguments: tuple[Argument, ...] = ()


def load(path: Path) -> Settings:
    """The settings in a YAML file. Raises SettingsError."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceLoader)  # noqa: S506  a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from None
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


def _contradictions(settings: Settings) -> Iterator[str]:
    model, batch, queue = settings.model, settings.batch, settings.queue
    if not model.is_folder and not HUB_NAME.fullmatch(model.source):
        yield "model.source: is neither a folder (/x, ./x, ../x) nor ORG/NAME"
    if not model.is_folder and model.revision is None:
        yield "model.revision: is missing; a name on a hub needs the commit that is meant (40 hex digits)"
    if model.is_folder and model.revision is not None:
        yield "model.revision: says nothing of a folder; deploy.weights pins it where the folder is filled"
    if settings.tensor_parallel > settings.hardware.count:
        yield f"tensor_parallel: is {settings.tensor_parallel}, but hardware.count {settings.hardware.count}"
    if (settings.memory.gpu_utilization is None) == (settings.memory.kv_cache_bytes is None):
        yield "memory: give exactly one of gpu_utilization (a GPU) and kv_cache_bytes (the CPU build)"
    capability = settings.hardware.compute_capability
    if capability is not None and capability < BFLOAT16_SINCE and model.dtype not in HALF_TYPES:
        yield f"model.dtype: compute capability {capability} has no bfloat16; allowed: half, float32"
    if queue.max_num_queued_reqs is not None and queue.max_num_queued_reqs < batch.max_num_seqs:
        yield (
            f"queue.max_num_queued_reqs: counts running requests too, so {queue.max_num_queued_reqs} would "
            f"never fill a batch; at least batch.max_num_seqs ({batch.max_num_seqs})"
        )
    if batch.max_num_batched_tokens < batch.max_num_seqs:
        yield f"batch.max_num_batched_tokens: at least batch.max_num_seqs ({batch.max_num_seqs})"
    yield from extra.refused_flags(settings.extra_arguments)
    yield from extra.refused_variables(settings.environment)


class _OnceLoader(yaml.SafeLoader):
    """SafeLoader that refuses a field given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if names.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' is given twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def _complaint(detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"]) or "(the whole file)"
    if detail["type"] == "unexpected_keyword_argument":
        return f"{path}: is not a known field"
    if detail["type"] == "missing":
        return f"{path}: is missing"
    reason = detail["msg"].removeprefix("Value error, ")
    # What stands in an argument or a variable may be a secret that belongs elsewhere.
    shown = isinstance(detail["input"], str | int | float) and not path.startswith(("extra", "environment"))
    return f"{path}: {reason} (found {detail['input']!r})" if shown else f"{path}: {reason}"
