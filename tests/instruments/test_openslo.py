"""Objectives as OpenSLO v1: every field as its schema has it, and back without a loss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.applies import Applies
from instruments.slo.openslo import from_openslo, load_openslo, openslo_yaml, to_openslo, yaml_text
from instruments.statistics.indicators import INDICATORS

# OpenSLO/OpenSLO, README.md and schemas/v1/parts/*.schema.json; where its Go SDK (OpenSLO/go-sdk,
# pkg/openslo/v1) is stricter, as that has it: a name is a DNS label, a displayName has 63 letters.
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ANNOTATION = re.compile(
    r"(([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]/)?"
    r"[a-z0-9A-Z]([-._a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
)
DURATION = re.compile(r"[1-9][0-9]*[mhdwMQY]")


def assert_slo(document: dict[str, Any]) -> None:
    """Every rule of the schema for a document of kind SLO."""
    assert list(document) == ["apiVersion", "kind", "metadata", "spec"]
    assert (document["apiVersion"], document["kind"]) == ("openslo/v1", "SLO")
    _assert_metadata(document["metadata"])
    spec = document["spec"]
    assert set(spec) == {
        "description", "service", "indicator", "timeWindow", "budgetingMethod", "objectives",
    }  # fmt: skip
    assert len(spec["description"]) <= 1050
    assert DNS_LABEL.fullmatch(spec["service"])
    assert set(spec["indicator"]) == {"metadata", "spec"}
    _assert_metadata(spec["indicator"]["metadata"])
    _assert_sli(spec["indicator"]["spec"])
    assert len(spec["timeWindow"]) == 1
    assert spec["timeWindow"][0]["isRolling"] is True
    assert DURATION.fullmatch(spec["timeWindow"][0]["duration"])
    assert spec["budgetingMethod"] == "Occurrences"
    _assert_objectives(spec["objectives"], "thresholdMetric" in spec["indicator"]["spec"])


def _assert_metadata(metadata: dict[str, Any]) -> None:
    assert set(metadata) <= {"name", "displayName", "labels", "annotations"}
    assert DNS_LABEL.fullmatch(metadata["name"])
    assert 0 < len(metadata.get("displayName", "one")) <= 63
    for key, value in metadata.get("annotations", {}).items():
        assert ANNOTATION.fullmatch(key), key
        assert isinstance(value, str)


def _assert_sli(sli: dict[str, Any]) -> None:
    assert len(sli) == 1
    if "thresholdMetric" in sli:
        _assert_metric(sli["thresholdMetric"])
        return
    ratio = dict(sli["ratioMetric"])
    assert ratio.pop("counter") is True
    assert set(ratio) in ({"good", "total"}, {"bad", "total"})
    for metric in ratio.values():
        _assert_metric(metric)


def _assert_metric(metric: dict[str, Any]) -> None:
    assert list(metric) == ["metricSource"]
    assert set(metric["metricSource"]) == {"type", "spec"}
    assert metric["metricSource"]["type"] in ("Prometheus", "vllm-slo")
    assert len(metric["metricSource"]["spec"]) >= 1


def _assert_objectives(objectives: list[dict[str, Any]], threshold: bool) -> None:
    assert len(objectives) == 1  # of a thresholdMetric there may be no more
    assert set(objectives[0]) == ({"op", "value", "target"} if threshold else {"target"})
    assert 0 <= objectives[0]["target"] < 1
    if threshold:
        assert objectives[0]["op"] in ("lte", "gte")
        assert isinstance(objectives[0]["value"], int | float)


def made(indicator: str, statistic: str, **fields: Any) -> ServiceLevelObjective:
    return ServiceLevelObjective("An id, of mine", "what for", "w", indicator, statistic, **fields)


def exported(objective: ServiceLevelObjective) -> dict[str, Any]:
    [document] = to_openslo([objective])
    assert_slo(document)
    return document


def prometheus(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def test_a_latency_is_a_share_of_a_histogram() -> None:
    spec = exported(made("ttft_s", "p95", at_most=1))["spec"]
    name = "vllm:time_to_first_token_seconds"
    assert spec["indicator"]["spec"]["ratioMetric"] == {
        "counter": True,
        "good": prometheus(f'sum({name}_bucket{{le=~"1|1[.]0"}})'),
        "total": prometheus(f"sum({name}_count)"),
    }
    assert spec["objectives"] == [{"target": 0.95}]
    assert "displayName: TTFT p95 ≤ 1 s" in openslo_yaml([made("ttft_s", "p95", at_most=1)])


def test_a_limit_between_two_bounds_counts_up_to_the_upper_one_and_stays_what_it_is() -> None:
    document = exported(made("e2e_s", "p99", at_most=3))
    query = document["spec"]["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]["query"]
    assert query == 'sum(vllm:e2e_request_latency_seconds_bucket{le=~"5|5[.]0"})'
    assert document["metadata"]["annotations"]["vllm-slo.internal/limit"] == "3"


@pytest.mark.parametrize(
    ("objective", "metric", "told"),
    [
        (
            made("kv_cache_usage", "p95", at_most=0.9),
            {"type": "Prometheus", "spec": {"query": "vllm:kv_cache_usage_perc"}},
            {"op": "lte", "value": 0.9, "target": 0.95},
        ),
        (  # p95 at or above 4: more than 5 % of samples are
            made("running", "p95", at_least=4),
            {"type": "Prometheus", "spec": {"query": "vllm:num_requests_running"}},
            {"op": "gte", "value": 4, "target": 0.05},
        ),
        (
            made("chunk_gap_s", "p99", at_most=100),  # beyond the histogram's last bound
            {"type": "vllm-slo", "spec": {"indicator": "chunk_gap_s", "statistic": "p99"}},
            {"op": "lte", "value": 100, "target": 0.99},
        ),
        (
            made("ttft_s", "mean", at_most=0.2, confidence=0.9),
            {"type": "vllm-slo", "spec": {"indicator": "ttft_s", "statistic": "mean"}},
            {"op": "lte", "value": 0.2, "target": 0.9},
        ),
        (  # Prometheus would tell of all models together
            made("ttft_s", "p95", at_most=0.25, applies=Applies(models=("llama*",))),
            {"type": "vllm-slo", "spec": {"indicator": "ttft_s", "statistic": "p95"}},
            {"op": "lte", "value": 0.25, "target": 0.95},
        ),
    ],
)
def test_what_is_no_ratio_is_a_threshold(
    objective: ServiceLevelObjective, metric: dict[str, Any], told: dict[str, Any]
) -> None:
    spec = exported(objective)["spec"]
    assert spec["indicator"]["spec"] == {"thresholdMetric": {"metricSource": metric}}
    assert spec["objectives"] == [told]


def test_goodput_is_good_of_all_and_errors_are_bad_of_all() -> None:
    limits = {"ttft_s": 0.5}
    spec = exported(made("goodput_share", "share", at_least=0.9, per_request=limits))["spec"]
    ratio = spec["indicator"]["spec"]["ratioMetric"]
    assert ratio["good"]["metricSource"]["spec"] == {"requests": "good", "per_request": limits}
    assert spec["objectives"] == [{"target": 0.9}]
    spec = exported(made("error_share", "share", at_most=0.01))["spec"]
    assert spec["indicator"]["spec"]["ratioMetric"]["bad"]["metricSource"]["spec"] == {"requests": "bad"}
    assert spec["objectives"] == [{"target": 0.99}]


def test_names_are_labels_of_their_own_and_ids_are_kept() -> None:
    ids = ["TTFT p95!", "ttft-p95", "ttft p95", "é", "日本", "x" * 70, "x" * 71]
    objectives = [ServiceLevelObjective(one, "d", "w", "ttft_s", "p95", at_most=1) for one in ids]
    documents = to_openslo(objectives)
    for document in documents:
        assert_slo(document)
    names = [document["metadata"]["name"] for document in documents]
    assert names[:5] == ["ttft-p95", "ttft-p95-2", "ttft-p95-3", "objective", "objective-2"]
    assert len(set(names)) == len(names)
    assert list(from_openslo(documents, "there")) == ids


LIMITS = st.floats(min_value=1e-6, max_value=1e6)
SHARES = st.floats(min_value=1e-9, max_value=1 - 1e-9)
TEXTS = st.text(max_size=20)
WORDS = TEXTS.filter(str.strip)
NAMES = st.lists(st.text(min_size=1, max_size=8).filter(str.strip), max_size=2).map(tuple)
PLACES = st.builds(
    Applies, NAMES, NAMES, NAMES, st.lists(st.integers(1, 512), max_size=2).map(tuple)
)  # fmt: skip
PER_REQUEST = st.dictionaries(st.sampled_from(["tpot_s", "e2e_s"]), LIMITS, min_size=1)


@st.composite
def objectives(draw: st.DrawFn) -> ServiceLevelObjective:
    known = draw(st.sampled_from(list(INDICATORS.values())))
    side = draw(st.sampled_from(["at_most", "at_least"])) if known.side == "either" else known.side
    statistic = draw(st.sampled_from(known.statistics))
    limit: float = draw(SHARES if known.unit == "share" else LIMITS)
    if statistic == "count":
        limit = float(draw(st.integers(0, 10**6)))
    more: dict[str, Any] = {side: limit}
    if known.good == "must" or (known.good == "may" and draw(st.booleans())):
        more["per_request"] = draw(PER_REQUEST)
    if known.name == "cost_per_good_token":
        more["cost_per_hour"] = draw(LIMITS)
    return ServiceLevelObjective(
        draw(st.text(min_size=1, max_size=80).filter(str.strip)),
        draw(st.one_of(WORDS, st.text("ab ", min_size=1000, max_size=1200).filter(str.strip))),
        draw(WORDS),
        known.name,
        statistic,
        confidence=draw(st.floats(min_value=0.5, max_value=1, exclude_max=True)),
        required=draw(st.booleans()),
        family=draw(WORDS),
        applies=draw(PLACES),
        **more,
    )


@settings(max_examples=40, deadline=None)  # YAML is slow, and the machine may be busy
@given(st.lists(objectives(), min_size=1, max_size=4, unique_by=lambda one: one.id))
def test_all_objectives_come_back_as_they_were(several: list[ServiceLevelObjective]) -> None:
    documents = list(yaml.safe_load_all(openslo_yaml(several)))
    for document in documents:
        assert_slo(document)
    assert list(from_openslo(documents, "there").values()) == several


@settings(deadline=None)
@given(TEXTS)
def test_yaml_is_read_as_what_was_written(text: str) -> None:
    assert list(yaml.safe_load_all(yaml_text([{"a": text}]))) == [{"a": text}]


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "\ufeffa"])
def test_line_breaks_that_are_not_ascii_are_kept(text: str) -> None:
    assert list(yaml.safe_load_all(yaml_text([{"a": text}]))) == [{"a": text}]


def test_a_share_that_a_target_cannot_tell_from_1_is_kept() -> None:
    objective = made("error_share", "share", at_most=1e-18)
    document = exported(objective)
    assert list(from_openslo([document], "there").values()) == [objective]


@pytest.fixture
def changeable(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    return tmp_path / "slo.yaml", exported(made("queue_depth", "p95", at_most=8))


def read(path: Path, document: dict[str, Any]) -> ServiceLevelObjective:
    path.write_text(yaml.safe_dump(document))
    [objective] = load_openslo(path).values()
    return objective


def test_a_value_that_was_changed_there_is_the_limit_here(changeable: tuple[Path, dict[str, Any]]) -> None:
    path, document = changeable
    document["spec"]["objectives"][0]["value"] = 6
    document["spec"]["description"] = "other words"
    assert (read(path, document).at_most, read(path, document).description) == (6, "other words")


def test_a_target_that_was_changed_alone_is_refused(changeable: tuple[Path, dict[str, Any]]) -> None:
    path, document = changeable
    document["spec"]["objectives"][0]["target"] = 0.9
    with pytest.raises(ConfigurationError) as caught:
        read(path, document)
    said = str(caught.value)
    assert f"{path}: document 1.spec.objectives[0].target is not that of its annotations" in said
    assert "0.95, for queue depth p95 ≤ 8" in said
    assert "seen:     0.9" in said


def test_a_target_in_percent_is_the_same_target(changeable: tuple[Path, dict[str, Any]]) -> None:
    path, document = changeable
    del document["spec"]["objectives"][0]["target"]
    document["spec"]["objectives"][0]["targetPercent"] = 95
    assert read(path, document).statistic == "p95"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("confidence", "high", "annotations.vllm-slo.internal/confidence is not JSON"),
        ("confidence", "2", "document 1, as an objective: Value error, confidence is at least 0.5"),
        ("indicator", "ttfb", "indicator 'ttfb' is unknown"),
        ("statistic", "p97", "queue_depth has the statistics max, mean, p95"),
        ("colour", "red", "annotations: 'vllm-slo.internal/colour' is none of ours"),
        ("applies", '{"gpus": ["a"]}', "document 1, as an objective.applies.gpus"),
    ],
)
def test_an_annotation_that_is_wrong_is_named(
    changeable: tuple[Path, dict[str, Any]], key: str, value: str, said: str
) -> None:
    path, document = changeable
    document["metadata"]["annotations"][f"vllm-slo.internal/{key}"] = value
    with pytest.raises(ConfigurationError) as caught:
        read(path, document)
    assert said in str(caught.value)
