"""Faults provoked on purpose: the queries of the troubleshooting guide show them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from environments.binaries import find_monitoring
from environments.local import local_stack
from environments.profile import EngineProfile, Profile
from environments.provider import Stack
from tests.deploy.guides import TROUBLE, queries

BOUND_S = 60.0
USERS = 8
WAITING = "sum by (model_name) (vllm:num_requests_waiting)"
FAILED = 'sum by (status_code) (rate(gateway_requests_total{status_code=~"5.."}[5m]))'
# One place, a fifth of a second an answer, three of ten fail at once.
SICK = ("--slots", "1", "--itl-ms", "20", "--error-share", "0.3", "--error-status", "500")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A simulated engine that is sick, with eight users who do not give up."""
    if find_monitoring("prometheus") is None:
        pytest.skip("no prometheus on this machine: `make setup` unpacks one")
    profile = Profile("sick", "t", "local", EngineProfile("simulator", simulator_arguments=SICK))
    stop = threading.Event()
    with ExitStack() as cleanup:
        running = cleanup.enter_context(local_stack(profile, tmp_path_factory.mktemp("sick"), lambda _: None))
        users = [threading.Thread(target=_user, args=(running, stop)) for _ in range(USERS)]
        for one in users:
            one.start()
            cleanup.callback(one.join, BOUND_S)
        cleanup.callback(stop.set)
        yield running


def _user(stack: Stack, stop: threading.Event) -> None:
    asked = {"model": stack.model, "prompt": "why", "max_tokens": 10}
    with httpx.Client(
        base_url=stack.base_url, verify=stack.tls(), trust_env=False, timeout=BOUND_S
    ) as client:
        while not stop.is_set():
            client.post("/v1/completions", json=asked, headers=stack.headers())


def shown(stack: Stack, query: str, holds: Callable[[float], bool]) -> None:
    """Ask a query of the guide until its value holds."""
    assert query in queries(TROUBLE)
    seen: list[float] = []
    deadline = time.monotonic() + BOUND_S
    with httpx.Client(base_url=stack.prometheus_url or "", trust_env=False, timeout=10.0) as client:
        while not any(map(holds, seen[-1:])):
            assert time.monotonic() < deadline, f"{query}: not within {BOUND_S} s; seen: {seen}"
            time.sleep(0.2)
            told = client.get("/api/v1/query", params={"query": query}).raise_for_status().json()
            seen += [float(one["value"][1]) for one in told["data"]["result"]]


def test_a_queue_is_seen_as_long_as_it_is(stack: Stack) -> None:
    """Eight users and one place: seven wait."""
    shown(stack, WAITING, lambda value: value == USERS - 1)


def test_errors_are_seen_by_their_status(stack: Stack) -> None:
    shown(stack, FAILED, lambda value: value > 0)
