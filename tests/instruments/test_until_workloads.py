"""Workloads with a budget: planned for the most that is measured, refused where it makes no sense."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instruments.errors import ConfigurationError
from instruments.records import Phase
from instruments.workloads.catalog import read_catalog
from instruments.workloads.files import FileWorkload
from instruments.workloads.synthetic import SyntheticWorkload

CATALOG = Path(__file__).parents[2] / "suites" / "catalog" / "workloads"


def synthetic(**fields: Any) -> SyntheticWorkload:
    told = {"requests_measured": 50, "output_tokens": 16, "users": 2, **fields}
    return SyntheticWorkload(id="w", description="d", **told)


def of_a_file(folder: Path, lines: int = 20, **fields: Any) -> FileWorkload:
    path = folder / "asked.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"no. {n}", "output_tokens": 4}) + "\n" for n in range(lines))
    )
    return FileWorkload("t", "d", str(path), "jsonl", users=1, **fields)


def phases(made: SyntheticWorkload | FileWorkload) -> Counter[Phase]:
    return Counter(one.phase for one in made.requests("m", 1))


def test_a_plan_is_made_for_the_most() -> None:
    made = synthetic(requests_warmup=3, requests_most=80, requests_cooldown=2)
    assert made.check() == 85
    assert phases(made) == {Phase.WARMUP: 3, Phase.MEASURED: 80, Phase.COOLDOWN: 2}
    assert (made.requests_measured, made.requests_most) == (50, 80)


def test_a_budget_leaves_requests_as_they_are() -> None:
    without = list(synthetic(requests_warmup=4).requests("m", 7))
    assert list(synthetic(requests_warmup=4, requests_most=200).requests("m", 7))[:54] == without


def test_a_budget_is_in_the_fingerprint_and_none_leaves_it_as_it_always_was() -> None:
    """The first is that of the release before there were budgets."""
    assert synthetic().fingerprint() == "fa5f0e977717d65f"
    found = {synthetic(requests_most=most).fingerprint() for most in (None, 50, 51)}
    assert len(found) == 3


def test_a_budget_of_a_file_takes_as_many_of_its_requests(tmp_path: Path) -> None:
    made = of_a_file(tmp_path, requests_warmup=2, requests_measured=5, requests_most=10, requests_cooldown=1)
    assert made.check() == 13
    assert phases(made) == {Phase.WARMUP: 2, Phase.MEASURED: 10, Phase.COOLDOWN: 1}
    assert [one.index for one in made.requests("m", 1)] == list(range(13))
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301


def test_a_file_that_ends_before_the_budget_is_taken_whole(tmp_path: Path) -> None:
    made = of_a_file(tmp_path, lines=8, requests_warmup=2, requests_measured=5, requests_most=10)
    assert (made.check(), phases(made)[Phase.MEASURED]) == (8, 6)


def test_a_file_that_is_too_short_to_measure_the_fewest_is_refused(tmp_path: Path) -> None:
    made = of_a_file(tmp_path, lines=6, requests_warmup=2, requests_measured=5, requests_most=10)
    with pytest.raises(ConfigurationError, match="too few requests to measure 5") as caught:
        made.check()
    assert (caught.value.expected, caught.value.seen) == (
        "at least 7, warm-up and cool-down included",
        "6 requests",
    )


def test_a_budget_of_a_file_is_in_its_fingerprint(tmp_path: Path) -> None:
    without = of_a_file(tmp_path)
    budget = replace(without, requests_measured=5, requests_most=10)
    other = replace(without, requests_measured=6, requests_most=10)
    assert len({one.fingerprint() for one in (without, budget, other)}) == 3


def test_without_a_budget_a_files_fingerprint_is_as_it_always_was(tmp_path: Path) -> None:
    """That of the release before there were budgets, of these very bytes."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "why?", "output_tokens": 4}\n')
    assert FileWorkload("t", "d", str(path), "jsonl", users=1).fingerprint() == "ed056442ccad0a5a"


@pytest.mark.parametrize(
    ("most", "said"),
    [
        (49, "requests_most, the budget, must be at least requests_measured, the fewest: got 49 with 50"),
        (0, "got 0 with 50 to be measured"),
    ],
)
def test_a_budget_below_the_fewest_is_refused(most: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        synthetic(requests_most=most)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"requests_most": 10}, "given together, or neither"),
        ({"requests_measured": 10}, "given together, or neither"),
        ({"requests_measured": 5, "requests_most": 10, "first": 10}, "first does not go with requests_most"),
        ({"requests_measured": 0, "requests_most": 10}, "requests_measured must be at least 1"),
        ({"requests_measured": 11, "requests_most": 10}, "got 10 with 11 to be measured"),
    ],
)
def test_a_budget_of_a_file_that_makes_no_sense_is_refused(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        of_a_file(tmp_path, **fields)


def test_a_wrong_budget_in_yaml_is_named_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(
        "workloads:\n"
        "  - {id: a, description: d, users: 1, output_tokens: 4, requests_measured: 9, requests_most: 8}\n"
    )
    with pytest.raises(ConfigurationError, match=r"workloads\[0\]\.synthetic.*requests_most, the budget"):
        read_catalog(path)


def test_smoke_has_room_for_noise() -> None:
    """A third of a budget, which is what neighbours that hang together may say, still decides a p95 with four
    over the limit: 314, of the file's own first lines."""
    made = {one.id: one for one in read_catalog(CATALOG / "smoke.yaml")}
    budgets = [
        (made[name].requests_measured, made[name].requests_most) for name in ("lone-user", "four-users")
    ]
    assert budgets == [(96, 1_000), (192, 1_500)]
    assert all(most is not None and most // 3 >= 314 for _, most in budgets)
