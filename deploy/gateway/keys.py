"""KeyRing: the secrets, held as digests, and the question whose key this is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from deploy.gateway.settings import Key, SettingsError

Headers = Iterable[tuple[bytes, bytes]]


class KeyRing:
    """Names and SHA-256 digests of the keys; the keys themselves are not kept."""

    def __init__(self, digests: Sequence[tuple[str, bytes]]) -> None:
        self._digests = tuple(digests)

    @classmethod
    def from_environment(cls, keys: Sequence[Key], environment: Mapping[str, str]) -> KeyRing:
        """The ring of these keys, each read from the variable it names. Raises SettingsError."""
        digests: list[tuple[str, bytes]] = []
        for index, key in enumerate(keys):
            digest = _digest(secret(environment, key.key_env, f"keys.{index}.key_env").encode())
            twin = next((name for name, other in digests if hmac.compare_digest(other, digest)), None)
            if twin is not None:
                raise SettingsError(
                    f"keys.{index}.key_env: holds the same key as '{twin}'; allowed: a key each"
                )
            digests.append((key.name, digest))
        return cls(digests)

    def name_of(self, credential: bytes | None) -> str | None:
        """The name of the key that was presented, None for an unknown one or none."""
        if credential is None:
            return None
        digest, found = _digest(credential), None
        for name, known in self._digests:  # all of them: the time taken must not tell which one matched
            if hmac.compare_digest(digest, known):
                found = name
        return found


def presented(headers: Headers) -> bytes | None:
    """The credential of a request: `Authorization: Bearer K` (any case) first, else `X-API-Key: K`."""
    api_key = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and credential.strip():
                return credential.strip()
        elif name == b"x-api-key" and api_key is None:
            api_key = value.strip() or None
    return api_key


def secret(environment: Mapping[str, str], variable: str, path: str) -> str:
    """The secret in an environment variable. Raises SettingsError that names the field, never the secret."""
    value = environment.get(variable, "")
    if not value:
        raise SettingsError(
            f"{path}: the environment variable {variable} is not set; allowed: one that holds the key"
        )
    if not value.isascii() or any(character.isspace() or not character.isprintable() for character in value):
        raise SettingsError(
            f"{path}: the environment variable {variable} holds spaces or unprintable characters; "
            "no header could carry that key"
        )
    return value


def _digest(credential: bytes) -> bytes:
    return hashlib.sha256(credential).digest()
