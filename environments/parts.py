"""The started parts of one local stack, and where clients come in."""

from __future__ import annotations

from dataclasses import dataclass

from environments.engine import Engine
from environments.exporter import Exporter
from environments.gateway import Gateway
from environments.ingress import Ingress
from environments.monitoring import Monitoring
from environments.provider import Component


@dataclass(frozen=True, slots=True)
class Parts:
    """All that was started for one stack."""

    engine: Engine
    gateway: Gateway
    ingress: Ingress | None
    exporter: Exporter | None
    monitoring: Monitoring
    jobs: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where clients come in."""
        return self.ingress.url if self.ingress else self.gateway.url

    @property
    def serving(self) -> tuple[Component, ...]:
        """What a request passes through."""
        ingress = (self.ingress.process,) if self.ingress else ()
        return (*self.engine.components, self.gateway.process, *ingress)

    @property
    def watching(self) -> tuple[Component, ...]:
        """What looks on."""
        return (*((self.exporter.process,) if self.exporter else ()), *self.monitoring.components)
