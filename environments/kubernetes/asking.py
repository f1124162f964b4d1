"""Asking a stack in a cluster what it is, by its way in and past it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from environments.provider import Secret, StackNotReady, is_simulated

ANSWER_BOUND_S = 120.0  # a balancer sends nobody on before it has looked at its targets
ASK_BOUND_S = 5.0
AGAIN_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Served:
    """What the way in says of the model."""

    model: str
    simulated: bool
    max_model_len: int | None


def served(
    base_url: str,
    key: Secret | None,
    ca_bundle: Path | None,
    model: str | None,
    bound_s: float = ANSWER_BOUND_S,
) -> Served:
    """The model behind a way in, waited for; StackNotReady with the last answer, or without this model."""
    found = _models(f"{base_url}/v1/models", key, ca_bundle, bound_s)
    named = {str(one["id"]): one for one in found}
    if not named or (model is not None and model not in named):
        raise StackNotReady(
            f"the stack does not serve the model {model!r}" if model else "the stack serves no model",
            expected="the profile's model, or --model with a name that is served",
            seen=", ".join(named) or "none",
        )
    chosen = model or next(iter(named))
    return Served(chosen, is_simulated(found), named[chosen].get("max_model_len"))


def engine_version(engine_url: str | None, *, simulated: bool) -> str:
    """As the engine says it itself, in words."""
    if simulated:
        return "simulator"
    if engine_url is None:
        return "unknown: the engine is not reached past its gateway"
    try:
        with httpx.Client(trust_env=False, timeout=ASK_BOUND_S) as client:
            answer = client.get(f"{engine_url}/version")
            return f"vllm {answer.json()['version']}"
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return "unknown: the engine does not say"


def _models(url: str, key: Secret | None, ca_bundle: Path | None, bound_s: float) -> Sequence[dict[str, Any]]:
    context = ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    until, seen = time.monotonic() + bound_s, ""
    with httpx.Client(verify=context, trust_env=False, timeout=ASK_BOUND_S) as client:
        while True:
            try:
                answer = client.get(url, headers={"Authorization": f"Bearer {key.reveal()}"} if key else {})
                if answer.status_code == 200:
                    return list(answer.json()["data"])
                seen = f"HTTP {answer.status_code}: {answer.text[:200]}"
            except httpx.HTTPError as error:
                seen = f"{type(error).__name__}: {error}"
            except (ValueError, KeyError, TypeError):
                seen = f"no list of models: {answer.text[:200]!r}"
            if time.monotonic() > until or seen.startswith(("HTTP 401", "HTTP 403")):
                raise StackNotReady(
                    f"no list of models from {url}", expected=f"HTTP 200 within {bound_s:g} s", seen=seen
                )
            time.sleep(AGAIN_EVERY_S)
