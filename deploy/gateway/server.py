"""Server: two listening sockets, the API's and the metrics', from bind to the end of the drain."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from deploy.gateway.health import Readiness
from deploy.gateway.intake import Intake
from deploy.gateway.layers import Layers
from deploy.gateway.metrics import Metrics, MetricsPage
from deploy.gateway.observation import Observation
from deploy.gateway.proxy import Proxy
from deploy.gateway.settings import Address, Settings
from deploy.gateway.tls import server_context
from deploy.gateway.tracing import spans_of
from deploy.gateway.upstream import Upstream

BACKLOG = 2048
# Longer than the 60 s for which NGINX keeps its side, so that a proxy before us lets go first.
IDLE_CLIENT_S = 75
# After the drain: how long a client may take to read what was already written for it.
FLUSH_S = 2


class PortTaken(Exception):
    """A port cannot be bound. The text says what was expected, what was seen, what to try."""


class Gateway:
    """One gateway: built from settings, bound, served until `stop`, drained."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], log: FilteringBoundLogger) -> None:
        """Raises SettingsError when a secret or a certificate is not there."""
        self._settings = settings
        self._log = log
        self._stopping = asyncio.Event()
        self._upstream = Upstream(settings, environment)
        self._readiness = Readiness(self._upstream.replicas)
        self._proxy = Proxy(self._upstream)
        self.metrics = Metrics(self._upstream.replicas)
        self._spans = spans_of(settings.tracing)
        self._layers = Layers(settings, environment, log, self.metrics)
        inner = self._layers.around(self._proxy, self._upstream.replicas, self._readiness)
        self._api = _server(Observation(inner, self._layers.paths, self.metrics, self._spans, log))
        self._metrics_page = _server(MetricsPage(self.metrics))
        if settings.tls:
            context = server_context(settings.tls, log)
            self._api.config.ssl_context_factory = lambda config, default: context

    def bind(self) -> None:
        """Take both ports. Raises PortTaken."""
        with contextlib.ExitStack() as undo:
            self._api_socket = undo.enter_context(_bound(self._settings.listen, "listen"))
            self._metrics_socket = undo.enter_context(_bound(self._settings.metrics, "metrics"))
            undo.pop_all()

    @property
    def url(self) -> str:
        """Where the API is, once bound."""
        return _url("https" if self._settings.tls else "http", self._api_socket)

    @property
    def metrics_url(self) -> str:
        """Where the metrics are, once bound."""
        return _url("http", self._metrics_socket) + "/metrics"

    def stop(self) -> None:
        """Begin to drain."""
        self._readiness.begin_drain()
        self._stopping.set()

    @property
    def waiting(self) -> int:
        """How many requests wait for admission."""
        return self._layers.waiting

    def reload_keys(self) -> None:
        """Read the keys_file anew; what runs goes on."""
        self._layers.reload_keys()

    async def serve(self) -> None:
        """Serve until `stop`, then until the last stream has ended or drain_timeout_s is over."""
        upstream = ", ".join(self._settings.upstream.urls)
        self._log.info("listening", url=self.url, metrics_url=self.metrics_url, upstream=upstream)
        with self._api_socket, self._metrics_socket:
            await self._upstream.checks.first()
            await self._serve()

    async def _serve(self) -> None:
        checks = asyncio.create_task(self._upstream.checks.go_on())
        page = asyncio.create_task(self._metrics_page.serve([self._metrics_socket]))
        api = asyncio.create_task(self._api.serve([self._api_socket]))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            # Any of these that ends by itself ends the rest: replicas that nobody watches are no service.
            await asyncio.wait({page, api, checks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await self._drain()
            self._api.should_exit = self._metrics_page.should_exit = True
            await asyncio.gather(api, page)
        finally:
            stopping.cancel()
            checks.cancel()
            await asyncio.wait({checks})
            await self._upstream.aclose()
            await self._layers.aclose()
            await asyncio.to_thread(self._spans.shutdown)
        if not checks.cancelled():
            checks.result()  # raises what it ended by

    async def _drain(self) -> None:
        started_s = time.monotonic()
        inside, timeout_s = self._layers.reception.inside, self._settings.drain_timeout_s
        self._log.info("draining", in_flight=inside, drain_timeout_s=timeout_s)
        for listener in getattr(self._api, "servers", ()):  # connections that are open stay open
            listener.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._layers.reception.idle.wait(), self._settings.drain_timeout_s)
        cut = self._proxy.interrupt_all()
        if cut:
            self._log.warning("drain_cut", cut=cut, drain_timeout_s=self._settings.drain_timeout_s)
        self._log.info("drained", seconds=round(time.monotonic() - started_s, 3), cut=cut)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they close at once and end the process by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=Intake,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=IDLE_CLIENT_S,
            timeout_graceful_shutdown=FLUSH_S,
        )
    )


def _bound(address: Address, field: str) -> socket.socket:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        return _listener(*found[0])
    except OSError as error:
        raise PortTaken(
            f"cannot listen: expected {field} {address.host}:{address.port} to be free, "
            f"saw '{error.strerror or error}'; try another {field}.port (0 takes any free one), "
            "or stop what listens there"
        ) from None


def _listener(
    family: socket.AddressFamily, kind: socket.SocketKind, protocol: int, _name: str, address: Any
) -> socket.socket:
    # The protocol must be named: asyncio sets TCP_NODELAY only on sockets that say they are TCP. Without it,
    # an event may wait 40 ms for the client's delayed acknowledgement. `socket.create_server` names none.
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _url(scheme: str, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
