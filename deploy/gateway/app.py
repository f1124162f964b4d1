"""App: the routes: the settings' own to the engine, the gateway's probes and pages, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.gateway import chat, openapi
from deploy.gateway.account import account_of
from deploy.gateway.entrance import Authenticated
from deploy.gateway.envelope import error_body
from deploy.gateway.health import Readiness
from deploy.gateway.settings import Settings


class HotRoutes:
    """The engine's routes, looked up; all else goes to the framework.

    The framework's stack is some ten calls around a request and two around each event of its answer, and
    gives neither anything: the body is read, and refused, by our own layers.
    """

    def __init__(self, routes: Mapping[tuple[str, str], ASGIApp], others: ASGIApp) -> None:
        self._routes = routes
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._routes.get((scope["method"], scope["path"]), self._others)(scope, receive, send)


def routed(settings: Settings, engine: ASGIApp, readiness: Readiness) -> ASGIApp:
    """The allow-list: the settings' routes, /health and /ready; all else is 404 or 405 in the envelope."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPException, _refused)
    guarded = engine if settings.authentication == "off" else Authenticated(engine)
    own = own_pages(settings)
    hot: dict[tuple[str, str], ASGIApp] = {}
    for path, methods in allowed(settings).items():
        endpoint = own.get(path, guarded)
        hot |= {(method, path): endpoint for method in methods}
        route = Route(path, endpoint, methods=methods)  # for 405 and its Allow
        route.methods = set(methods)  # Starlette adds HEAD to GET, which vLLM does not answer
        app.router.routes.append(route)

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "alive"})

    @app.get("/ready")
    async def ready() -> Response:
        reason = await readiness.reason_against()
        if reason is None:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "reason": reason}, status_code=503, headers={"Retry-After": "1"})

    return HotRoutes(hot, app)


def allowed(settings: Settings) -> dict[str, list[str]]:
    """Methods by path."""
    methods: dict[str, list[str]] = {}
    for line in settings.routes:
        method, path = line.split(" ")
        methods.setdefault(path, []).append(method)
    return methods | {path: ["GET"] for path in own_pages(settings)}


def own_pages(settings: Settings) -> dict[str, ASGIApp]:
    """What the gateway itself answers without a key, where the settings ask for it. Raises SettingsError."""
    pages: dict[str, ASGIApp] = {}
    if settings.openapi:
        pages[openapi.PATH] = openapi.OpenApi(settings)
    if settings.chat_page is not None:
        pages[chat.PATH] = chat.ChatPage(settings.chat_page)
    return pages


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    account_of(request.scope).outcome = "refused"
    message = {404: "No such route.", 405: "This method is not allowed here."}.get(
        error.status_code, error.detail
    )
    headers = {"content-type": "application/json", **(error.headers or {})}
    return Response(error_body(error.status_code, message), error.status_code, headers=headers)
