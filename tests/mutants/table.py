"""Claim × fault: what is said as mutants are proved, and the page of all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .claims import ClaimFunction
from .run import Proof
from .session import Claim

PAGE = Path(__file__).with_name("TABLE.md")
REASON_CHARACTERS = 110
HEAD = """\
# Claim × fault

Written by `make mutants ARGS=--write`, fault by fault as they are proved. Each row is a stack that was broken
on purpose and a claim that found it, with the first line of its failure; ×n, it did for n of its parameters.
The same claims were green on the unbroken stack, and no other claim of their files turned red.
""".splitlines()


def lines_of(proof: Proof) -> Iterator[str]:
    """What one mutant came to: a line, then one for each claim that found it or should have."""
    mutant = proof.mutant
    word = "caught" if proof.holds else "skipped" if proof.skipped else "NOT PROVED"
    yield f"{mutant.name}: {word}, {proof.seconds:.0f} s ({mutant.why or 'no word of what was planted'})"
    if proof.skipped:
        yield f"    not asked here: {proof.skipped}"
    if proof.fault:
        yield f"    nothing proved: {proof.fault}"
    for name, claims in by_function(proof.caught).items():
        times = f" ×{len(claims)}" if len(claims) > 1 else ""
        how = "inconclusive: " if all(one.undecided for one in claims) else ""
        yield f"    {name}{times}: {how}{shortened(claims[0].reason)}"
    for part in proof.survived:
        yield f"    SURVIVED {part}: no claim of this name turned red"
    for one in proof.unexpected:
        yield f"    UNEXPECTED {one.nodeid}: {shortened(one.reason)}"
    if not proof.holds and proof.folder is not None:
        yield f"    read {proof.folder}/output.txt"


def uncaught(claims: Iterable[ClaimFunction], proofs: Iterable[Proof]) -> list[str]:
    """Claims that no fault turned red; those left out that could not be asked here."""
    known = list(proofs)
    seen = {_function(one) for proof in known for one in proof.caught}
    left_out = {part for proof in known if proof.skipped for part in proof.mutant.scope}
    return [claim.nodeid for claim in claims if claim.nodeid not in seen | left_out]


def by_function(claims: Sequence[Claim]) -> dict[str, list[Claim]]:
    """Claims by file and function, their parameters left out."""
    found: dict[str, list[Claim]] = defaultdict(list)
    for one in claims:
        found[_function(one)].append(one)
    return found


def page(found: Mapping[str, Mapping[str, Any]], whys: Mapping[str, str], again: Sequence[str]) -> str:
    """The page: a table a file of claims, sorted, without a date: what changes in it has changed.

    `found` is what `proofs` keeps, `whys` what each mutant plants, `again` those that are to be run again.
    """
    rows: dict[str, list[str]] = defaultdict(list)
    current = {name: one for name, one in found.items() if name in whys and name not in again}
    for name, proof in current.items():
        for caught in proof["caught"]:
            path, _, function = caught["claim"].partition("::")
            times = f" ×{caught['times']}" if caught["times"] > 1 else ""
            how = "INCONCLUSIVE: " if caught["undecided"] else ""
            cells = [f"`{function.removeprefix('test_')}`{times}", f"`{name}`: {whys[name]}"]
            rows[path].append("| " + " | ".join(map(_cell, [*cells, how + caught["reason"]])) + " |")
    claims = {caught["claim"] for proof in current.values() for caught in proof["caught"]}
    took_s = sum(proof["seconds"] for proof in current.values())
    text = [*HEAD, "", f"{len(current)} of {len(whys)} faults, {len(claims)} claims, {took_s / 60:.0f} min."]
    for path in sorted(rows):
        text += [
            "",
            f"## {path.removeprefix('suites/')}",
            "",
            "| claim | fault | caught by |",
            "|---|---|---|",
        ]
        text += sorted(rows[path])
    if again:
        text += [
            "",
            "## Not in this table",
            "",
            "To be run, or to be run again since their claims changed:",
            "",
        ]
        text += [f"- `{name}`: {whys[name]}" for name in sorted(again)]
    return "\n".join(text) + "\n"


def shortened(reason: str) -> str:
    """A reason that fits in a line."""
    one = " ".join(reason.split())
    return one if len(one) <= REASON_CHARACTERS else one[: REASON_CHARACTERS - 2] + " …"


def _function(claim: Claim) -> str:
    return claim.nodeid.partition("[")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
