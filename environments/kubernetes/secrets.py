"""Keys and certificates of one run, made here and kept in the run's namespace alone."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import trustme
import yaml

from environments.gateway import KEY_NAMES
from environments.kubernetes.api import Document
from environments.profile import GatewayProfile
from environments.provider import Secret

ENGINE_KEY, GATEWAY_KEYS, CERTIFICATE = "vllm-engine-key", "vllm-gateway-keys", "vllm-gateway-tls"


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
