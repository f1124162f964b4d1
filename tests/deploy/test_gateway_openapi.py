"""The gateway's description of itself: what it says is there is there, and nothing else is."""

from __future__ import annotations

from typing import Any

from deploy.gateway.openapi import ERRORS, document
from deploy.gateway.settings import parse
from tests.deploy.gateway_stage import AUTHORIZED, CHAT, settings_of, stage

GENERATE = ["GET /v1/models", f"POST {CHAT}", "POST /generate"]


def described(**changed: Any) -> dict[str, Any]:
    return document(parse(settings_of("http://e:1", **changed)))


def test_paths_are_those_of_the_settings_and_the_probes() -> None:
    assert set(described()["paths"]) == {"/v1/models", CHAT, "/v1/completions", "/health", "/ready"}
    assert set(described(routes=["POST /generate"])["paths"]) == {"/generate", "/health", "/ready"}
    assert "/openapi.json" in described(openapi=True)["paths"]
    assert set(described(chat_page=True)["paths"]["/chat"]["get"]["responses"]) == {"200", "429", "503"}


def test_bounds_are_in_the_schemas() -> None:
    whole = described(bounds={"max_tokens": 99, "max_n": 3, "max_messages": 7, "max_stop": None})
    content = whole["paths"][CHAT]["post"]["requestBody"]["content"]["application/json"]
    fields = content["schema"]["properties"]
    assert fields["max_tokens"]["maximum"] == 99
    assert fields["n"]["maximum"] == 3
    assert fields["messages"]["maxItems"] == 7
    assert "maxItems" not in fields["stop"]


def test_a_bound_that_must_be_named_is_required() -> None:
    whole = described(
        bounds={"max_tokens": 9, "require_max_tokens": True}, routes=["POST /generate", f"POST {CHAT}"]
    )

    def one_of(path: str) -> list[Any]:
        schema = whole["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        return [entry["required"] for entry in schema["anyOf"]]

    assert one_of("/generate") == [["max_tokens"]]
    assert one_of(CHAT) == [["max_completion_tokens"], ["max_tokens"], ["max_output_tokens"]]


def test_keys_are_asked_for_unless_authentication_is_off() -> None:
    assert described()["paths"][CHAT]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert described(authentication="off", keys=[])["paths"][CHAT]["post"]["security"] == [{}]


def test_every_error_is_in_the_envelope() -> None:
    answers = described()["paths"][CHAT]["post"]["responses"]
    assert set(answers) == {"200", *ERRORS}
    for status in ERRORS:
        reference = answers[status]["content"]["application/json"]["schema"]["$ref"]
        assert reference == "#/components/schemas/Error"


async def test_it_is_served_only_where_it_is_asked_for() -> None:
    async with stage() as (_, running):
        assert (await running.client.get("/openapi.json", headers=AUTHORIZED)).status_code == 404
    async with stage(openapi=True, routes=GENERATE, limits={"client": "3/hour"}) as (upstream, running):
        response = await running.client.get("/openapi.json")
        assert response.status_code == 200
        assert response.json() == described(openapi=True, routes=GENERATE)
        assert (await running.client.post("/openapi.json")).status_code == 405
        assert await running.metric("gateway_requests_total", endpoint="/openapi.json") == 2
        assert (await running.client.get("/openapi.json")).status_code == 200
        assert (await running.client.get("/openapi.json")).status_code == 429  # limited like the rest
        assert upstream.requests == []


def test_the_description_says_nothing_of_the_engine() -> None:
    text = str(described(upstream={"url": "http://engine.internal:8000"}))
    assert "engine.internal" not in text
    assert "GATEWAY_KEY" not in text
