"""Mutants of the regression suite: a slower arm, a build that tires, a stack that nobody can compare."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.mutants.mutant import Mutant, behind

FILE = "suites/regression/test_regression.py"
# Slower than any simulator by far, and of any fingerprint: what is slower yet is slow.
BASELINE = Path(__file__).with_name("regression-baseline.json").relative_to(Path(__file__).parents[2])
# What a busy machine does to blocks of a tenth of a second is no difference: what is planted is a multiple.
ROUGH = {"bounds": {"regression-tolerance": 0.5, "regression-pairs": 24}}


def second_is_slower(folder: Path) -> Mapping[str, Any]:
    """An interposer that knows whether it is the first of a run."""
    program = [sys.executable, "-m", "tests.faults.planted.regression", "--mark", str(folder / "first")]
    return {"engine": {"interposer": [*program, "--delay-ms", "60"]}}


MUTANTS = [
    Mutant(
        name="nobody-can-compare",
        scope=(f"{FILE}::test_a_stack_is_no_different_from_itself",),
        red=(),
        blind=("test_a_stack_is_no_different_from_itself",),
        why="the engine is quick, slow or very slow, and from block to block another",
        engine=behind("moody"),
        ground=ROUGH,
    ),
    Mutant(
        name="second-is-slower",
        scope=(f"{FILE}::test_the_candidate_is_no_slower",),
        red=("test_the_candidate_is_no_slower",),
        why="of two stacks of one build the second has an engine that lets wait",
        prepare=second_is_slower,
        ground=ROUGH,
    ),
    Mutant(
        name="tired-after-three-runs",
        scope=(f"{FILE}::test_a_run_is_no_worse_than_those_before_it",),
        red=("test_a_run_is_no_worse_than_those_before_it",),
        why="after three runs the engine lets wait",
        engine=behind("tired-after-three-runs", "--delay-ms", "300"),
        ground=ROUGH,
    ),
    Mutant(
        name="slower-than-the-baseline",
        scope=(f"{FILE}::test_this_build_is_no_worse_than_the_baseline",),
        red=("test_this_build_is_no_worse_than_the_baseline",),
        why="the first token is a second late, with a baseline of a fifth of that",
        engine=behind("first-token-delay", "--delay-ms", "1000"),
        ground=ROUGH,
        options=(f"--baseline={BASELINE}",),
    ),
]
