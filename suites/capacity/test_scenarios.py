"""What does a first look say, and does it serve lengths side by side?

Workload: `mixed-50-150-300` (10 to 5 to 2, eight users), and `quick-*`: five answers of 50, 100 and 200
tokens, one after another. Objectives: `scenarios`: nothing is lost. Needs nothing beyond a key. Costs half
a minute.
"""

from __future__ import annotations

from statistics import median

import pytest

from instruments.statistics.indicators import e2e_s, tpot_s, ttft_s

pytestmark = [pytest.mark.sweep, pytest.mark.claim("eks-s3")]

MIXED = {"answer-50": (10, 50), "answer-150": (5, 150), "answer-300": (2, 300)}


@pytest.mark.judged("scenarios")
def test_objective_is_met(objective, measure, judge):
    """Mixed or alone, every answer arrives whole"""
    judge(measure(objective.workload), objective).require_met()


def test_lengths_side_by_side_stay_what_they_are(measure):
    """Of ten short, five medium and two long answers each has its own length, whatever runs beside it"""
    records = sorted(measure("mixed-50-150-300").run.records, key=lambda one: one.index)
    turn = sum(weight for weight, _ in MIXED.values())
    whole = records[: len(records) // turn * turn]
    assert whole, f"{len(records)} requests are not one turn of {turn}"
    for name, (weight, tokens) in MIXED.items():
        found = [one.completion_tokens for one in whole if one.scenario == name]
        assert found == [tokens] * (weight * len(whole) // turn), name


@pytest.mark.parametrize("tokens", [50, 100, 200])
def test_a_first_look(measure, told, tokens):
    """Five answers one after another have exactly the tokens asked for; how long they took is told"""
    records = measure(f"quick-{tokens}").summary.records
    lines = [f"{len(records)} answers of {tokens} tokens, one after another"]
    for name, of in (("E2E", e2e_s), ("TTFT", ttft_s), ("TPOT", tpot_s)):
        known = [value for one in records if (value := of(one)) is not None]
        lines += [f"  {name}: median {median(known):.4f} s, worst {max(known):.4f} s"] if known else []
    told(f"first look, {tokens} tokens", "\n".join(lines))
    assert [one.completion_tokens for one in records] == [tokens] * 5
