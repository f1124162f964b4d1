"""The gateway under requests that break every rule, and under those that its own description allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploy.gateway.openapi import document
from deploy.gateway.settings import parse
from tests.deploy.running import simulator
from tests.fuzz import gateway, gateway_target
from tests.fuzz.gateway_shapes import KEY

REQUESTS = 5000
CASES = 15  # of each operation


async def test_no_shape_of_a_request_makes_a_5xx_a_hang_or_a_leak(tmp_path: Path) -> None:
    done, findings = await gateway.run(REQUESTS, seed=5, seconds=20, folder=tmp_path)
    assert findings.counts == {}
    assert done > 200, "the machine was too slow to have tested anything"
    # what was sent is refused in all the ways there are, and some of it is served
    assert set(findings.statuses) >= {200, 400, 401, 404, 405}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway before a simulated engine that says in vLLM's own words what is wrong with a request."""
    folder = tmp_path_factory.mktemp("described")
    with simulator(folder, key="") as engine, asyncio.Runner() as runner:
        up = gateway_target.target(engine.url, folder)
        started = runner.run(up.__aenter__())
        try:
            yield str(started.url)
        finally:
            runner.run(up.__aexit__(None, None, None))


DESCRIBED = document(parse(gateway_target.settings_of("http://127.0.0.1:1")))
OPERATIONS = [(method.upper(), path) for path, each in DESCRIBED["paths"].items() for method in each]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_the_description_allows_is_answered_as_it_says(served: str, method: str, path: str) -> None:
    operation = schemathesis.openapi.from_dict(DESCRIBED)[path][method]
    statuses: list[int] = []

    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def each(case: schemathesis.Case[Any]) -> None:
        case.headers.pop("Authorization", None)  # a made-up one would come before the key that is one
        case.headers["X-API-Key"] = KEY
        if isinstance(case.body, dict):
            case.body.pop("model", None)  # made up, it is the engine's 404 each time
        response = case.call(base_url=served)
        statuses.append(response.status_code)
        case.validate_response(
            response,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )

    each()
    assert 200 in statuses
