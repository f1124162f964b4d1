"""The hand-off: a running stack written down for other processes, keys and all, for its owner's eyes only."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from environments.binaries import ROOT
from environments.profile import Profile
from environments.provider import Component, Stack
from instruments.errors import ConfigurationError

FORMAT = 1
ANEW = "make stack-down && make stack"
OWNERS_ONLY = 0o600
# Fields of a Stack that another process can use as they are.
PLAIN = (
    "environment base_url model engine_url gateway_url gateway_metrics_url ingress_url ingress_http_url "
    "exporter_url prometheus_url alertmanager_url alert_receiver_url limiter_code engine simulated "
    "max_model_len"
).split()
LISTS = ("engine_urls", "scraped", "notes")
MAPPINGS = ("missing", "fingerprint", "startup_s")


def stack_place() -> Path:
    """The folder of the stack that is kept up: .cache/stack, or what VLLM_SLO_STACK names."""
    named = os.environ.get("VLLM_SLO_STACK")
    return Path(named).resolve() if named else ROOT / ".cache" / "stack"


def write_handoff(place: Path, stack: Stack, profile: Profile, began_at: str) -> None:
    """Write stack.json, ca.pem, and `authorization`, the header of the suite's key as curl takes it."""
    assert stack.ca_bundle is not None  # noqa: S101 - a stack of ours has an authority of its own
    authority = place / "ca.pem"
    authority.write_bytes(stack.ca_bundle.read_bytes())
    private(place / "authorization", f"Authorization: Bearer {stack.keys['suite'].reveal()}\n")
    document = {
        "format": FORMAT,
        "began_at": began_at,
        **{name: getattr(stack, name) for name in PLAIN},
        **{name: [*getattr(stack, name)] for name in LISTS},
        **{name: dict(getattr(stack, name)) for name in MAPPINGS},
        "limited_key": list(stack.limited_key) if stack.limited_key else None,
        "keys": {name: key.reveal() for name, key in stack.keys.items()},
        "ca_bundle": str(authority),
        "components": [_described(part, place) for part in stack.components],
        "watchers": [_described(part, place) for part in stack.watchers],
        "profile": TypeAdapter(Profile).dump_python(profile, mode="json"),
    }
    private(place / "stack.json", json.dumps(document, indent=2) + "\n")


def read_handoff(place: Path) -> dict[str, Any]:
    """The document; ConfigurationError when it cannot be read. Whether that stack still runs is not asked."""
    path = place / "stack.json"
    try:
        document = dict(json.loads(path.read_text()))
        found = document["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} does not describe a stack", seen=f"{type(error).__name__}: {error}", hint=ANEW
        ) from None
    if found != FORMAT:
        raise ConfigurationError(
            f"{path} was written by another version of this suite",
            expected=f"format {FORMAT}",
            seen=f"format {found}",
            hint=ANEW,
        )
    return document


def profile_in(document: Mapping[str, Any]) -> Profile:
    """The profile that the stack was started with."""
    try:
        return TypeAdapter(Profile).validate_python(document["profile"])
    except (KeyError, ValidationError) as error:
        raise ConfigurationError(
            "the stack that is up was started by another version of this suite",
            seen=str(error).splitlines()[0],
            hint=ANEW,
        ) from None


NAMES = ("stack.json", "authorization", "ca.pem")


def forget(place: Path) -> None:
    """Remove what leads to a stack: nobody is sent to one that goes down or is gone."""
    for name in NAMES:
        (place / name).unlink(missing_ok=True)
        for draft in place.glob(f".{name}.*"):  # of a holder that was killed while it wrote, keys and all
            draft.unlink(missing_ok=True)


def remove_left(place: Path) -> bool:
    """Remove all that a killed stack left in its folder but its logs; whether there was anything."""
    left = (place / "stack").exists() or any((place / name).exists() for name in NAMES)
    forget(place)
    shutil.rmtree(place / "stack", ignore_errors=True)
    return left


def started_at(pid: int) -> str | None:
    """When a process began, in ticks since boot: with its id it names one process. None: it runs no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _without_proc(pid)
    return fields[19] if fields[0] not in ("Z", "X") else None


def _without_proc(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "unknown"
    return None


def _described(part: Component, place: Path) -> dict[str, Any]:
    pid = part.pid
    log = place / "logs" / f"{part.name}.log"
    return {
        "name": part.name,
        "pid": pid,
        "began": started_at(pid) if pid is not None else None,
        "log": str(log),
    }


def private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNERS_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
