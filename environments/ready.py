"""The wait for a whole stack: each part in turn, each with its bound, while all start side by side."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable

import httpx

from environments.monitoring import wait_for_monitoring
from environments.parts import Parts
from environments.profile import Profile
from environments.provider import Say
from environments.readiness import answers, wait_until

GATEWAY_BOUND_S = 30.0
EXPORTER_BOUND_S = 30.0


def wait_for_all(
    profile: Profile, parts: Parts, context: ssl.SSLContext, say: Say, began_s: float
) -> dict[str, float]:
    """Seconds from the beginning to ready, by part. StackNotReady or StackDied names the part and its log."""
    assert profile.engine is not None  # noqa: S101 - the profile was checked
    ready_s: dict[str, float] = {}

    def note(name: str) -> None:
        ready_s[name] = time.monotonic() - began_s
        say(f"{name} ready after {ready_s[name]:.1f} s")

    say(f"engine ({profile.engine.kind}) is starting")
    with httpx.Client(trust_env=False) as plain, httpx.Client(verify=context, trust_env=False) as trusting:
        _wait_for_serving(profile.engine.ready_timeout_s, parts, plain, trusting, note)
        if parts.exporter is not None:
            wait_until(
                answers(parts.exporter.metrics_url, plain),
                f"the GPU exporter's {parts.exporter.metrics_url} answers 200",
                bound_s=EXPORTER_BOUND_S,
                components=(parts.exporter.process,),
            )
            note("exporter")
        if parts.monitoring.prometheus_url:
            wait_for_monitoring(parts.monitoring, set(parts.jobs), plain)
            note("monitoring")
    return ready_s


def _wait_for_serving(
    engine_bound_s: float,
    parts: Parts,
    plain: httpx.Client,
    trusting: httpx.Client,
    note: Callable[[str], None],
) -> None:
    for url in parts.engine.urls:
        wait_until(
            answers(f"{url}/health", plain),
            f"the engine's {url}/health answers 200",
            bound_s=engine_bound_s,
            components=parts.serving,
            hint="a longer engine.ready_timeout_s in the profile, or read logs/engine.log of this run",
        )
    note("engine")
    wait_until(
        answers(f"{parts.gateway.url}/ready", trusting),
        f"the gateway's {parts.gateway.url}/ready answers 200",
        bound_s=GATEWAY_BOUND_S,
        components=parts.serving,
    )
    note("gateway")
    if parts.ingress is not None:
        wait_until(
            answers(f"{parts.ingress.url}/ready", trusting),
            f"{parts.ingress.url}/ready answers 200 through the ingress",
            bound_s=GATEWAY_BOUND_S,
            components=parts.serving,
        )
        note("ingress")
