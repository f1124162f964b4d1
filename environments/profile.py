"""Profiles: the shape of a place as data. The files lie in profiles/; `fixtures` reads and checks them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from instruments.errors import ConfigurationError

# For a machine with a Docker engine and no binary.
IMAGES: dict[Literal["prometheus", "alertmanager"], str] = {
    "prometheus": "prom/prometheus:v3.5.0",
    "alertmanager": "prom/alertmanager:v0.28.1",
}
PROFILES = Path(__file__).with_name("profiles")
Port = Annotated[int, Field(ge=0, le=65535)]
Rate = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}/(second|minute)$")]


@dataclass(frozen=True, slots=True)
class EngineProfile:
    """Which engine, and how it is started."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Literal["vllm", "simulator", "external"]
    model: str = "tiny"  # the name that it serves; without `weights` also the folder that set-up made
    weights: Path | None = None  # folder of the real model; null: the tiny one, whose weights mean nothing
    max_model_len: int = 1024
    replicas: Annotated[int, Field(ge=1, le=16)] = 1  # engines behind the gateway, alike
    gpus: Annotated[int, Field(ge=0)] = 0  # that the replicas need together; fewer here is an error at once
    settings: Path | None = None  # of deploy.engine, in the clone: the engine is started as they say
    arguments: tuple[str, ...] = ()  # further flags of `vllm serve`
    simulator_arguments: tuple[str, ...] = ()  # the same for the simulator
    ready_timeout_s: float = 120.0
    url: str | None = None  # of an external engine, whose key is in ENGINE_API_KEY
    # A program put between the engine and all that talks to it, called with --upstream URL --port N.
    # The project's own tests plant faults with it. It is named in the fingerprint.
    interposer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "external") != (self.url is not None):
            raise ValueError("url belongs to an external engine, which needs one")
        if self.settings is not None and (self.arguments or self.kind == "external"):
            raise ValueError("settings hold all flags of an engine of ours: arguments beside them are none")
        if self.replicas > 1 and (self.kind == "external" or self.interposer):
            raise ValueError("replicas are engines of ours, without an interposer")


@dataclass(frozen=True, slots=True)
class GatewayProfile:
    """The gateway's limits, and settings of its own that replace ours."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    limited_requests: int = 10  # that the key `limited` may make …
    limited_window_s: int = 2  # … in so many seconds
    settings: dict[str, Any] = field(default_factory=dict)
    # Started with the gateway's own arguments in its place. The project's own tests plant faults with it.
    program: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IngressProfile:
    """What stands before the gateway, and what it lets in. A rate is by address of the client.

    `own_addresses` are those of whoever tests or watches the stack: `own_rate` instead of `rate`, for them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Literal["nginx", "none"] = "nginx"
    rate: Rate = "10/second"
    burst: Annotated[int, Field(ge=0)] = 20  # that many more at once, without delay
    reject_code: Literal[429, 503] = 429
    streams: Annotated[int, Field(ge=1)] = 64  # open requests of one address
    own_addresses: tuple[str, ...] = ("127.0.0.1/32", "::1/128")
    own_rate: Rate = "2000/second"
    own_burst: Annotated[int, Field(ge=0)] = 2000
    own_streams: Annotated[int, Field(ge=1)] = 4096
    read_timeout_s: Annotated[int, Field(ge=1, le=86400)] = (
        610  # between two reads: longer than the gateway's
    )


@dataclass(frozen=True, slots=True)
class ExporterProfile:
    """Where the readings of GPUs come from: NVML, a stub of it that dictates them, or nowhere."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kind: Literal["nvml", "stub", "none"] = "none"
    arguments: tuple[str, ...] = ()  # further flags of the exporter
    # Started with the exporter's own arguments in its place. The project's own tests plant faults with it.
    program: tuple[str, ...] = ()
    readings: dict[str, str | float] = field(default_factory=dict)  # of the stub, over those of two A6000s


@dataclass(frozen=True, slots=True)
class PortProfile:
    """Ports to listen on; 0 takes any that is free. Further engines listen on the ports after `engine`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    engine: Port = 0
    gateway: Port = 0
    gateway_metrics: Port = 0
    ingress: Port = 0  # https
    ingress_http: Port = 0  # http, which only leads to https
    exporter: Port = 0
    prometheus: Port = 0
    alertmanager: Port = 0
    alert_receiver: Port = 0


@dataclass(frozen=True, slots=True)
class DeclaredProfile:
    """What whoever runs a stack says of it, and nobody can ask it: how it limits its clients."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    limiter_code: Literal[429, 503] = 429  # how it says no above its rate
    rate: Rate | None = None  # of one address; null: not limited, or not told
    burst: Annotated[int, Field(ge=0)] | None = None  # that many more at once

    def __post_init__(self) -> None:
        if self.burst is not None and self.rate is None:
            raise ValueError("a burst is one above a rate, which is not given")


@dataclass(frozen=True, slots=True)
class NeedsProfile:
    """What a cluster must have before anything is created in it."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    gpus: Annotated[int, Field(ge=0)] = 0  # nvidia.com/gpu that no Pod has taken
    apis: tuple[str, ...] = ()  # group versions: cert-manager.io/v1 …
    storage_class: str | None = None  # "default": whichever is
    ingress_class: str | None = None
    programs: tuple[str, ...] = ()  # on this machine: minikube, aws …


@dataclass(frozen=True, slots=True)
class VariantProfile:
    """The same place with another engine: what it changes, and only that."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    overlay: Path | None = None
    images: dict[str, str] | None = None  # all of them
    simulated: bool | None = None
    max_model_len: int | None = None
    ready_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class ClusterProfile:
    """A stack in a Kubernetes cluster: what is applied there, and how its clients come in."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    overlay: Path  # a folder of deploy/kubernetes/overlays, in the clone
    context: str | None = None  # --context goes before it; a kubeconfig's current one is never used
    way_in: Literal["node-port", "ingress", "load-balancer", "gateway", "forward"] = "ingress"
    service: str = "vllm-gateway"  # of a node-port, load-balancer or forward
    port: str = "http"  # its name; `https` is spoken to over TLS
    host: str | None = None  # the name in certificates and routes
    images: dict[str, str] = field(
        default_factory=dict
    )  # name in the manifests -> image, or "local": made here
    simulated: bool = False  # the overlay's engine is the simulator
    max_model_len: int | None = None
    ready_timeout_s: float = 1800.0
    time_budget_s: float | None = None  # of a whole run; --time-budget goes before it
    needs: NeedsProfile = field(default_factory=NeedsProfile)
    namespace: str | None = None  # of a run, where something outside is tied to its name; null: the run's own
    max_price_per_hour: float | None = None  # a run that would cost more is refused
    # Secret -> variable of this environment that fills its key `token`
    secrets: dict[str, str] = field(default_factory=dict)
    load_rate: Rate | None = None  # what the way in admits of one address in a run; null: as the overlay says
    variants: dict[Literal["vllm", "simulator"], VariantProfile] = field(default_factory=dict)  # of --engine

    @property
    def engine(self) -> Literal["vllm", "simulator"]:
        """The engine of the overlay."""
        return "simulator" if self.simulated else "vllm"

    def with_engine(self, kind: Literal["vllm", "simulator"]) -> ClusterProfile:
        """The same place with this engine; ConfigurationError where the profile names no variant of it."""
        if kind == self.engine:
            return self
        if kind not in self.variants:
            raise ConfigurationError(
                f"--engine {kind}: the profile has no such variant",
                expected=f"one of {', '.join([self.engine, *self.variants])}",
                hint="cluster.variants in the profile names an overlay for each engine",
            )
        variant = self.variants[kind]
        said = {one.name: getattr(variant, one.name) for one in fields(variant)}
        changed = {name: value for name, value in said.items() if value is not None}
        return replace(self, **{"simulated": kind == "simulator", **changed})


@dataclass(frozen=True, slots=True)
class Profile:
    """One place. `limits` replaces the catalog's limit of an objective by one for this hardware.

    `model` and `accelerator` say to which objectives it belongs (`applies`), where its engine does not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    description: str
    provider: Literal["local", "attach", "running", "kubernetes"]
    engine: EngineProfile | None = None
    gateway: GatewayProfile = field(default_factory=GatewayProfile)
    ingress: IngressProfile | None = None  # null: the gateway is reached directly
    exporter: ExporterProfile = field(default_factory=ExporterProfile)
    ports: PortProfile = field(default_factory=PortProfile)
    monitoring: Literal["binaries", "containers", "auto", "none"] = "auto"
    images: dict[Literal["prometheus", "alertmanager"], str] = field(default_factory=lambda: dict(IMAGES))
    limits: dict[str, float] = field(default_factory=dict)
    model: str | None = None  # what is served where no engine of ours is started
    accelerator: str | None = None  # as nvidia-smi names it; "none" for a machine without
    overhead_budget_s: Annotated[float, Field(gt=0)] = 0.05  # between server and client, mean
    duration_scale: Annotated[float, Field(gt=0, le=10)] = 1.0  # of what suites send and wait for here
    bounds: dict[str, float] = field(default_factory=dict)  # replace those of suites/catalog/bounds.yaml
    # Capability -> why it cannot be asked for here, whatever the provider finds.
    lacks: dict[str, str] = field(default_factory=dict)
    rules: Path | None = None  # a folder of rules in the clone that Prometheus gets instead of deploy's
    pace: Annotated[float, Field(ge=1, le=100)] = 1.0  # how many times faster those rules wait and look back
    declares: DeclaredProfile | None = None  # of a stack that is attached to
    cluster: ClusterProfile | None = None  # of a stack in Kubernetes

    def __post_init__(self) -> None:
        if self.engine is not None and self.model is not None:
            raise ValueError("model belongs to engine, where one is given")
        if self.declares is not None and self.provider not in ("attach", "kubernetes"):
            raise ValueError("declares is of a stack that is attached to: of one of ours it is known")
        if (self.cluster is not None) != (self.provider == "kubernetes"):
            raise ValueError("cluster belongs to the provider kubernetes, which needs one")
        if set(self.images) != set(IMAGES):
            raise ValueError(f"images names {' and '.join(IMAGES)}")
        if self.provider == "local" and self.engine is None:
            raise ValueError("a local stack needs an engine")


def known_profiles() -> list[str]:
    """Names that `--env` takes."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def profile_path(name: str) -> Path:
    """Where a profile lies: a known name, or the path of a file that ends in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise ConfigurationError(
            f"unknown environment {name!r}",
            expected=f"one of {', '.join(known_profiles())}, or the path of a profile (.yaml)",
            hint="pytest --env local",
        )
    return path


def read_profile(path: Path) -> Profile:
    """A profile out of its file, checked whole; ConfigurationError with a line a field that is wrong."""
    try:
        return TypeAdapter(Profile).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"cannot read {path}", seen=" ".join(str(error).split())) from None
    except ValidationError as error:
        lines = [f"{path}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError("the profile is wrong", seen="\n".join(lines)) from None
