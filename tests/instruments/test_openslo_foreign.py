"""OpenSLO documents that somebody else wrote: read as far as vLLM's metrics tell, else refused by field."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.openslo import from_openslo, load_openslo

TTFT = """\
apiVersion: openslo/v1
kind: Service
metadata: {name: chat}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: first-token}
spec:
  ratioMetric:
    counter: true
    good:
      metricSource:
        metricSourceRef: prometheus
        type: Prometheus
        spec:
          query: sum(rate(vllm:time_to_first_token_seconds_bucket{model_name="a",le="0.25"}[5m]))
    total:
      metricSource:
        type: Prometheus
        spec: {query: 'sum(rate(vllm:time_to_first_token_seconds_count{model_name="a"}[5m]))'}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: first-token-slo
  displayName: First token
  labels: {team: [a, b]}
  annotations: {example.com/board: "7"}
spec:
  description: quick enough
  service: chat
  indicatorRef: first-token
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: ok, targetPercent: 99}]
  alertPolicies: [{alertPolicyRef: page}]
"""


def test_a_share_of_one_of_vllms_histograms_is_a_quantile_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text(TTFT)
    assert load_openslo(path, workload="w") == {
        "first-token-slo": ServiceLevelObjective(
            "first-token-slo", "quick enough", "w", "server_ttft_s", "p99", at_most=0.25
        )
    }


def metric(query: str, **source: Any) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **source}}


def slo(sli: dict[str, Any], **told: Any) -> dict[str, Any]:
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": "theirs"},
        "spec": {
            "service": "chat",
            "indicator": {"metadata": {"name": "sli"}, "spec": sli},
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.95, **told}],
        },
    }


def buckets(name: str, matcher: str) -> dict[str, Any]:
    return {
        "ratioMetric": {
            "counter": True,
            "good": metric(f"sum({name}_bucket{{{matcher}}})"),
            "total": metric(f"sum({name}_count)"),
        }
    }


QUEUE = {"thresholdMetric": metric("vllm:num_requests_waiting")}


def read(document: Any, workload: str | None = "w") -> ServiceLevelObjective:
    [objective] = from_openslo([document], "theirs.yaml", workload).values()
    return objective


@pytest.mark.parametrize(
    ("document", "judged"),
    [
        (
            slo(buckets("vllm:e2e_request_latency_seconds", 'le=~"5|5[.]0"')),
            ("server_e2e_s", "p95", 5.0, None),
        ),
        (slo(buckets("vllm:inter_token_latency_seconds", 'le="0.1"')), ("server_itl_s", "p95", 0.1, None)),
        (slo(buckets("vllm:time_per_output_token_seconds", 'le="1e-1"')), ("server_itl_s", "p95", 0.1, None)),
        (slo(QUEUE, op="lte", value=8), ("queue_depth", "p95", 8.0, None)),
        (
            slo({"thresholdMetric": metric('vllm:gpu_cache_usage_perc{job="a"}')}, op="lte", value=0.9),
            ("kv_cache_usage", "p95", 0.9, None),
        ),
        (
            slo({"thresholdMetric": metric("vllm:num_requests_running")}, op="gte", value=4, target=0.05),
            ("running", "p95", None, 4.0),
        ),
    ],
)  # fmt: skip
def test_what_vllm_exposes_is_understood(document: dict[str, Any], judged: tuple[Any, ...]) -> None:
    found = read(document)
    assert (found.indicator, found.statistic, found.at_most, found.at_least) == judged
    assert (found.id, found.workload, found.confidence, found.required) == ("theirs", "w", 0.95, True)


def test_our_annotations_may_say_more_of_a_foreign_one() -> None:
    document = slo(QUEUE, op="lte", value=8)
    document["metadata"]["annotations"] = {
        "vllm-slo.internal/workload": "mine",
        "vllm-slo.internal/confidence": "0.99",
        "vllm-slo.internal/required": "false",
    }
    found = read(document, workload="w")
    assert (found.workload, found.confidence, found.required) == ("mine", 0.99, False)


def without(document: dict[str, Any], *path: str) -> dict[str, Any]:
    copy = deepcopy(document)
    inner: Any = copy
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return copy


def changed(document: dict[str, Any], value: Any, *path: str) -> dict[str, Any]:
    copy = deepcopy(document)
    inner: Any = copy
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copy


GOOD = slo(QUEUE, op="lte", value=8)
LATENCY = buckets("vllm:time_to_first_token_seconds", 'le="0.25"')
AT = "theirs.yaml: document 1"

WRONG = {
    "no mapping": (["a"], f"{AT} is no mapping"),
    "another version": (changed(GOOD, "openslo/v2alpha", "apiVersion"), f"{AT}.apiVersion cannot be read"),
    "another kind": (changed(GOOD, "Pod", "kind"), f"{AT}.kind is none of OpenSLO's"),
    "no name": (without(GOOD, "metadata", "name"), f"{AT}.metadata.name: Field required"),
    "no spec": (without(GOOD, "spec"), f"{AT}.spec: Field required"),
    "no objectives": (without(GOOD, "spec", "objectives"), f"{AT}.spec.objectives: Field required"),
    "an unknown operator": (slo(QUEUE, op="eq", value=8), f"{AT}.spec.objectives[0].op: Input should be"),
    "a value in words": (slo(QUEUE, op="lte", value="much"), f"{AT}.spec.objectives[0].value"),
    "slices of time": (
        changed(GOOD, "Timeslices", "spec", "budgetingMethod"), f"{AT}.spec.budgetingMethod: only requests"
    ),
    "two objectives": (
        changed(GOOD, [{"target": 0.9}, {"target": 0.95}], "spec", "objectives"),
        f"{AT}.spec.objectives cannot be one objective",
    ),
    "no indicator": (without(GOOD, "spec", "indicator"), f"{AT}.spec.indicatorRef: no SLI of that name"),
    "an empty indicator": (slo({}), f"{AT}.spec.indicator.spec: neither thresholdMetric nor ratioMetric"),
    "another system": (
        slo({"thresholdMetric": metric("avg:http.requests{*}", type="Datadog")}, op="lte", value=8),
        f"{AT}.spec.indicator.spec.thresholdMetric: nothing here measures it",
    ),
    "another metric": (
        slo({"thresholdMetric": metric("up")}, op="lte", value=8), "thresholdMetric: nothing here measures it"
    ),
    "a computed metric": (
        slo({"thresholdMetric": metric("max(vllm:num_requests_waiting)")}, op="lte", value=8),
        "thresholdMetric: nothing here measures it",
    ),
    "half of a metric": (
        slo({"thresholdMetric": metric("vllm:num_requests_waiting / 2")}, op="lte", value=8),
        f"{AT}.spec.indicator.spec.thresholdMetric: nothing here measures it",
    ),
    "a metric of an hour ago": (
        slo({"thresholdMetric": metric("vllm:num_requests_waiting offset 1h")}, op="lte", value=8),
        "thresholdMetric: nothing here measures it",
    ),
    "a value in quotes": (slo(QUEUE, op="lte", value="8"), f"{AT}.spec.objectives[0].value"),
    "a target that is a yes": (slo(LATENCY, target=True), f"{AT}.spec.objectives[0].target: Input should"),
    "a histogram of something else": (
        slo(buckets("http_request_duration_seconds", 'le="0.25"')),
        f"{AT}.spec.indicator.spec.ratioMetric: nothing here measures it",
    ),
    "no bound": (
        slo(buckets("vllm:time_to_first_token_seconds", 'model_name="a"')),
        "ratioMetric: nothing here measures it",
    ),
    "a ratio made before": (
        slo({"ratioMetric": {"counter": True, "rawType": "success", "raw": metric("x")}}),
        "ratioMetric: nothing here measures it",
    ),
    "a total of something else": (
        changed(slo(LATENCY), metric("sum(up)"), "spec", "indicator", "spec", "ratioMetric", "total"),
        "ratioMetric: nothing here measures it",
    ),
    "a quantile that is none": (
        slo(LATENCY, target=0.97), f"{AT}.spec.objectives[0].target is no quantile that is judged here"
    ),
    "a target of all": (slo(LATENCY, target=1), f"{AT}.spec.objectives[0].target is no share"),
    "no target": (changed(GOOD, [{"op": "lte", "value": 1}], "spec", "objectives"), "target is no share"),
    "a target that is no number": (slo(LATENCY, target=float("nan")), "target is no share"),
    "a limit that is left out": (slo(QUEUE, op="lt", value=8), f"{AT}.spec.objectives[0]: a limit here"),
    "no limit": (slo(QUEUE, op="lte"), "op lte, value None"),
    "another share of samples": (
        slo(QUEUE, op="lte", value=8, target=0.9), f"{AT}.spec.objectives[0].target: of samples p95 is judged"
    ),
    "a limit without end": (slo(QUEUE, op="lte", value=float("inf")), "a limit is a finite number"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_an_objective_is_refused_with_document_and_field(document: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_openslo([[document]] if isinstance(document, list) else [document], "theirs.yaml", "w")
    assert said in str(caught.value)


def test_a_load_has_to_be_named_by_somebody() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(GOOD, workload=None)
    said = str(caught.value)
    assert f"{AT}.metadata.annotations: nothing says which workload is judged" in said
    assert "--workload" in said


def test_the_second_document_is_named_by_its_number() -> None:
    with pytest.raises(ConfigurationError, match=r"document 2\.spec\.budgetingMethod"):
        from_openslo([GOOD, changed(GOOD, "Timeslices", "spec", "budgetingMethod")], "theirs.yaml", "w")


def test_a_list_of_documents_is_as_good_as_a_stream() -> None:
    assert list(from_openslo([[GOOD]], "theirs.yaml", "w")) == ["theirs"]


def test_one_id_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"document 2: the id 'theirs' is used twice"):
        from_openslo([GOOD, GOOD], "theirs.yaml", "w")


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "holds no SLO"), ("a: [1\n- b", "is not YAML"), ("x: 2026-13-45", "is not YAML")],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_openslo(path)
    assert f"{path}" in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        load_openslo(tmp_path / "none.yaml")
