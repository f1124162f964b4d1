"""Layers: the application of the API's port, put together from settings, from the outside in.

Observation (id, log, metrics), CORS headers, entrance (address, limits), preflight, routes, key, reception
(body, bounds, tokens, queue), /generate, proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from deploy.gateway.addresses import ClientAddresses
from deploy.gateway.admission import Admission
from deploy.gateway.app import allowed, routed
from deploy.gateway.cors import CorsHeaders, Preflight
from deploy.gateway.entrance import Entrance
from deploy.gateway.generate import Generate
from deploy.gateway.health import Readiness
from deploy.gateway.keys import KeyRing
from deploy.gateway.limiter import Limiter
from deploy.gateway.metrics import Metrics
from deploy.gateway.reception import Reception
from deploy.gateway.replicas import Replicas
from deploy.gateway.settings import Settings, SettingsError
from deploy.gateway.tokens import Budget, MemoryLedger
from deploy.gateway.windows import MemoryWindows

if TYPE_CHECKING:
    from deploy.gateway.redis_storage import SharedStorage


class Layers:
    """What stands between the server and the proxy. `app` is the outermost but for observation."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        log: FilteringBoundLogger,
        metrics: Metrics,
    ) -> None:
        """Raises SettingsError when a secret is not there."""
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self._ring = KeyRing(settings, environment)
        self._shared: SharedStorage | None = None
        self._admission: Admission | None = None
        if settings.limits.storage == "redis":
            self._shared = _shared_storage(settings, environment, log)
        self.paths = frozenset(allowed(settings))

    def around(self, proxy: ASGIApp, replicas: Replicas, readiness: Readiness) -> ASGIApp:
        """The application; its reception is `reception` from then on."""
        settings = self._settings
        self.reception = self._reception(Generate(proxy), replicas, readiness)
        app: ASGIApp = routed(settings, self.reception, readiness)
        if settings.cors.origins:
            app = Preflight(app, settings.cors, allowed(settings))
        limiter = Limiter(
            settings.limits, self._shared or MemoryWindows(), self._metrics.limit_storage_errors.inc
        )
        addresses = ClientAddresses(settings.trusted_proxies)
        app = Entrance(app, addresses, self._ring, limiter, readiness)
        return CorsHeaders(app, settings.cors) if settings.cors.origins else app

    def _reception(self, app: ASGIApp, replicas: Replicas, readiness: Readiness) -> Reception:
        settings = self._settings
        budget = Budget(
            settings.limits, self._shared or MemoryLedger(), self._metrics.limit_storage_errors.inc
        )
        if settings.admission is not None:
            self._admission = Admission(settings.admission, replicas.any_open)
            self._metrics.queued_requests.set_function(lambda: self.waiting)
            readiness.on_drain(self._admission.drain)
        return Reception(app, settings, budget, self._admission)

    @property
    def waiting(self) -> int:
        """How many requests wait for admission."""
        return 0 if self._admission is None else self._admission.queued

    def reload_keys(self) -> None:
        """Read the keys_file anew; one that cannot be used changes nothing. The log says which."""
        if self._settings.keys_file is None:
            self._log.warning("keys_not_reloaded", error="there is no keys_file")
            return
        try:
            count = self._ring.reload()
        except SettingsError as error:
            self._log.error("keys_not_reloaded", error=str(error))
        else:
            self._log.info("keys_reloaded", keys=count)

    async def aclose(self) -> None:
        """Let go of the storage."""
        if self._shared is not None:
            await self._shared.aclose()


def _shared_storage(
    settings: Settings, environment: Mapping[str, str], log: FilteringBoundLogger
) -> SharedStorage:
    from deploy.gateway.redis_storage import SharedStorage  # 0.2 s of start, for those who use it

    return SharedStorage(settings.limits, environment, log)
