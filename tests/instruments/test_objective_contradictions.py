"""Two objectives that contradict, repeat or silence one another are refused, both by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.applies import Applies, Place
from instruments.slo.contradictions import check_together, placed


def objective(name: str, indicator: str, statistic: str, **fields: Any) -> ServiceLevelObjective:
    return ServiceLevelObjective(name, "d", fields.pop("workload", "w"), indicator, statistic, **fields)


def problem(one: ServiceLevelObjective, other: ServiceLevelObjective) -> str | None:
    """What is said of two, which does not depend on their order but for whom it names first."""
    said = []
    for pair in ((one, other), (other, one)):
        try:
            check_together(placed(Path("slo.yaml"), {str(n): it for n, it in enumerate(pair)}))
        except ConfigurationError as error:
            said.append(str(error).splitlines()[1].strip())
    if not said:
        return None
    assert len(said) == 2, "one order is refused and the other is not"
    return said[0]


def ttft(name: str, statistic: str, limit: float, **fields: Any) -> ServiceLevelObjective:
    return objective(name, "ttft_s", statistic, at_most=limit, **fields)


def goodput(limit: float, required: bool = True, **per_request: float) -> ServiceLevelObjective:
    return objective(
        "g", "goodput_share", "share", at_least=limit, per_request=per_request, required=required
    )


UTILISATION = "gpu_utilisation_share"

WRONG = {
    "two limits of one thing": (
        ttft("a", "p95", 0.2), ttft("b", "p95", 0.3),
        "two limits on the same thing: TTFT p95 ≤ 0.2 s and TTFT p95 ≤ 0.3 s",
    ),
    "the same twice": (ttft("a", "p95", 0.2), ttft("b", "p95", 0.2, confidence=0.99), "on the same thing"),
    "no value between": (
        objective("a", UTILISATION, "mean", at_least=0.8), objective("b", UTILISATION, "mean", at_most=0.5),
        "GPU utilisation mean ≥ 0.8 and GPU utilisation mean ≤ 0.5 cannot both hold",
    ),
    "a mean above the largest": (
        objective("a", "running", "mean", at_least=8), objective("b", "running", "max", at_most=4),
        "running requests mean ≥ 8 and running requests max ≤ 4 cannot both hold",
    ),
    "a p95 above the largest": (
        objective("a", "running", "p95", at_least=8), objective("b", "running", "max", at_most=4),
        "cannot both hold",
    ),
    "required beside advisory, impossible": (
        objective("a", "running", "max", at_least=8, required=False),
        objective("b", "running", "max", at_most=4),
        "cannot both hold",
    ),
    "p95 above p99": (
        ttft("a", "p95", 0.5), ttft("b", "p99", 0.4),
        "TTFT p95 ≤ 0.5 s says nothing beside TTFT p99 ≤ 0.4 s, which keeps it below that",
    ),
    "p99 above p99.9": (ttft("a", "p99", 0.5), ttft("b", "p99.9", 0.4), "says nothing"),
    "a mean above the largest it may be": (
        objective("a", "queue_depth", "mean", at_most=9), objective("b", "queue_depth", "max", at_most=8),
        "queue depth mean ≤ 9 says nothing beside queue depth max ≤ 8",
    ),
    "a largest below the mean": (
        objective("a", "running", "max", at_least=2), objective("b", "running", "mean", at_least=4),
        "running requests max ≥ 2 says nothing beside running requests mean ≥ 4, which keeps it above that",
    ),
    "a first token after the end": (
        ttft("a", "p95", 5), objective("b", "e2e_s", "p95", at_most=3),
        "TTFT p95 ≤ 5 s says nothing beside E2E p95 ≤ 3 s",
    ),
    "from sending above from due": (
        ttft("a", "p95", 5), objective("b", "ttft_from_due_s", "p99", at_most=3), "says nothing"
    ),
    "what goodput keeps already": (
        ttft("a", "p90", 0.3), goodput(0.95, ttft_s=0.2, tpot_s=1.0),
        "goodput share ≥ 0.95, whose per_request.ttft_s of 0.2 s holds for 95 % of requests",
    ),
    "what goodput's end keeps already": (ttft("a", "p90", 3), goodput(0.95, e2e_s=2.0), "per_request.e2e_s"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other", "said"), WRONG.values(), ids=WRONG.keys())
def test_two_that_cannot_stand_beside_each_other(
    one: ServiceLevelObjective, other: ServiceLevelObjective, said: str
) -> None:
    found = problem(one, other)
    assert found is not None
    assert found.startswith(f"slo.yaml: objectives[0] ({one.id}) and slo.yaml: objectives[1] ({other.id}): ")
    assert said in found


RIGHT = {
    "another load": (ttft("a", "p95", 0.2), ttft("b", "p95", 0.3, workload="v")),
    "another place": (
        ttft("a", "p95", 0.2, applies=Applies(accelerators=("*H100*",))),
        ttft("b", "p95", 0.4, applies=Applies(accelerators=("*A6000*",))),
    ),
    "other users": (
        ttft("a", "p95", 0.2, applies=Applies(users=(1,))),
        ttft("b", "p95", 0.4, applies=Applies(users=(64,))),
    ),
    "an advisory limit that warns": (ttft("a", "p95", 0.2), ttft("b", "p95", 0.1, required=False)),
    "an advisory quantile": (ttft("a", "p95", 0.5), ttft("b", "p99", 0.4, required=False)),
    "a rising limit": (ttft("a", "p95", 0.2), ttft("b", "p99", 0.4)),
    "the same limit": (ttft("a", "p95", 0.2), ttft("b", "p99", 0.2)),
    "another indicator": (ttft("a", "p95", 0.2), objective("b", "tpot_s", "p95", at_most=0.1)),
    "a p95 of the end before a p99": (ttft("a", "p99", 5), objective("b", "e2e_s", "p95", at_most=3)),
    "a mean, which is above nothing": (ttft("a", "mean", 0.5), ttft("b", "p50", 0.4)),
    "between": (
        objective("a", UTILISATION, "mean", at_least=0.3),
        objective("b", UTILISATION, "mean", at_most=0.9),
    ),
    "a bound on each side": (
        objective("a", "running", "mean", at_least=2),
        objective("b", "running", "max", at_most=4),
    ),
    "two kinds of good": (
        goodput(0.9, ttft_s=0.2),
        objective("h", "goodput_share", "share", at_least=0.99, per_request={"ttft_s": 1.0}),
    ),
    "a quantile above goodput's share": (ttft("a", "p99", 0.3), goodput(0.95, ttft_s=0.2)),
    "a stricter quantile": (ttft("a", "p90", 0.1), goodput(0.95, ttft_s=0.2)),
    "goodput that only advises": (ttft("a", "p90", 0.3), goodput(0.95, required=False, ttft_s=0.2)),
}


@pytest.mark.parametrize(("one", "other"), RIGHT.values(), ids=RIGHT.keys())
def test_two_that_say_different_things(one: ServiceLevelObjective, other: ServiceLevelObjective) -> None:
    assert problem(one, other) is None


def test_an_id_of_two_files_is_refused_with_both() -> None:
    one = placed(Path("a.yaml"), {"x": ttft("x", "p95", 0.2)})
    other = placed(Path("b.yaml"), {"x": ttft("x", "p95", 0.2, workload="v")})
    with pytest.raises(ConfigurationError) as caught:
        check_together(one | other)
    said = "a.yaml: objectives[0] (x) and b.yaml: objectives[0] (x): the id 'x' is used twice"
    assert said in str(caught.value)


def test_two_that_meet_at_one_place_are_refused_there() -> None:
    one = ttft("a", "p95", 0.2, applies=Applies(models=("llama*",)))
    other = ttft("b", "p95", 0.4, applies=Applies(models=("*8b",)))
    both = placed(Path("slo.yaml"), {"a": one, "b": other})
    check_together(both)
    check_together(both, Place("eks", "llama-3-70b"))
    with pytest.raises(ConfigurationError, match="two limits on the same thing"):
        check_together(both, Place("eks", "llama-3-8b"))


def test_all_problems_are_said_at_once() -> None:
    several = [ttft(name, "p95", limit) for name, limit in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    with pytest.raises(ConfigurationError) as caught:
        check_together(placed(Path("slo.yaml"), {one.id: one for one in several}))
    assert str(caught.value).count("two limits on the same thing") == 3
