"""A stack that somebody else runs: found out by asking it, never started, stopped or changed."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from environments.fingerprint import machine_fingerprint
from environments.profile import DeclaredProfile, Profile
from environments.provider import SIMULATED_NOTE, Say, Secret, Stack, StackNotReady, is_simulated
from instruments.errors import ConfigurationError

REACH_BOUND_S = 10.0
SOMEBODYS = Profile("attach", "a server that this suite did not start", "attach")


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What the command line says of the stack."""

    base_url: str | None
    api_key_env: str | None = None
    ca_bundle: Path | None = None
    prometheus_url: str | None = None
    model: str | None = None


@contextmanager
def attached_stack(options: AttachOptions, say: Say, place: Profile = SOMEBODYS) -> Iterator[Stack]:
    """Ask the server what it is; StackNotReady, within seconds, when it does not answer as it should.

    `place` gives its name, the model that is meant where no option says it, and what it declares.
    """
    options = replace(options, model=options.model or place.model)
    base_url, key = check_options(options, place.name)
    declared = place.declares or DeclaredProfile()
    keys = {"suite": key} if key else {}
    context = _context(options.ca_bundle)
    say(f"asking {base_url}")
    with httpx.Client(verify=context, trust_env=False, timeout=REACH_BOUND_S) as client:
        models = _models(client, base_url, key, options)
        model = options.model or models[0]["id"]
        version = _version(client, base_url)
        scraped = _metrics_url(client, base_url)
        described = next((one for one in models if one["id"] == model), {})
    _require_prometheus(options, model)
    # A gateway may hide the version, but passes the list of models on.
    simulated = version == "simulator" or is_simulated(models)
    context_length = described.get("max_model_len")
    missing = _missing(options, base_url, scraped, context_length)
    if place.declares is not None:
        missing["limiter"] = "no key with a limit of its own is known of an attached stack"
    yield Stack(
        environment=place.name,
        base_url=base_url,
        model=model,
        keys=keys,
        ca_bundle=options.ca_bundle,
        engine_url=base_url if scraped else None,
        prometheus_url=options.prometheus_url,
        limiter_code=declared.limiter_code,
        missing=missing,
        fingerprint={
            **machine_fingerprint(),
            "profile.name": place.name,
            "engine.url": base_url,
            "engine.version": "simulator" if simulated else version or "unknown: the server does not say",
            "engine.model": model,
        },
        engine="simulator" if simulated else None,
        simulated=simulated,
        max_model_len=context_length,
        notes=[SIMULATED_NOTE] if simulated else [],
    )


def check_options(options: AttachOptions, place: str = SOMEBODYS.name) -> tuple[str, Secret | None]:
    """Base URL and key; ConfigurationError when an option cannot be used. Nobody is asked anything."""
    if not options.base_url:
        raise ConfigurationError(
            f"--env {place} needs to know where the server is",
            expected="--base-url URL",
            hint=f"pytest --env {place} --base-url https://HOST[:PORT] --api-key-env NAME",
        )
    base_url = options.base_url.rstrip("/")
    _check_url(base_url, "--base-url")
    if options.prometheus_url:
        _check_url(options.prometheus_url, "--prometheus-url")
    if options.ca_bundle and not options.ca_bundle.is_file():
        raise ConfigurationError(f"--ca-bundle {options.ca_bundle}: no such file")
    if options.api_key_env is None:
        return base_url, None
    value = os.environ.get(options.api_key_env, "")
    if not value:
        raise ConfigurationError(
            f"--api-key-env {options.api_key_env}: this variable is not set",
            expected="the name of an environment variable that holds the key",
            hint=f"export {options.api_key_env}=…",
        )
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ConfigurationError(
            f"--api-key-env {options.api_key_env}: its value cannot be sent in a header",
            expected="printable ASCII without spaces or line ends around it",
            hint=f'export {options.api_key_env}="$(cat FILE)" leaves the line end out',
        )
    return base_url, Secret(value)


def _check_url(base_url: str, option: str) -> None:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(base_url)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise ConfigurationError(f"{option} is not the URL of a server", expected="http(s)://HOST[:PORT]")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            f"{option} holds more than an address",
            expected="no user, password, query or fragment: they would stand in every report",
            hint="--api-key-env NAME, with the key in the environment variable NAME",
        )


def _context(ca_bundle: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_bundle) if ca_bundle else None)
    except ssl.SSLError as error:
        raise ConfigurationError(f"--ca-bundle {ca_bundle} holds no certificate", seen=str(error)) from None


def _models(
    client: httpx.Client, base_url: str, key: Secret | None, options: AttachOptions
) -> list[dict[str, Any]]:
    url = f"{base_url}/v1/models"
    try:
        response = client.get(url, headers={"Authorization": f"Bearer {key.reveal()}"} if key else {})
    except httpx.HTTPError as error:
        raise StackNotReady(
            f"no answer from {url}",
            expected=f"a list of models within {REACH_BOUND_S:g} s",
            seen=f"{type(error).__name__}: {error}",
            hint="check the URL; for a private certificate authority give --ca-bundle FILE",
        ) from None
    if response.status_code in (401, 403):
        given = f"the key in ${options.api_key_env}" if options.api_key_env else "no key"
        raise StackNotReady(
            f"{url} refused {given}",
            expected="HTTP 200",
            seen=f"HTTP {response.status_code}",
            hint="--api-key-env NAME, with the key in the environment variable NAME",
        )
    try:
        found = response.json()["data"]
        names = [one["id"] for one in found]
    except (ValueError, KeyError, TypeError):
        raise StackNotReady(
            f"{url} is not an OpenAI-compatible list of models",
            expected='HTTP 200 and {"data": [{"id": …}]}',
            seen=f"HTTP {response.status_code}: {response.text[:200]!r}",
        ) from None
    if not names or (options.model and options.model not in names):
        raise StackNotReady(
            f"the server does not serve the model {options.model!r}"
            if options.model
            else f"{url} lists no model",
            expected="--model with a name that the server lists",
            seen=", ".join(names) or "none",
        )
    return list(found)


def _version(client: httpx.Client, base_url: str) -> str | None:
    try:
        response = client.get(f"{base_url}/version")
        if "simulator" in response.headers.get("server", ""):
            return "simulator"
        return f"vllm {response.json()['version']}" if response.status_code == 200 else None
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None  # optional: a gateway in front need not let it pass


def _metrics_url(client: httpx.Client, base_url: str) -> str | None:
    try:
        response = client.get(f"{base_url}/metrics")
    except httpx.HTTPError:
        return None
    return f"{base_url}/metrics" if response.status_code == 200 and "vllm:" in response.text else None


def _require_prometheus(options: AttachOptions, model: str) -> None:
    """The Prometheus that was named has to answer, and to know the model; StackNotReady otherwise."""
    if not options.prometheus_url:
        return
    url = f"{options.prometheus_url.rstrip('/')}/api/v1/query"
    asked = f'vllm:num_requests_running{{model_name="{model}"}}'
    try:
        with httpx.Client(verify=_context(options.ca_bundle), trust_env=False) as client:
            answer = client.get(url, params={"query": asked}, timeout=REACH_BOUND_S)
        found = len(answer.json()["data"]["result"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise StackNotReady(
            f"--prometheus-url: no answer to a query from {url}",
            expected=f"the answer of a Prometheus within {REACH_BOUND_S:g} s",
            seen=f"{type(error).__name__}: {error}",
        ) from None
    if not found:
        raise StackNotReady(
            "--prometheus-url: this Prometheus does not scrape the model",
            expected=f"at least one series of {asked}",
            seen="none",
            hint="name the Prometheus that scrapes this server, or leave the option out",
        )


def _missing(
    options: AttachOptions, base_url: str, scraped: str | None, context: int | None
) -> dict[str, str]:
    missing = {
        "gateway": "an attached stack's gateway is not known to this suite",
        "gateway_metrics": "an attached stack's gateway metrics are not known to this suite",
        "ingress": "what stands before an attached stack is not known to this suite",
        "exporter": "no GPU exporter was named for the attached stack",
        "limiter": "the rate limits of an attached stack are not known",
        "alertmanager": "no Alertmanager was named for the attached stack",
        "exclusive": "other clients may use an attached stack: its counters are not ours alone",
    }
    if context is None:
        missing["context_length"] = "the server does not say how long a prompt may be"
    if not scraped:
        missing["engine_metrics"] = f"{base_url}/metrics does not show vLLM's metrics"
    if not options.prometheus_url:
        missing["prometheus"] = "no --prometheus-url was given"
    if not base_url.startswith("https://"):
        missing["tls"] = "the base URL is plain HTTP"
    if options.api_key_env is None:
        missing["keys"] = "no --api-key-env was given: nothing to compare a wrong key with"
    return missing
