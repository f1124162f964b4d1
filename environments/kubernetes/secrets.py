"""Keys and certificates of one run, made here and kept in the run's namespace alone."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import trustme
import yaml

from environments.gateway import KEY_NAMES
from environments.kubernetes.api import FORBIDDEN, Api, ApiError, Document
from environments.profile import GatewayProfile
from environments.provider import Secret, StackNotReady
from instruments.errors import ConfigurationError

ENGINE_KEY, GATEWAY_KEYS, CERTIFICATE = "vllm-engine-key", "vllm-gateway-keys", "vllm-gateway-tls"
AUTHORITY = "vllm-ca"  # of cert-manager, where it signs
SIGNED_BOUND_S = 120.0
POLL_EVERY_S = 0.5
HIDDEN = "(a key of this run)"


def make_keys() -> dict[str, Secret]:
    """A key for each name that claims know, and the engine's."""
    return {name: Secret(f"sk-{name}-{secrets.token_urlsafe(24)}") for name in (*KEY_NAMES, "engine")}


def key_secrets(namespace: str, keys: Mapping[str, Secret], limited: GatewayProfile) -> list[Document]:
    """The Secrets that base/ asks for. The gateway gets digests only."""
    entries: list[dict[str, str]] = [
        {"name": name, "sha256": hashlib.sha256(keys[name].reveal().encode()).hexdigest()}
        for name in KEY_NAMES
    ]
    entries[-1]["limit"] = f"{limited.limited_requests} per {limited.limited_window_s} second"
    return [
        _secret(namespace, ENGINE_KEY, {"api-key": keys["engine"].reveal().encode()}),
        _secret(namespace, GATEWAY_KEYS, {"keys.yaml": yaml.safe_dump(entries).encode()}),
    ]


def certificate_secret(namespace: str, names: Sequence[str], authority_file: Path) -> Document:
    """A server certificate for these names as Secret; its authority's certificate goes into a file here."""
    authority = trustme.CA()
    server = authority.issue_cert(*names)
    authority.cert_pem.write_to_path(authority_file)
    chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    return _secret(
        namespace,
        CERTIFICATE,
        {"tls.crt": chain, "tls.key": server.private_key_pem.bytes(), "ca.crt": authority.cert_pem.bytes()},
        kind="kubernetes.io/tls",
    )


def token_secrets(namespace: str, named: Mapping[str, str]) -> tuple[list[Document], dict[str, Secret]]:
    """Secrets that the overlay asks for and that only whoever starts the run has; and their values, to hide.

    ConfigurationError where a variable is not set.
    """
    values = {name: os.environ.get(variable, "") for name, variable in named.items()}
    if lacking := [f"${named[name]}" for name, value in values.items() if not value]:
        raise ConfigurationError(
            f"{', '.join(lacking)} is not set: the stack asks for it",
            expected=f"the token of the Secret {', '.join(named)} in this environment variable",
            hint=f"export {lacking[0].removeprefix('$')}=…",
        )
    made = [_secret(namespace, name, {"token": value.encode()}) for name, value in values.items()]
    return made, {f"secret {name}": Secret(value) for name, value in values.items()}


def signs_itself(objects: Sequence[Document]) -> bool:
    """Whether the cluster makes the way in's certificate: then none of ours goes over it."""
    return any(one["kind"] == "Certificate" and one["spec"]["secretName"] == CERTIFICATE for one in objects)


def signed_authority(api: Api, namespace: str, authority_file: Path) -> Path | None:
    """The authority that cert-manager made, as a file; None where a public one signed.

    StackNotReady where the certificate is not signed within a bound.
    """
    until = time.monotonic() + SIGNED_BOUND_S
    while (leaf := api.get("v1", "Secret", CERTIFICATE, namespace)) is None:
        if time.monotonic() > until:
            raise StackNotReady(
                "the certificate of the way in was not signed",
                expected=f"the Secret {CERTIFICATE} within {SIGNED_BOUND_S:g} s",
                hint=f"kubectl --context {api.context} -n {namespace} describe certificates",
            )
        time.sleep(POLL_EVERY_S)
    return _written(api.get("v1", "Secret", AUTHORITY, namespace) or leaf, authority_file)


def readable_authority(api: Api, namespace: str, authority_file: Path) -> Path | None:
    """The authority of a stack that is there already: None without one, or where it is not ours to read."""
    try:
        found = api.get("v1", "Secret", AUTHORITY, namespace) or api.get(
            "v1", "Secret", CERTIFICATE, namespace
        )
    except ApiError as error:
        if error.status != FORBIDDEN:
            raise
        return None
    return _written(found, authority_file) if found else None


def _written(own: Document, authority_file: Path) -> Path | None:
    told = base64.b64decode((own.get("data") or {}).get("ca.crt", ""))
    if not told:
        return None
    authority_file.write_bytes(told)
    return authority_file


def hidden(text: str, keys: Mapping[str, Secret]) -> str:
    """A text without the keys of a run."""
    for key in keys.values():
        text = text.replace(key.reveal(), HIDDEN)
    return text


def _secret(namespace: str, name: str, data: Mapping[str, bytes], kind: str = "Opaque") -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "vllm-slo"},
        },
        "type": kind,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
