"""What an objective says besides its limit: where it applies, of which family it is, and what it costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.applies import Applies
from instruments.slo.objective import family_size
from tests.instruments.test_objective import GOOD, changed, of

INSIDE = {
    "a place that is a word": ("applies: h100\n", "objectives[0].applies"),
    "an unknown condition": ("applies: {gpus: [h100]}\n", "objectives[0].applies.gpus"),
    "names that are none": ("applies: {models: tiny}\n", "objectives[0].applies.models"),
    "an empty name": ("applies: {models: ['']}\n", "objectives[0].applies"),
    "no users": ("applies: {users: [0]}\n", "users are at least 1, got 0"),
    "users without a list": (
        "applies: {users: 64}\n",
        "objectives[0].applies.users: Input should be a list, got",
    ),
    "names without a list": (
        "applies: {models: tiny}\n",
        "expected: a list: in brackets, or a line for each",
    ),
    "users in quotes": ("applies: {users: ['64']}\n", "expected: a whole number, without quotes"),
    "a yes for a user": ("applies: {users: [yes]}\n", "objectives[0].applies.users[0]"),
    "half a user": ("applies: {users: [1.5]}\n", "objectives[0].applies.users[0]"),
    "a price in words": ("cost_per_hour: cheap\n", "objectives[0].cost_per_hour"),
}


@pytest.mark.parametrize(("more", "said"), INSIDE.values(), ids=INSIDE.keys())
def test_a_wrong_field_below_an_objective_is_named_with_its_path(
    tmp_path: Path, more: str, said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, GOOD + more)
    assert said in str(caught.value)
    assert "objectives.yaml: objectives[0]" in str(caught.value)


NO_NUMBERS = ["true", "'0.2'", "yes", "[0.2]", "2026-01-01"]


@pytest.mark.parametrize("told", NO_NUMBERS)
@pytest.mark.parametrize("field", ["at_most", "confidence"])
def test_a_number_is_a_number(tmp_path: Path, field: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, changed(**{field: told}))
    assert f"objectives[0].{field}: Input should be a valid number, got" in str(caught.value)
    assert "expected: a number, without quotes" in str(caught.value)


@pytest.mark.parametrize("told", ["true", "'0.2'"])
def test_a_number_is_a_number_within_and_as_a_price(tmp_path: Path, told: str) -> None:
    goodput = changed(indicator="goodput_share", statistic="share", at_most=None, at_least="0.9")
    with pytest.raises(
        ConfigurationError, match=r"objectives\[0\]\.per_request\.ttft_s: Input should be a valid"
    ):
        of(tmp_path, f"{goodput}per_request: {{ttft_s: {told}}}\n")
    with pytest.raises(ConfigurationError, match=r"objectives\[0\]\.cost_per_hour: Input should be a valid"):
        of(tmp_path, changed(cost_per_hour=told))


@pytest.mark.parametrize(("told", "limit"), [("2", 2.0), ("0.2", 0.2), ("2e-1", 0.2), ("1.0e-6", 1e-6)])
def test_a_number_may_be_whole_or_have_an_exponent(tmp_path: Path, told: str, limit: float) -> None:
    """YAML 1.1 takes 2e-1, which has no point, for a word."""
    assert of(tmp_path, changed(at_most=told))["a"].at_most == limit


@pytest.mark.parametrize("told", ["'no'", "0", "1", "'true'"])
def test_required_is_yes_or_no(tmp_path: Path, told: str) -> None:
    assert of(tmp_path, changed(required="no"))["a"].required is False
    with pytest.raises(
        ConfigurationError, match=r"objectives\[0\]\.required: Input should be a valid boolean"
    ) as it:
        of(tmp_path, changed(required=told))
    assert "expected: true or false, without quotes" in str(it.value)


@pytest.mark.parametrize("name", ["id", "description", "workload"])
@pytest.mark.parametrize("told", ["''", "' '"])
def test_names_and_words_are_not_empty(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"objectives\[0\]: .*{name} is empty"):
        of(tmp_path, changed(**{name: told}))


def test_an_error_names_the_objective_and_tells_no_more_of_it(tmp_path: Path) -> None:
    for fields in (changed(confidence="2"), changed(workload=None)):
        with pytest.raises(ConfigurationError) as caught:
            of(tmp_path, fields)
        assert ", of 'a'" in str(caught.value)
        assert "{" not in str(caught.value)


def test_what_is_not_given_is_the_gates_family_everywhere(tmp_path: Path) -> None:
    objective = of(tmp_path, GOOD)["a"]
    assert (objective.family, objective.applies, objective.cost_per_hour) == ("gate", Applies(), None)


def test_where_it_applies_is_read(tmp_path: Path) -> None:
    places = "environments: [eks], models: ['llama*'], accelerators: ['*H100*'], users: [64]"
    more = f"family: night\napplies: {{{places}}}\n"
    objective = of(tmp_path, GOOD + more)["a"]
    assert objective.family == "night"
    assert objective.applies == Applies(("eks",), ("llama*",), ("*H100*",), (64,))


SAID = [
    ("ttft_s", "mean", "at_most", 0.5, {}, "TTFT mean ≤ 0.5 s"),
    ("queue_depth", "max", "at_most", 0, {}, "queue depth max ≤ 0"),
    ("running", "mean", "at_least", 4, {}, "running requests mean ≥ 4"),
    ("requests_per_s", "rate", "at_least", 4, {}, "requests per second ≥ 4 requests/s"),
    ("gpu_power_w", "max", "at_most", 300, {}, "GPU power max ≤ 300 W"),
    ("gpu_utilisation_share", "mean", "at_least", 0.5, {}, "GPU utilisation mean ≥ 0.5"),
    ("errors", "count", "at_most", 0, {}, "requests not completed ≤ 0"),
    ("energy_j_per_good_token", "value", "at_most", 0.5, {}, "energy per good token ≤ 0.5 J/token"),
    (
        "cost_per_good_token", "value", "at_most", 2e-6,
        {"cost_per_hour": 2.5, "per_request": {"ttft_s": 1.0}}, "cost per good token ≤ 2e-06 /token",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("indicator", "statistic", "side", "limit", "more", "said"), SAID)
def test_an_objective_of_every_kind_says_its_limit(
    indicator: str, statistic: str, side: str, limit: float, more: dict[str, Any], said: str
) -> None:
    fields: dict[str, Any] = {side: limit, **more}
    assert str(ServiceLevelObjective("a", "d", "w", indicator, statistic, **fields)) == said


def test_an_objective_comes_back_from_what_json_keeps_of_it(tmp_path: Path) -> None:
    more = "applies: {environments: [eks], users: [1, 64]}\nrequired: false\nfamily: night\n"
    objective = of(tmp_path, GOOD + more)["a"]
    assert ServiceLevelObjective.from_document(json.loads(json.dumps(asdict(objective)))) == objective
    assert ServiceLevelObjective.from_document(asdict(objective)) == objective


def test_an_objective_of_an_earlier_release_comes_back() -> None:
    known = {
        "id": "a", "description": "d", "workload": "w", "indicator": "ttft_s", "statistic": "p95",
        "at_most": 0.5, "at_least": None, "confidence": 0.95, "required": True, "per_request": {},
    }  # fmt: skip
    objective = ServiceLevelObjective.from_document(known)
    assert objective == ServiceLevelObjective("a", "d", "w", "ttft_s", "p95", at_most=0.5)


def one(name: str, **fields: Any) -> ServiceLevelObjective:
    return ServiceLevelObjective(name, "d", "w", "ttft_s", "p95", at_most=0.5, **fields)


def test_a_family_is_the_required_objectives_of_one_name() -> None:
    gate = [one("a"), one("b"), one("c"), one("d", family="night"), one("e", required=False)]
    assert [family_size(gate, objective) for objective in gate] == [3, 3, 3, 1, 1]


def test_an_objective_is_of_its_own_family_whoever_else_is_judged() -> None:
    assert family_size([], one("a")) == 1
    assert family_size([one("b")], one("a")) == 2
    assert family_size([one("a"), one("a")], one("a")) == 1  # asked by two tests, it is one objective
