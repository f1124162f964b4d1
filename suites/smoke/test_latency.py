"""Is it quick enough? Objectives on TTFT, TPOT, errors and goodput for one user and for four."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.claim("minikube-rtx3060")]


@pytest.mark.judged("smoke")
def test_objective_is_met(objective, measure, judge):
    """The objective is met"""
    judge(measure(objective.workload), objective).require_met()
