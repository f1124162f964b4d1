"""Which instruments run here: the same on both sides, or the parts of a run are not of one load."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOM = Path(__file__).resolve().parents[1]
# What a worker is made of, and what its image has of this room.
FOLDERS = ("", "arrivals", "remote", "transport", "workloads")


def digest(room: Path = ROOM) -> str:
    """SHA-256 over names and texts."""
    made = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((room / folder).glob("*.py")):
            made.update(f"{folder}/{path.name}\0".encode() + path.read_bytes())
    return made.hexdigest()
