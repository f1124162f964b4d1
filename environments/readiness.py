"""Waits with a bound: what was waited for, what was last seen, what to try."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import httpx

from environments.provider import Component, StackNotReady

POLL_EVERY_S = 0.05


class Probe(Protocol):
    def __call__(self) -> str | None:
        """None when ready, else what was seen instead, in one line."""
        ...


def wait_until(
    probe: Probe,
    what: str,
    *,
    bound_s: float,
    components: tuple[Component, ...] = (),
    hint: str | None = None,
    tick: Callable[[float], None] | None = None,
) -> float:
    """Poll until ready and return the seconds it took. StackDied as soon as a component it needs ends."""
    began = time.monotonic()
    while True:
        seen = probe()
        waited_s = time.monotonic() - began
        if seen is None:
            return waited_s
        for component in components:
            component.check()
        if waited_s > bound_s:
            tails = "".join(f"\n  {one.name}, last lines:\n{one.log_tail()}" for one in components)
            raise StackNotReady(
                f"{what}: not within {bound_s:g} s", expected=what, seen=f"{seen}{tails}", hint=hint
            )
        if tick is not None:
            tick(waited_s)
        time.sleep(POLL_EVERY_S)


def answers(url: str, client: httpx.Client, headers: Mapping[str, str] | None = None) -> Probe:
    """Ready when a GET of the URL gives 200."""

    def probe() -> str | None:
        try:
            response = client.get(url, headers=dict(headers or {}), timeout=2.0)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        return None if response.status_code == 200 else f"HTTP {response.status_code}: {response.text[:200]}"

    return probe
