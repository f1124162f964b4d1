"""What standing a stack up gives: the Stack. And what can go wrong on the way: the errors."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from instruments.errors import SloError

if TYPE_CHECKING:
    from environments.kubernetes.handle import ClusterHandle


class StackError(SloError):
    """A stack did not start, or died."""


class MissingBinary(StackError):
    """A program that the stack needs is not on this machine."""


class PortTaken(StackError):
    """A port that the profile asks for is in use."""


class StackNotReady(StackError):
    """A bounded wait for a part of the stack ran out."""


class StackDied(StackError):
    """A part of the stack ended by itself."""

    def __init__(self, component: str, what: str, log_tail: str, hint: str | None = None) -> None:
        super().__init__(f"{component} died: {what}", seen=f"its last lines:\n{log_tail}", hint=hint)
        self.component = component
        self.what = what
        self.log_tail = log_tail


SIMULATED_NOTE = "the engine is SIMULATED: no number here says anything about vLLM"


def is_simulated(models: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a list of models is that of the simulator, which says so wherever it is asked."""
    return any("simulator" in str(model.get("owned_by")) for model in models)


class Secret:
    """A key that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class Component(Protocol):
    """A running part of a stack that we started."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None:
        """Process id of the program itself, for faults that are planted on purpose."""
        ...

    def check(self) -> None:
        """Raise StackDied when it ended by itself."""
        ...

    def log_tail(self, lines: int = 20) -> str: ...


@dataclass(frozen=True, slots=True)
class Stack:
    """Where a stack is reached, with what credentials, and what it can do.

    `missing` names each capability that is absent, with the reason that a skipped claim shows. Without one
    of the `components` nothing can be claimed; without one of the `watchers`, which are named as the
    capabilities that they give, only what needs it.
    """

    environment: str
    base_url: str  # the ingress where there is one, else the gateway
    model: str
    keys: Mapping[str, Secret] = field(default_factory=dict)  # "suite" is the one that load uses
    ca_bundle: Path | None = None
    engine_url: str | None = None  # straight to the engine, past the gateway; of several, the first
    engine_urls: Sequence[str] = ()  # straight to each replica
    gateway_url: str | None = None  # straight to the gateway, past the ingress
    gateway_metrics_url: str | None = None
    ingress_url: str | None = None  # https; null where nothing stands before the gateway
    ingress_http_url: str | None = None  # where the ingress takes plain HTTP, only to lead to HTTPS
    exporter_url: str | None = None  # /metrics of the GPU exporter
    prometheus_url: str | None = None
    alertmanager_url: str | None = None
    grafana_url: str | None = None
    alert_receiver_url: str | None = None  # GET: what Alertmanager sent, as a list
    scraped: Sequence[str] = ()  # jobs that Prometheus scrapes
    limiter_code: int = 429  # how whoever limits first says no
    missing: Mapping[str, str] = field(default_factory=dict)
    components: Sequence[Component] = ()  # what serves, of what we started: engines, gateway, ingress
    watchers: Sequence[Component] = ()  # what watches, of what we started: Prometheus, exporter and the like
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    engine: str | None = None
    simulated: bool = False
    max_model_len: int | None = None
    limited_key: tuple[str, int, float] | None = None  # name, requests allowed, in so many seconds
    startup_s: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    pods_url: str | None = None  # the same door as base_url, for load that comes from Pods of the cluster
    cluster: ClusterHandle | None = None  # None: not in a cluster that was named

    def check(self) -> None:
        """Raise StackDied when a part that serves has ended by itself."""
        for component in self.components:
            component.check()

    def dead_watchers(self) -> dict[str, StackDied]:
        """The watchers that have ended by themselves, by name: what they watched goes on without them."""
        found: dict[str, StackDied] = {}
        for watcher in self.watchers:
            try:
                watcher.check()
            except StackDied as death:
                found[watcher.name] = death
        return found

    def headers(self, key: str = "suite") -> dict[str, str]:
        """The Authorization header for a named key; empty where the stack needs none."""
        return {"Authorization": f"Bearer {self.keys[key].reveal()}"} if key in self.keys else {}

    def tls(self) -> ssl.SSLContext:
        """A context that trusts the stack's CA, or the system's where it has none of its own."""
        return ssl.create_default_context(cafile=str(self.ca_bundle) if self.ca_bundle else None)


Say = Callable[[str], None]


class EnvironmentProvider(Protocol):
    """Stands a stack up in a folder, says what it is doing, and takes all of it down on leaving."""

    def __call__(self, folder: Path, say: Say) -> AbstractContextManager[Stack]: ...
