"""Fuzzes the reading of answers: `python -m tests.fuzz --inputs 1000000 [--seed S] [--seconds T]`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from random import Random

from tests.fuzz.laws import check
from tests.fuzz.wire import make_case

SHOWN = 3  # findings of one kind


def run(inputs: int, seed: int, first: int = 0, seconds: float = float("inf")) -> Counter[str]:
    """Check so many inputs, or as many as fit; returns how often each kind of finding was made."""
    findings: Counter[str] = Counter()
    done, began = 0, time.monotonic()
    for number in range(first, first + inputs):
        if time.monotonic() - began > seconds:
            break
        random = Random(seed * 1_000_003 + number)
        case = make_case(random)
        try:
            check(case, random)
        except Exception as error:
            kind = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:120]
            findings[kind] += 1
            if findings[kind] <= SHOWN:
                sys.stderr.write(f"{traceback.format_exc()}input {number} of seed {seed}: {case.wire!r}\n")
        done += 1
    seconds = time.monotonic() - began
    sys.stdout.write(f"{done} inputs in {seconds:.1f} s, {sum(findings.values())} findings\n")
    return findings


def main() -> int:
    """Exit code 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input, to repeat a finding")
    parser.add_argument("--seconds", type=float, default=480.0, help="stop after so long")
    asked = parser.parse_args()
    findings = run(asked.inputs, asked.seed, asked.first, asked.seconds)
    for kind, count in findings.most_common():
        sys.stdout.write(f"{count:8d} {kind}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
