"""Other origins: none by default, whatever the engine says; those named, exactly; their preflights."""

from __future__ import annotations

import httpx
import pytest

from tests.deploy.gateway_stage import AUTHORIZED, CHAT, Running, saying, stage

PAGE, OTHER = "https://chat.example.org", "https://evil.example.org"
CORS = {"origins": [PAGE, "http://localhost:3000"]}
GENEROUS = (
    "Access-Control-Allow-Origin: *",
    "Access-Control-Allow-Credentials: true",
    "Access-Control-Expose-Headers: x",
    "Access-Control-Max-Age: 5",
)


def grants(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def preflight(running: Running, origin: str, method: str = "POST", path: str = CHAT) -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response: httpx.Response = await running.client.request("OPTIONS", path, headers=headers)
    return response


async def test_off_by_default_though_the_engine_allows_everybody() -> None:
    async with stage() as (upstream, running):
        upstream.script = saying(200, b"{}", *GENEROUS)
        response = await running.client.post(CHAT, headers={**AUTHORIZED, "Origin": PAGE}, json={})
        assert (response.status_code, grants(response)) == (200, {})
        assert upstream.requests[0].header("origin") is None
        assert (await preflight(running, PAGE)).status_code == 405


@pytest.mark.parametrize(
    ("origin", "granted"),
    [
        (PAGE, PAGE),
        ("http://localhost:3000", "http://localhost:3000"),
        (OTHER, None),
        (f"{PAGE}.evil.org", None),
        (f"{PAGE}:443", None),
        ("http://chat.example.org", None),
        ("https://CHAT.example.org", None),
        ("null", None),
        ("*", None),
    ],
)
async def test_an_origin_is_allowed_exactly_or_not_at_all(origin: str, granted: str | None) -> None:
    async with stage(cors=CORS) as (upstream, running):
        upstream.script = saying(200, b"{}", *GENEROUS)
        response = await running.client.post(CHAT, headers={**AUTHORIZED, "Origin": origin}, json={})
        assert response.status_code == 200
        assert response.headers.get("access-control-allow-origin") == granted
        assert "access-control-allow-credentials" not in response.headers
        assert response.headers["vary"] == "origin"
        assert (await preflight(running, origin)).status_code == (204 if granted else 403)


async def test_a_preflight_needs_no_key_and_asks_no_engine() -> None:
    async with stage(cors=CORS) as (upstream, running):
        response = await preflight(running, PAGE)
        assert (response.status_code, response.content) == (204, b"")
        allowed = grants(response)
        assert allowed["access-control-allow-methods"] == "POST"
        assert "authorization" in allowed["access-control-allow-headers"].split(", ")
        assert allowed["access-control-max-age"] == "600"
        for method, path in (
            ("DELETE", CHAT),
            ("GET", CHAT),
            ("POST", "/metrics"),
            ("GET", "/v1/../metrics"),
        ):
            assert (await preflight(running, PAGE, method, path)).status_code == 403
        assert upstream.requests == []


async def test_preflights_are_limited_like_everything_else() -> None:
    async with stage(cors=CORS, limits={"client": "3/hour"}) as (_, running):
        answers = [await preflight(running, PAGE) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [204, 204, 204, 429, 429]


async def test_a_page_can_read_a_refusal_too() -> None:
    async with stage(cors=CORS, limits={"key": "1/hour"}) as (_, running):
        page = {"Origin": PAGE}
        for headers, status in ((page, 401), ({**page, **AUTHORIZED}, 200), ({**page, **AUTHORIZED}, 429)):
            response = await running.client.get("/v1/models", headers=headers)
            assert (response.status_code, grants(response)["access-control-allow-origin"]) == (status, PAGE)
            assert "retry-after" in grants(response)["access-control-expose-headers"]


async def test_options_that_are_no_preflight_are_405() -> None:
    async with stage(cors=CORS) as (_, running):
        response = await running.client.request("OPTIONS", CHAT, headers={"Origin": PAGE})
        assert response.status_code == 405
