"""Routes: which path answers what, who may ask, and what /metrics counts of it."""

import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import exposition, refusal
from .ask import Api, Ask, read_ask
from .engine import Engine
from .exposition import Exposition
from .ledger import Ledger
from .settings import Settings
from .wire import HttpRequest

VERSION = "0.32.0+simulated"
GUARDED = ("/v1", "/v2", "/inference", "/cohere")  # prefixes, as in vLLM: all else is open
UNCOUNTED = frozenset({"/metrics", "/health", "/load", "/ping", "/version"})
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is complete at once."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[HttpRequest], Reply | Ask]


class Routes:
    """Turns a request into a Reply, or into an Ask for the engine to work on."""

    def __init__(self, settings: Settings, ledger: Ledger, engine: Engine) -> None:
        self._settings = settings
        self._ledger = ledger
        self._engine = engine
        self._exposition = Exposition(settings, ledger.tally, engine)
        self._created = int(time.time())
        self._key = settings.api_key.encode()
        self._table: dict[str, dict[str, Handler]] = {
            "/health": {"GET": _empty},
            "/ping": {"GET": _empty, "POST": _empty},
            "/version": {"GET": lambda _: _json({"version": VERSION})},
            "/metrics": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/v1/chat/completions": {"POST": lambda request: self._ask(Api.CHAT, request)},
            "/v1/completions": {"POST": lambda request: self._ask(Api.COMPLETIONS, request)},
            "/generate": {"POST": self._generate},
        }

    def handle(self, request: HttpRequest) -> Reply | Ask:
        """The answer to a request; errors are answers too."""
        try:
            if request.path.startswith(GUARDED) and request.method != "OPTIONS":
                self._check_key(request.headers.get("authorization", ""))
            return self._find(request)(request)
        except refusal.Refusal as refused:
            headers = {"allow": refused.allow} if refused.allow else {}
            return Reply(refused.status, refused.body, JSON, headers)

    def count(self, request: HttpRequest, status: int) -> None:
        """Count an answered request as vLLM does: by class of status, probes and refused keys left out."""
        if request.path in UNCOUNTED or status == 401:
            return
        handler = request.path if request.method in self._table.get(request.path, {}) else "none"
        self._ledger.tally.http[handler, request.method, f"{status // 100}xx"] += 1

    def _check_key(self, header: str) -> None:
        if not self._key:
            return
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            token.encode("latin-1", "replace"), self._key
        ):
            raise refusal.unauthorized()

    def _find(self, request: HttpRequest) -> Handler:
        methods = self._table.get(request.path)
        if methods is None:
            raise refusal.detail(404, "Not Found")
        if request.method not in methods:
            raise refusal.detail(405, "Method Not Allowed", allow=", ".join(methods))
        return methods[request.method]

    def _generate(self, request: HttpRequest) -> Ask:
        """As vLLM's demo server: no key, and no content type, is asked for."""
        return read_ask(Api.GENERATE, request.body, self._settings.model, self._settings.max_model_len)

    def _ask(self, api: Api, request: HttpRequest) -> Ask:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
            raise refusal.envelope(400, "Bad Request", message, None)
        return read_ask(api, request.body, self._settings.model, self._settings.max_model_len)

    def _metrics(self, _: HttpRequest) -> Reply:
        self._ledger.settle()
        self._engine.count_running()
        return Reply(200, self._exposition.text(), exposition.CONTENT_TYPE)

    def _models(self, _: HttpRequest) -> Reply:
        model = {
            "id": self._settings.model,
            "object": "model",
            "created": self._created,
            "owned_by": "vllm-slo-simulator",
            "root": self._settings.model,
            "parent": None,
            "max_model_len": self._settings.max_model_len,
        }
        return _json({"object": "list", "data": [model]})


def _empty(_: HttpRequest) -> Reply:
    return Reply()


def _json(value: object) -> Reply:
    return Reply(200, json.dumps(value, separators=(",", ":")).encode(), JSON)
