"""The fingerprint: all that could change a number, as names and words."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from environments.binaries import ROOT
from environments.profile import Profile

WHOLLY_READ_BYTES = 67_108_864  # weights of a real model would take minutes to read


def machine_fingerprint() -> dict[str, str]:
    """What this machine and this client are."""
    return {
        "client.python": platform.python_version(),
        "client.pytest": version("pytest"),
        "client.commit": _commit(),
        "machine.system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "machine.cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "machine.memory_gib": _memory_gib(),
        "machine.cpu": _cpu_model(),
        "machine.accelerator": _accelerator(),
    }


def profile_fingerprint(profile: Profile) -> dict[str, str]:
    """What the profile asks for."""
    asked = hashlib.sha256(repr(sorted(asdict(profile).items())).encode()).hexdigest()[:16]
    found = {"profile.name": profile.name, "profile.sha256": asked}
    if profile.ingress is not None and profile.ingress.kind != "none":
        limits = profile.ingress
        found["ingress.rate"] = (
            f"{limits.rate}, burst {limits.burst}, {limits.streams} open, then {limits.reject_code}"
        )
        found["ingress.own_rate"] = f"{limits.own_rate} for {', '.join(limits.own_addresses) or 'nobody'}"
    if profile.engine is not None:
        found["engine.kind"] = profile.engine.kind
        found["engine.model"] = profile.engine.model
        found["engine.arguments"] = " ".join(profile.engine.arguments) or "(none)"
        if profile.engine.interposer:
            found["engine.interposer"] = " ".join(profile.engine.interposer)
    return found


def files_fingerprint(folder: Path) -> str:
    """A hash over a folder's files, names included; of a file above 64 MiB over its size alone."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file():
            size = path.stat().st_size
            digest.update(path.name.encode() + b"\0")
            digest.update(path.read_bytes() if size <= WHOLLY_READ_BYTES else f"{size} bytes".encode())
    return digest.hexdigest()[:16]


def _commit() -> str:
    said = _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12")
    return said or "not a git checkout"


def _accelerator() -> str:
    query = "--query-gpu=name,driver_version,memory.total"
    return _first_line("nvidia-smi", query, "--format=csv,noheader") or "none"


def _first_line(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None


def _memory_gib() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f}"
    except (ValueError, OSError):
        return "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
