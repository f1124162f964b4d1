"""A catalog that is wrong is refused before any load, with file, field and what is allowed."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.objective import load_objectives

GOOD = "id: a\ndescription: d\nworkload: w\nindicator: ttft_s\nstatistic: p95\nat_most: 0.5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "objectives.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def of(folder: Path, fields: str) -> dict[str, ServiceLevelObjective]:
    """Load a file of one objective with these fields."""
    return load_objectives(written(folder, f"objectives:\n  -\n{indent(fields, '    ')}"))


def changed(**fields: str | None) -> str:
    lines = dict(line.split(": ", 1) for line in GOOD.splitlines())
    told: dict[str, str | None] = {**lines, **fields}
    return "".join(f"{name}: {value}\n" for name, value in told.items() if value is not None)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    objective = of(tmp_path, GOOD)["a"]
    assert (objective.limit, objective.quantile, objective.confidence) == (0.5, 0.95, 0.95)
    assert objective.bad_share == pytest.approx(0.05)
    assert str(objective) == "TTFT p95 ≤ 0.5 s"


GOODPUT = changed(indicator="goodput_share", statistic="share", at_most=None)

WRONG = {
    "no limit": (changed(at_most=None), "exactly one of at_most and at_least"),
    "both limits": (changed(at_least="0.1"), "exactly one of at_most and at_least"),
    "an unknown indicator": (changed(indicator="ttfb"), "known: ttft_s, ttft_from_due_s, tpot_s"),
    "an impossible statistic": (changed(statistic="share"), "ttft_s has the statistics p50, p75, p90"),
    "a quantile of a share": (changed(indicator="error_share"), "error_share has the statistics share"),
    "a share of 0": (changed(indicator="error_share", statistic="share", at_most="0"), "excluded, got 0"),
    "a share of 1": (GOODPUT + "at_least: 1\nper_request: {ttft_s: 1}\n", "excluded, got 1"),
    "a full KV cache": (changed(indicator="kv_cache_usage", statistic="max", at_most="1"), "excluded, got 1"),
    "a latency of 0": (changed(at_most="0"), "a limit in seconds is above 0, got 0"),
    "a latency from below": (changed(at_most=None, at_least="1"), "ttft_s takes at_most"),
    "goodput from above": (GOODPUT + "at_most: 0.9\nper_request: {ttft_s: 1}\n", "takes at_least"),
    "goodput of nothing": (GOODPUT + "at_least: 0.9\n", "needs at least one"),
    "goodput of a share": (GOODPUT + "at_least: 0.9\nper_request: {errors: 1}\n", "per_request.errors"),
    "goodput without end": (GOODPUT + "at_least: 0.9\nper_request: {ttft_s: .inf}\n", "per_request.ttft_s"),
    "a latency without end": (changed(at_most=".inf"), "finite"),
    "no number": (changed(at_most=".nan"), "finite"),
    "a count without end": (changed(indicator="errors", statistic="count", at_most=".inf"), "finite"),
    "half an error": (changed(indicator="errors", statistic="count", at_most="0.5"), "whole number"),
    "half a preemption": (changed(indicator="preemptions", statistic="count", at_most="0.5"), "whole number"),
    "a queue of less than none": (
        changed(indicator="queue_depth", statistic="max", at_most="-1"), "queue_depth is above 0, got -1"
    ),
    "no power": (changed(indicator="gpu_power_w", statistic="max", at_most="0"), "gpu_power_w is above 0"),
    "a rate from above": (
        changed(indicator="requests_per_s", statistic="rate"), "requests_per_s takes at_least"
    ),
    "a p99 of samples": (
        changed(indicator="queue_depth", statistic="p99"), "queue_depth has the statistics max, mean, p95"
    ),
    "a quantile of a card": (
        changed(indicator="gpu_power_w", statistic="p95"), "gpu_power_w has the statistics max, mean"
    ),
    "a mean of buckets": (
        changed(indicator="server_ttft_s", statistic="mean"), "server_ttft_s has the statistics p50"
    ),
    "a family without a name": (GOOD + "family: ' '\n", "a family has a name"),
    "limits of a request beside a latency": (
        GOOD + "per_request: {ttft_s: 1}\n",
        "per_request limits belong to goodput_share, goodput_per_s, energy",
    ),
    "a goodput rate of nothing": (
        changed(indicator="goodput_per_s", statistic="rate", at_most=None, at_least="2"), "needs at least one"
    ),
    "a first token after the end": (
        GOODPUT + "at_least: 0.9\nper_request: {ttft_s: 5, e2e_s: 3}\n",
        "per_request.ttft_s: no request has a ttft_s above its e2e_s, which is limited to 3: the limit 5",
    ),
    "a wait from sending above one from due": (
        GOODPUT + "at_least: 0.9\nper_request: {ttft_s: 5, ttft_from_due_s: 3}\n",
        "per_request.ttft_s: no request has a ttft_s above its ttft_from_due_s",
    ),
    "a price of a latency": (GOOD + "cost_per_hour: 2\n", "cost_per_hour belongs to cost_per_good_token"),
    "cost without a price": (
        changed(indicator="cost_per_good_token", statistic="value", at_most="1e-6"), "which needs it"
    ),
    "a price of nothing": (
        changed(indicator="cost_per_good_token", statistic="value", at_most="1e-6", cost_per_hour="0"),
        "cost_per_hour is a finite number above 0",
    ),
    "a confidence of 1": (changed(confidence="1"), "at least 0.5 and below 1, got 1"),
    "a confidence of chance": (changed(confidence="0.4"), "at least 0.5 and below 1"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "allowed"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_objective_is_refused_with_its_place_and_what_is_allowed(
    tmp_path: Path, fields: str, allowed: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, fields)
    said = str(caught.value)
    assert f"{tmp_path / 'objectives.yaml'}: objectives[0]" in said
    assert allowed in said


def test_an_unknown_key_is_named_with_the_keys_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, GOOD + "at_mots: 3\n")
    said = str(caught.value)
    assert "objectives.yaml: objectives[0].at_mots" in said
    assert "at_most, at_least, confidence" in said


def test_a_missing_key_and_a_wrong_type_are_named_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(tmp_path, changed(workload=None, at_most="fast"))
    said = str(caught.value)
    assert "objectives[0].workload" in said
    assert "objectives[0].at_most" in said
    assert "'fast'" in said


def test_the_second_of_two_objectives_is_named_by_its_number(tmp_path: Path) -> None:
    items = "\n".join(f"  -\n{indent(one, '    ')}" for one in (GOOD, changed(id="b", confidence="2")))
    with pytest.raises(ConfigurationError, match=r"objectives\[1\]"):
        load_objectives(written(tmp_path, f"objectives:\n{items}"))


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    items = "\n".join(f"  -\n{indent(GOOD, '    ')}" for _ in range(2))
    with pytest.raises(ConfigurationError, match="used twice"):
        load_objectives(written(tmp_path, f"objectives:\n{items}"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("objectives:\n  - a: [1\n  - b", "objectives.yaml:3:6 is not YAML"),
        ("objectives:\n\t- a", "objectives.yaml:2:1 is not YAML"),
        ("objectives:\n  - 2026-13-45", "objectives.yaml is not YAML"),
        ("", "one key, 'objectives'"),
        ("- a", "one key, 'objectives'"),
        ("objectives: []\nextra: 1", "one key, 'objectives'"),
        ("objectives:", "objectives.yaml: objectives: Input should be a valid list"),
        ("objectives: [1]", "objectives.yaml: objectives[0]"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_objectives(written(tmp_path, text))
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_objectives(tmp_path / "none.yaml")
    assert f"cannot read {tmp_path / 'none.yaml'}" in str(caught.value)
    assert "No such file" in str(caught.value)


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objectives.yaml"
    path.write_bytes(b"objectives: \xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_objectives(path)


@pytest.mark.parametrize(
    ("fields", "bad_share"),
    [
        (GOOD, 0.05),
        (changed(statistic="p99.9"), 0.001),
        (changed(statistic="p50"), 0.5),
        (changed(indicator="error_share", statistic="share", at_most="0.02"), 0.02),
        (GOODPUT + "at_least: 0.9\nper_request: {ttft_s: 1}\n", 0.1),
    ],
)
def test_an_objective_allows_a_share_of_bad_requests(tmp_path: Path, fields: str, bad_share: float) -> None:
    assert of(tmp_path, fields)["a"].bad_share == pytest.approx(bad_share)


def test_another_limit_keeps_its_side_and_is_checked_again(tmp_path: Path) -> None:
    objective = of(tmp_path, GOOD)["a"].with_limit(2)
    assert (objective.at_most, objective.at_least) == (2, None)
    with pytest.raises(ValueError, match="above 0"):
        objective.with_limit(-1)
    goodput = of(tmp_path, GOODPUT + "at_least: 0.9\nper_request: {ttft_s: 1}\n")["a"].with_limit(0.8)
    assert (goodput.at_most, goodput.at_least) == (None, 0.8)
