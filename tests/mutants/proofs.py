"""Proofs kept from run to run: by which claims each fault was last caught, and whether they have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from environments.binaries import ROOT

from .mutant import Mutant
from .run import Proof
from .table import by_function, shortened

FILE = Path(__file__).with_name("proofs.json")
Kept = Mapping[str, Mapping[str, Any]]


def kept(path: Path = FILE) -> dict[str, dict[str, Any]]:
    """What was kept, by the mutant's name; nothing where there is no file yet."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def keep(proof: Proof, path: Path = FILE) -> dict[str, dict[str, Any]]:
    """Keep one proof; of a mutant that was not proved nothing stays. Returns all that is kept.

    One that could not be asked here keeps what was proved elsewhere.
    """
    found = kept(path)
    if proof.skipped:
        return found
    found.pop(proof.mutant.name, None)
    if proof.holds:
        caught = [
            {
                "claim": name,
                "times": len(claims),
                "undecided": all(one.undecided for one in claims),
                "reason": shortened(claims[0].reason),
            }
            for name, claims in by_function(proof.caught).items()
        ]
        known = {"claims_sha256": claims_of(proof.mutant), "seconds": round(proof.seconds), "caught": caught}
        found[proof.mutant.name] = known
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)
    return found


def stale(mutant: Mutant, found: Kept) -> bool:
    """Whether it was never proved, or its claims' files have changed since."""
    known = found.get(mutant.name)
    return known is None or known["claims_sha256"] != claims_of(mutant)


def claims_of(mutant: Mutant) -> str:
    """A hash of the files that hold its claims."""
    named = {ROOT / part.partition("::")[0] for part in mutant.scope}
    files = sorted(file for one in named for file in (one.rglob("test_*.py") if one.is_dir() else [one]))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()[:16]
