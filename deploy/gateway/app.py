"""App: the layers put together: observation, admission, then FastAPI's routing to the proxy."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from deploy.gateway.account import account_of
from deploy.gateway.admission import Authenticated
from deploy.gateway.envelope import error_body
from deploy.gateway.health import Readiness
from deploy.gateway.proxy import Proxy
from deploy.gateway.settings import Settings


def routed(settings: Settings, proxy: Proxy, readiness: Readiness) -> FastAPI:
    """The allow-list: the settings' routes, /health and /ready; all else is 404 or 405 in the envelope."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(HTTPException, _refused)
    endpoint: ASGIApp = proxy if settings.authentication == "off" else Authenticated(proxy)
    for path, methods in allowed(settings).items():
        route = Route(path, endpoint, methods=methods)
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

    return app


def allowed(settings: Settings) -> dict[str, list[str]]:
    """Methods by path."""
    methods: dict[str, list[str]] = {}
    for line in settings.routes:
        method, path = line.split(" ")
        methods.setdefault(path, []).append(method)
    return methods


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  registered for nothing else
    account_of(request.scope).outcome = "refused"
    message = {404: "No such route.", 405: "This method is not allowed here."}.get(
        error.status_code, error.detail
    )
    headers = {"content-type": "application/json", **(error.headers or {})}
    return Response(error_body(error.status_code, message), error.status_code, headers=headers)
