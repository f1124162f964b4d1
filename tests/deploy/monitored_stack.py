"""A real stack with everything that panels show, and the traffic that makes them show it."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import httpx
from pydantic import TypeAdapter

from environments.local import local_stack
from environments.monitoring import RULES
from environments.profile import Profile, profile_path
from environments.provider import Stack
from instruments.catalog import checked, read_yaml

BOUND_S = 60.0
Kind = Callable[[Stack, httpx.Client], None]
MESSAGES = [{"role": "user", "content": "Which of the panels shows how long I waited for this?"}]


@contextmanager
def hasty_rules(folder: Path) -> Iterator[None]:
    """Meanwhile environments are given our rules with shorter waits.

    15 s and 30 s between evaluations are 3 s, and an alert's first 10 s are 1 s. The waits as they are stand
    in the stories that promtool is told.
    """
    shutil.copytree(RULES, folder)
    for path in folder.glob("*.yml"):
        text = re.sub(r"^( +interval:) (15|30)s$", r"\1 3s", path.read_text(), flags=re.MULTILINE)
        path.write_text(re.sub(r"^( +for:) 10s$", r"\1 1s", text, flags=re.MULTILINE))
    with mock.patch("environments.monitoring.RULES", folder):
        yield


@contextmanager
def monitored_stack(folder: Path) -> Iterator[Stack]:
    """The host's stack without NGINX before it, which no panel shows."""
    path = profile_path("host")
    profile = checked(read_yaml(path), TypeAdapter(Profile), str(path))
    with (
        hasty_rules(folder / "rules"),
        local_stack(replace(profile, ingress=None), folder, lambda _: None) as stack,
    ):
        yield stack


@contextmanager
def traffic(stack: Stack) -> Iterator[None]:
    """All kinds of requests, over and over, until it is left. A request that fails is part of it."""
    stop = threading.Event()
    kinds = (_streams, _answers, _refusals)
    threads = [threading.Thread(target=_repeat, args=(kind, stack, stop)) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(BOUND_S)


def _repeat(kind: Kind, stack: Stack, stop: threading.Event) -> None:
    with httpx.Client(
        base_url=stack.base_url, verify=stack.tls(), trust_env=False, timeout=BOUND_S
    ) as client:
        while not stop.is_set():
            kind(stack, client)
            stop.wait(0.2)


def _body(stack: Stack, tokens: int, *, stream: bool) -> dict[str, object]:
    return {"model": stack.model, "messages": MESSAGES, "max_tokens": tokens, "stream": stream}


def _streams(stack: Stack, client: httpx.Client) -> None:
    """A whole stream, and one that its client leaves after the first bytes."""
    for leaves in (False, True):
        tokens = 400 if leaves else 40
        asked = client.stream(
            "POST",
            "/v1/chat/completions",
            json=_body(stack, tokens, stream=True),
            headers=stack.headers(),
        )
        with asked as answer:
            for _ in answer.iter_raw():
                if leaves:
                    break


def _answers(stack: Stack, client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json=_body(stack, 60, stream=False), headers=stack.headers())
    client.post("/v1/completions", json={"model": "nobody", "prompt": "x"}, headers=stack.headers())


def _refusals(stack: Stack, client: httpx.Client) -> None:
    """A wrong key, a path that is not let through, and a key whose limit is soon used up."""
    client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
    client.get("/metrics", headers=stack.headers())
    for _ in range(6):
        client.get("/v1/models", headers=stack.headers("limited"))
