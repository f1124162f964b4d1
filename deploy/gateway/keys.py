"""KeyRing: the keys, held as digests, and the question whose key this is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from deploy.gateway.settings import Key, Settings, SettingsError, keys_in

Headers = Iterable[tuple[bytes, bytes]]
Entries = tuple[tuple[Key, bytes], ...]


class KeyRing:
    """Keys with their SHA-256 digests; the secrets themselves are not kept.

    A plain SHA-256 is enough for secrets of 256 random bits, as `keygen` makes them: there is nothing to
    guess. A key that a person thought up belongs neither in a file nor in an environment.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        """Raises SettingsError when a secret is not there, or a key is there twice."""
        self._settings = settings
        self._fixed = tuple(
            (key, _digest_of(key, environment, f"keys.{index}")) for index, key in enumerate(settings.keys)
        )
        self._entries = self._read()

    def reload(self) -> int:
        """Read the keys_file anew; returns how many keys there are now. Raises SettingsError, and then the
        keys are those of before."""
        self._entries = self._read()
        return len(self._entries)

    def key_of(self, credential: bytes | None) -> Key | None:
        """The key that was presented, None for an unknown one or none."""
        if credential is None:
            return None
        digest, found = _sha256(credential), None
        for key, known in self._entries:  # all of them: the time taken must not tell which one matched
            if hmac.compare_digest(digest, known):
                found = key
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys, in the order of the files."""
        return tuple(key.name for key, _ in self._entries)

    def _read(self) -> Entries:
        file = self._settings.keys_file
        hashed = () if file is None else keys_in(file)
        entries = (*self._fixed, *((key, bytes.fromhex(key.sha256 or "")) for key in hashed))
        _refuse_twins(entries, len(self._fixed))
        if not entries and self._settings.authentication == "required":
            raise SettingsError(
                f"keys_file: {file} has no entry and there are no other keys, but authentication is required"
            )
        return entries


def _refuse_twins(entries: Sequence[tuple[Key, bytes]], fixed: int) -> None:
    names: set[str] = set()
    owners: dict[bytes, str] = {}
    for index, (key, digest) in enumerate(entries):
        if key.name in names:
            raise SettingsError(
                f"keys_file: the name '{key.name}' is among `keys` too; allowed: one entry a name"
            )
        if digest in owners:
            place = f"keys.{index}" if index < fixed else f"keys_file: keys.{index - fixed}"
            raise SettingsError(
                f"{place}.{'key_env' if key.key_env else 'sha256'}: "
                f"holds the same key as '{owners[digest]}'; allowed: a key each"
            )
        names.add(key.name)
        owners[digest] = key.name


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


def _digest_of(key: Key, environment: Mapping[str, str], path: str) -> bytes:
    if key.key_env is None:
        return bytes.fromhex(key.sha256 or "")
    return _sha256(secret(environment, key.key_env, f"{path}.key_env").encode())


def _sha256(credential: bytes) -> bytes:
    return hashlib.sha256(credential).digest()
