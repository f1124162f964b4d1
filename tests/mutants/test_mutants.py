"""Every claim has a fault that turns it red; and the runner of mutants tells a caught one from a survivor.

`make mutants` proves all of them. Here three quick ones are, and that none is missing from the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environments.binaries import ROOT
from tests.faults.planting import planted

from . import readme
from .after import later
from .claims import claim_functions, suite_files
from .gateway import patch
from .mutant import Mutant
from .proofs import keep, kept
from .roster import all_mutants, chosen
from .run import Proof, Runner, judged
from .session import Claim, Ran, Sessions
from .table import lines_of, page, uncaught

MUTANTS = all_mutants()
CLAIMS = claim_functions()
QUICK = ("refused-bodies-200", "error-200", "models-unlisted")
SECURITY = "suites/smoke/test_security.py"


def head(part: str) -> str:
    """The part of a node id that is there without running anything: not its parameters."""
    return part.partition("[")[0]


def in_scope(mutant: Mutant, nodeid: str) -> bool:
    """Whether a claim's function is among what is run."""
    return any(
        nodeid == head(part) if "::" in part else nodeid.startswith(f"{part}::") for part in mutant.scope
    )


def proves(mutant: Mutant, nodeid: str) -> bool:
    """Whether a claim's function is the only one that is asked, or one that is named as red."""
    named = [head(part) for part in (*mutant.red, *mutant.blind)]
    if mutant.scope == (nodeid,) and named:
        return True
    return in_scope(mutant, nodeid) and any(name and name in nodeid for name in named)


def test_every_claim_is_named_by_a_mutant() -> None:
    bare = [claim.nodeid for claim in CLAIMS if not any(proves(one, claim.nodeid) for one in MUTANTS)]
    assert not bare


def test_names_are_given_once() -> None:
    assert [name for name, times in Counter(mutant.name for mutant in MUTANTS).items() if times > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_names_is_there(mutant: Mutant) -> None:
    known = [claim.nodeid for claim in CLAIMS]
    assert mutant.why
    assert mutant.red or mutant.blind
    for part in mutant.scope:
        assert (ROOT / part.partition("::")[0]).is_file(), part
        assert "::" not in part or head(part) in known, part
    asked = [nodeid for nodeid in known if in_scope(mutant, nodeid)]
    for part in (*mutant.red, *mutant.blind, *mutant.also):
        # Of "parameter-value]" only a run can tell to which claim it belongs.
        assert "[" not in part or any(head(part) in nodeid for nodeid in asked), part


def commands(given: Any) -> Iterator[list[str]]:
    """Every list of texts that a mutant lays over a profile."""
    if isinstance(given, Mapping):
        for value in given.values():
            yield from commands(value)
    elif isinstance(given, list | tuple) and all(isinstance(one, str) for one in given):
        yield list(given)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_what_a_mutant_plants_is_there(mutant: Mutant) -> None:
    for command in [*commands(mutant.engine), *commands(mutant.profile)]:
        if "--fault" in command:
            name = command[command.index("--fault") + 1]
            # LookupError where it is not there.
            _ = planted(name) if "tests.faults.saboteur" in command else patch(name)
    if mutant.after:
        later(mutant.after)


def test_the_page_lists_every_claim() -> None:
    text = readme.README.read_text(encoding="utf-8")
    listed = text.partition(readme.BEGIN)[2].partition(readme.END)[0]
    missing = [claim.nodeid for claim in CLAIMS if f"| `{claim.name.removeprefix('test_')}` |" not in listed]
    assert not missing, "python -m tests.mutants.readme"
    assert readme.renewed(text) == text, "python -m tests.mutants.readme"


def test_what_the_stacks_are_ticked_with_is_there() -> None:
    text = readme.README.read_text(encoding="utf-8").partition(readme.END)[2]
    names = {claim.name for claim in CLAIMS}
    files = {Path(file.path).relative_to("suites").as_posix() for file in suite_files()}
    quoted = set(text.split("`")[1::2])
    assert {one for one in quoted if one.startswith("test_")} <= names
    assert {one for one in quoted if one.endswith(".py") and not one.startswith("tests/")} <= files
    assert all((ROOT / one).is_file() for one in quoted if one.startswith("tests/") and one.endswith(".py"))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    sessions = Sessions()
    yield Runner(sessions, chosen(QUICK))
    sessions.stop()


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_one_is_caught_by_the_right_claims_alone(runner: Runner, name: str) -> None:
    (mutant,) = chosen([name])
    proof = runner.prove(narrowed(mutant))
    assert proof.holds, "\n".join(lines_of(proof))
    assert {one.nodeid for one in proof.caught}


def test_what_plants_nothing_is_said_to_have_survived(runner: Runner) -> None:
    (mutant,) = chosen(["refused-bodies-200"])
    proof = runner.prove(replace(narrowed(mutant), profile={}))
    assert (proof.survived, proof.caught, proof.fault) == (("malformed_json",), (), None)
    assert "    SURVIVED malformed_json: no claim of this name turned red" in list(lines_of(proof))


def narrowed(mutant: Mutant) -> Mutant:
    """Without monitoring and in one file, so that a stack stands in no time."""
    scope = tuple(part for part in mutant.scope if part != SECURITY)
    return replace(mutant, scope=scope, ground={**mutant.ground, "monitoring": "none"})


def claim(name: str, outcome: str = "passed", reason: str = "") -> Claim:
    return Claim(f"suites/a.py::{name}", outcome, reason, undecided=reason.startswith("INCONCLUSIVE"))


def proved(control: list[Claim], broken: list[Claim], *red: str, blind: tuple[str, ...] = ()) -> Proof:
    mutant = Mutant("m", ("suites/a.py",), red, "w", blind=blind)
    runs = (Ran(tuple(claims), 1.0, None, Path()) for claims in (control, broken))
    return judged(mutant, *runs)


NO_WORD = "INCONCLUSIVE: nothing was seen"


def test_red_is_a_failure_and_no_missing_word() -> None:
    green, bad, unsure = (
        claim("test_a"),
        claim("test_a", "failed", "1 == 2"),
        claim("test_a", "failed", NO_WORD),
    )
    assert proved([green], [bad], "test_a").holds
    assert proved([green], [unsure], "test_a").survived == ("test_a",)
    assert proved([green], [unsure], blind=("test_a",)).holds
    assert proved([green], [green], blind=("test_a",)).survived == ("test_a",)


def test_a_claim_that_fails_on_the_unbroken_stack_proves_nothing() -> None:
    bad = claim("test_a", "failed", "1 == 2")
    assert proved([bad], [bad], "test_a").survived == ("test_a",)


def test_a_claim_that_nobody_named_is_unexpected_unless_it_says_nothing() -> None:
    green = [claim("test_a"), claim("test_b")]
    bad = claim("test_a", "failed", "1 == 2")
    strange = claim("test_b", "error", "2 == 3")
    assert proved(green, [bad, strange], "test_a").unexpected == (strange,)
    assert proved(green, [bad, claim("test_b", "failed", NO_WORD)], "test_a").holds


def test_the_page_has_a_row_a_claim_and_a_fault(tmp_path: Path) -> None:
    found = proved(
        [claim("test_a[1]"), claim("test_a[2]")],
        [claim("test_a[1]", "failed", "x | y"), claim("test_a[2]", "failed", "z")],
        "test_a",
    )
    name = found.mutant.name
    kept_now = keep(found, tmp_path / "proofs.json")
    assert kept(tmp_path / "proofs.json") == kept_now
    lines = page(kept_now, {name: found.mutant.why}, []).splitlines()
    assert "| `a` ×2 | `m`: w | x \\| y |" in lines
    assert "| `a` ×2 | `m`: w | x \\| y |" not in page(kept_now, {name: "w"}, [name]).splitlines()
    assert keep(replace(found, survived=("test_a",)), tmp_path / "proofs.json") == {}
    functions = [one for one in CLAIMS if "smoke" in one.path][:1]
    assert uncaught(functions, [found]) == [functions[0].nodeid]
