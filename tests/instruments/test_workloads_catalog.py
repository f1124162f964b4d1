"""The catalog's workloads: what YAML may say, and what stands in ours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from instruments.arrivals import Ramp
from instruments.errors import ConfigurationError
from instruments.records import Phase
from instruments.workloads.catalog import read_catalog
from instruments.workloads.files import FileWorkload
from instruments.workloads.lengths import Lognormal, Uniform
from instruments.workloads.mixes import Leave, Prefix, Scenario
from instruments.workloads.synthetic import SyntheticWorkload

CATALOG = Path(__file__).parents[2] / "suites" / "catalog" / "workloads"

WRITTEN = """
workloads:
  - id: a
    description: everything
    requests_measured: 10
    prompt_tokens: {lognormal: {median: 64, sigma: 0.7, min: 48, max: 512}}
    arrivals: {kind: ramp, from_per_s: 1, to_per_s: 9, duration_s: 4, spacing: poisson}
    prefix: {groups: 4, tokens: 32, hit_share: 0.5}
    turns: {uniform: [1, 3]}
    think_s: 0.5
    leave: {share: 0.1, after_tokens: 8}
    mix:
      - {name: x, weight: 10, output_tokens: 50}
      - {name: y, output_tokens: {uniform: [5, 9]}, leave: {share: 1, after_s: 0.5}}
  - kind: file
    id: b
    description: a trace
    path: trace.csv
    format: azure
    speed: 2
    first: 100
"""


def refused(folder: Path, text: str) -> str:
    (folder / "w.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_catalog(folder / "w.yaml")
    return str(caught.value)


def test_yaml_says_all_that_a_workload_can_be(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(WRITTEN)
    assert read_catalog(tmp_path / "w.yaml") == [
        SyntheticWorkload(
            id="a",
            description="everything",
            requests_measured=10,
            prompt_tokens=Lognormal(64, 0.7, 512, 48),
            arrival_process=Ramp(1.0, 9.0, 4.0, spacing="poisson"),
            prefix=Prefix(4, 32, 0.5),
            turns=Uniform((1, 3)),
            think_s=0.5,
            leave=Leave(0.1, 8),
            mix=(
                Scenario("x", 10, output_tokens=50),
                Scenario("y", output_tokens=Uniform((5, 9)), leave=Leave(1.0, after_s=0.5)),
            ),
        ),
        FileWorkload("b", "a trace", "trace.csv", "azure", first=100, speed=2.0),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: file", "kind: fail", "workloads[1]: Input should be a mapping whose `kind` is one of"),
        ("groups: 4", "group: 4", "workloads[0].synthetic.prefix.groups: Field required"),
        ("think_s: 0.5", "think: 0.5", "workloads[0].synthetic.think: Unexpected keyword argument"),
        ("    arrivals: {", "    users: 4\n    arrivals: {", "workloads[0].synthetic: Value error, give"),
        ("weight: 10", "weight: x", "workloads[0].synthetic.mix[0].weight: Input should be a valid integer"),
        ("[5, 9]", "[9, 5]", "workloads[0].synthetic.mix[1].output_tokens.uniform: Value error"),
        ("format: azure", "format: csv", "workloads[1].file.format: Input should be 'jsonl', 'sharegpt'"),
        ("duration_s: 4", "duration: 4", "workloads[0].synthetic.arrivals.ramp.duration_s: Field required"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_path(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert WRITTEN.count(old) == 1
    assert said in refused(tmp_path, WRITTEN.replace(old, new))


def test_our_catalog_can_be_read_and_no_id_is_used_twice() -> None:
    found = [one for path in sorted(CATALOG.glob("*.yaml")) for one in read_catalog(path)]
    ids = [one.id for one in found]
    assert len(set(ids)) == len(ids)
    assert {"lone-user", "four-users", "short-64", "long-256", "mixed-50-150-300"} <= set(ids)
    for one in found:
        assert next(one.requests("m", 1)).request_id == f"{one.id}-1-0"


def test_the_mix_of_50_150_and_300_is_ten_to_five_to_two() -> None:
    (mixed,) = (one for one in read_catalog(CATALOG / "mix.yaml") if one.id == "mixed-50-150-300")
    measured = [one for one in mixed.requests("m", 1) if one.phase is Phase.MEASURED]
    assert Counter(one.body["max_tokens"] for one in measured) == {50: 100, 150: 50, 300: 20}
