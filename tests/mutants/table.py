"""Claim × fault: what is said as mutants are proved, and the page of all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .claims import ClaimFunction
from .run import Proof
from .session import Claim

PAGE = Path(__file__).with_name("TABLE.md")
REASON_CHARACTERS = 110
HEAD = """\
# Claim × fault

Written by `make mutants ARGS=--write`. Each row is a stack that was broken on purpose and a claim that found
it, with the first line of its failure; ×n, it did for n of its parameters. The same claims were green on the
unbroken stack, and no other claim of their files turned red.
""".splitlines()


def lines_of(proof: Proof) -> Iterator[str]:
    """What one mutant came to: a line, then one for each claim that found it or should have."""
    mutant = proof.mutant
    word = "caught" if proof.holds else "NOT PROVED"
    yield f"{mutant.name}: {word}, {proof.seconds:.0f} s ({mutant.why or 'no word of what was planted'})"
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
    """Claims that no fault turned red."""
    seen = {_function(one) for proof in proofs for one in proof.caught}
    return [claim.nodeid for claim in claims if claim.nodeid not in seen]


def by_function(claims: Sequence[Claim]) -> dict[str, list[Claim]]:
    """Claims by file and function, their parameters left out."""
    found: dict[str, list[Claim]] = defaultdict(list)
    for one in claims:
        found[_function(one)].append(one)
    return found


def page(proofs: Sequence[Proof], control_s: float) -> str:
    """The page: a table a suite, sorted, without a date: what changes in it has changed."""
    rows: dict[str, list[str]] = defaultdict(list)
    for proof in proofs:
        for name, claims in by_function(proof.caught).items():
            path, _, function = name.partition("::")
            how = "INCONCLUSIVE: " if all(one.undecided for one in claims) else ""
            cells = [
                f"`{function.removeprefix('test_')}`" + (f" ×{len(claims)}" if len(claims) > 1 else ""),
                f"`{proof.mutant.name}`: {proof.mutant.why}",
                how + shortened(claims[0].reason),
            ]
            rows[path].append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    total_s = sum(proof.seconds for proof in proofs)
    functions = len({name for proof in proofs for name in by_function(proof.caught)})
    ran = f"{total_s / 60:.0f} min, and {control_s / 60:.0f} min of unbroken stacks before them"
    text = [*HEAD, "", f"{len(proofs)} faults, {functions} claims, {ran}."]
    for path in sorted(rows):
        text += [
            "",
            f"## {path.removeprefix('suites/')}",
            "",
            "| claim | fault | caught by |",
            "|---|---|---|",
        ]
        text += sorted(rows[path])
    return "\n".join(text) + "\n"


def shortened(reason: str) -> str:
    """A reason that fits in a line."""
    one = " ".join(reason.split())
    return one if len(one) <= REASON_CHARACTERS else one[: REASON_CHARACTERS - 2] + " …"


def _function(claim: Claim) -> str:
    return claim.nodeid.partition("[")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
