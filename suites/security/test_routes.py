"""Who is let in where: every route by every way in, with every way to show a key?

Load: some thousand single requests, each claim from an address of its own, as limits count by address.
Bound: none; each cell of the table has one answer. Needs: gateway, keys; by way "gateway"
an ingress before it. Costs about 12 s.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.security, pytest.mark.needs("gateway", "keys")]

MODELS = "/v1/models"
GUARDED = [("GET", MODELS), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions")]
METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE")
WAYS = ["front", pytest.param("gateway", marks=pytest.mark.needs("ingress"))]
Headers = dict[str, str]


def basic(user: str, secret: str) -> Headers:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"}


# How a key is shown -> headers and query; and whether that lets its owner in.
SHOWN: dict[str, tuple[Callable[[str], Headers], str, bool]] = {
    "none": (lambda _: {}, "", False),
    "bearer": (lambda key: {"Authorization": f"Bearer {key}"}, "", True),
    "bearer-in-small-letters": (lambda key: {"authorization": f"bearer {key}"}, "", True),
    "x-api-key": (lambda key: {"X-API-Key": key}, "", True),
    "wrong-bearer": (lambda _: {"Authorization": "Bearer sk-wrong"}, "", False),
    "wrong-x-api-key": (lambda _: {"X-API-Key": "sk-wrong"}, "", False),
    "empty-bearer": (lambda _: {"Authorization": "Bearer"}, "", False),
    "one-letter-less": (lambda key: {"Authorization": f"Bearer {key[:-1]}"}, "", False),
    "one-letter-more": (lambda key: {"Authorization": f"Bearer {key}x"}, "", False),
    "other-case": (lambda key: {"Authorization": f"Bearer {key.swapcase()}"}, "", False),
    "without-a-scheme": (lambda key: {"Authorization": key}, "", False),
    "other-scheme": (lambda key: {"Authorization": f"Token {key}"}, "", False),
    "basic-user": (lambda key: basic(key, ""), "", False),
    "basic-password": (lambda key: basic("suite", key), "", False),
    "query": (lambda _: {}, "?api_key={key}&key={key}&access_token={key}", False),
    "cookie": (lambda key: {"Cookie": f"api_key={key}; Authorization=Bearer {key}"}, "", False),
    "other-header": (lambda key: {"Proxy-Authorization": f"Bearer {key}", "Api-Key": key}, "", False),
}


def small(model: str, path: str) -> dict[str, object]:
    said = {"messages": [{"role": "user", "content": "hi"}]} if "chat" in path else {"prompt": "hi"}
    return {"model": model, "max_tokens": 1, **said}


def asked(
    client: httpx.Client, method: str, path: str, model: str, headers: Headers | None = None
) -> httpx.Response:
    body = small(model, path) if method == "POST" else None
    return client.request(method, path, json=body, headers=headers or {})


@pytest.mark.claim("host-a6000", "minikube-rtx3060")
@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize(("method", "path"), GUARDED, ids=["models", "chat", "completions"])
@pytest.mark.parametrize("way", WAYS)
def test_a_guarded_route_opens_for_a_key_in_its_header_only(guest, stack, way, method, path, shown):
    """What generates or tells opens for the right key as Bearer or X-API-Key, and for nothing else"""
    headers, query, let_in = SHOWN[shown]
    key = stack.keys["suite"].reveal()
    answer = asked(guest(way), method, path + query.format(key=key), stack.model, headers(key))
    assert answer.status_code == (200 if let_in else 401), answer.text[:200]
    if not let_in:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["error"]["code"] == 401
        assert key not in answer.text


@pytest.mark.claim("host-a6000")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("method", "path"), GUARDED, ids=["models", "chat", "completions"])
def test_the_engines_own_key_opens_nothing_where_clients_are(guest, stack, way, method, path):
    """The key between gateway and engine is no key of a client"""
    if "engine" not in stack.keys:
        pytest.skip("the engine's own key is somebody else's")
    headers = stack.headers("engine")
    assert asked(guest(way), method, path, stack.model, headers).status_code == 401


@pytest.mark.claim("host-a6000", "eks-s3")
@pytest.mark.parametrize(
    ("shown", "status"),
    [("none", 401), ("a-clients-key", 401), ("its-own-as-x-api-key", 401), ("its-own", 200)],
)
@pytest.mark.parametrize(("method", "path"), GUARDED, ids=["models", "chat", "completions"])
def test_the_engine_itself_wants_its_own_key(guest, stack, method, path, shown, status):
    """Whoever reaches the engine past all else gets nothing of /v1 without the engine's own key"""
    if "engine" not in stack.keys:
        pytest.skip("the engine's own key is somebody else's")
    headers = {
        "none": {},
        "a-clients-key": stack.headers("suite"),
        "its-own-as-x-api-key": {"X-API-Key": stack.keys["engine"].reveal()},
        "its-own": stack.headers("engine"),
    }[shown]
    assert asked(guest("engine"), method, path, stack.model, headers).status_code == status


CLOSED = (
    "/", "/metrics", "/version", "/load", "/ping", "/docs", "/redoc", "/openapi.json",
    "/tokenize", "/detokenize", "/tokenizer_info", "/invocations", "/generative_scoring",
    "/inference/v1/generate", "/start_profile", "/stop_profile",
    "/scale_elastic_ep", "/is_scaling_elastic_ep", "/kv_event_sources", "/pause", "/resume", "/is_paused",
    "/sleep", "/wake_up", "/is_sleeping", "/server_info", "/reset_prefix_cache", "/collective_rpc",
    "/pooling", "/score", "/rerank", "/classify", "/v2/rerank", "/cohere/v2/embed",
    "/v1", "/v1/embeddings", "/v1/responses", "/v1/load_lora_adapter", "/v1/files", "/generate", "/chat",
    "/debug/pprof", "/.env", "/nginx_status",
)  # fmt: skip


def skip_what_is_offered(profile: Any, path: str) -> None:
    """A place may offer more than the three routes; that is its own choice, and said in its settings."""
    said = profile.gateway.settings
    offered = {route.split(" ")[-1] for route in said.get("routes", ())}
    offered |= {"/chat"} if said.get("chat_page") else set()
    offered |= {"/openapi.json"} if said.get("openapi") else set()
    if path in offered - {guarded for _, guarded in GUARDED}:
        pytest.skip(f"{profile.name} offers {path}")


@pytest.mark.claim("eks-s3", "host-a6000", "nobody")
@pytest.mark.parametrize("key", [None, "suite"], ids=["no-key", "right-key"])
@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_on_the_list_is_not_there(guest, profile, way, path, key):
    """Nothing but the listed routes answers, by any method, with a key or without"""
    skip_what_is_offered(profile, path)
    client = guest(way, key=key)
    found = {method: client.request(method, path).status_code for method in METHODS}
    assert found == dict.fromkeys(METHODS, 404)


@pytest.mark.needs("exclusive", "engine_metrics")
@pytest.mark.claim("nobody")
@pytest.mark.parametrize("way", WAYS)
def test_the_engine_hears_nothing_of_what_is_refused(guest, stack, engine_counts, way):
    """Of refused keys, of closed paths and of wrong methods the engine hears nothing"""
    before = engine_counts()
    client = guest(way)
    for path in ("/invocations", "/tokenize", "/metrics", "/ping", "/v1/embeddings"):
        assert client.post(path, json={"prompt": "hi"}, headers=stack.headers()).status_code == 404
    for method, path in GUARDED:
        assert asked(client, method, path, stack.model).status_code == 401
        assert client.delete(path, headers=stack.headers()).status_code == 405
    assert engine_counts() == before


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"])
@pytest.mark.parametrize("path", [MODELS, "/v1/chat/completions", "/health"])
@pytest.mark.parametrize("way", WAYS)
def test_a_method_that_is_not_offered_is_refused(stack, wire, way, path, method):
    """A method that a route does not have is refused, whoever asks"""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    with wire(way) as line:
        line.send(f"{head}Authorization: {stack.headers()['Authorization']}\r\n\r\n".encode())
        (answer,) = line.answers()
    assert answer.status in {400, 405, 501}


# As it stands in the request line -> what it means; None: nothing that is here.
SPELLED = {
    "//v1/models": None, "/v1//models": None, "/v1/models/": None, "/V1/models": None, "/v1/MODELS": None,
    "/v1/models;a=1": None, "/v1/models%20": None, "/v1/models%2f": None, "/v1/models%00": None,
    "/v1/./models": None, "/v1/x/../models": None, "/metrics/../v1/models": None, "/v1/../metrics": None,
    "/v1/%2e%2e/metrics": None,
    "/v1/..%2fmetrics": None, "/v1/..;/metrics": None, "/v1/..%5cmetrics": None, "/v1\\..\\metrics": None,
    "/v1/%252e%252e/metrics": None, "/health/../metrics": None, "/health%2f..%2fmetrics": None,
    "/v1/models/..%2f..%2fmetrics": None, "/v1/models%3fa": None, "/v1/models%23": None, "/%2fmetrics": None,
    "/v1/models?a=1": MODELS, "/v1/%6dodels": MODELS, "/%76%31/models": MODELS,
}  # fmt: skip


@pytest.mark.claim("nobody")
@pytest.mark.parametrize("key", [None, "suite"], ids=["no-key", "right-key"])
@pytest.mark.parametrize("spelled", SPELLED)
@pytest.mark.parametrize("way", WAYS)
def test_a_path_means_one_thing_however_it_is_written(stack, wire, way, spelled, key):
    """No spelling of a path leads past the list or past the key"""
    shown = f"Authorization: {stack.headers()['Authorization']}\r\n" if key else ""
    with wire(way) as line:
        line.send(f"GET {spelled} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{shown}\r\n".encode())
        (answer,) = line.answers()
    if SPELLED[spelled] is None:
        assert answer.status in {400, 404}
    else:
        assert answer.status == (200 if key else 401)


@pytest.mark.claim("nobody")
@pytest.mark.parametrize(
    "header",
    ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Prefix", "X-Accel-Redirect"],
)
@pytest.mark.parametrize("way", WAYS)
def test_no_header_renames_a_request(guest, way, header):
    """A header that claims another path or method changes nothing"""
    meant = "POST" if "Method" in header else "/metrics"
    client = guest(way, headers={header: meant})
    plain = client.get("/health")
    assert (plain.status_code, "gateway_" in plain.text) == (200, False)
    assert client.get(MODELS).status_code == 401


@pytest.mark.claim("host-a6000", "kubeadm-ec2")
@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize("way", WAYS)
def test_probes_need_no_key_and_tell_nothing(guest, stack, way, path):
    """Probes answer without a key, and tell nobody what stands behind"""
    answer = guest(way).get(path)
    assert answer.status_code == 200
    told = json.dumps([dict(answer.headers), answer.text])
    within = [stack.model, *(url.partition("//")[2] for url in stack.engine_urls)]
    assert not [word for word in within if word and word in told]
