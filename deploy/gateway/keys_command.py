"""Keygen: makes a key, shows it once, and writes down only its digest."""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "sk-"
RANDOM_BYTES = 32
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


def new_key(name: str) -> tuple[str, str]:
    """A key of 256 random bits, and its entry for a keys_file. Raises ValueError for an unusable name."""
    if not _NAME.fullmatch(name) or name == "anonymous":
        raise ValueError(
            f"the name of a key must match {_NAME.pattern} and not be 'anonymous', which is taken; "
            f"found {name!r}"
        )
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f'- {{name: {name}, sha256: "{digest}"}}'
