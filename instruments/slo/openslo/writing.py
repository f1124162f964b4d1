"""Objectives as OpenSLO v1 documents: what it has no field for is in annotations, so that nothing is lost.

Latencies and gauges that vLLM exposes become queries of Prometheus, of all else this project is the source.
Fields as in OpenSLO's README and schemas/v1; names and keys as strict as its Go SDK takes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml

from instruments.errors import ConfigurationError
from instruments.slo.applies import EVERYWHERE
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.server_indicators import SOURCES
from instruments.slo.server_metrics import FAMILIES, ServerMetrics, le, neighbours
from instruments.statistics.indicators import INDICATORS

VERSION = "openslo/v1"
PREFIX = (
    "vllm-slo.internal/"  # of annotations: a DNS name with a dot, as the schema asks, that nobody can own
)
SERVICE = "vllm"
OURS = "vllm-slo"  # the type of a source that is read from the journals of a run
WINDOW = "28d"  # of the error budget where objectives become alerts; a run is judged as a whole
NAME_AT_MOST = 63
DESCRIPTION_AT_MOST = 1050
BELOW_ONE = 1 - 2**-53  # a target of 1 is none


def openslo_yaml(objectives: Iterable[ServiceLevelObjective]) -> str:
    """All of them as one YAML stream, a document each."""
    return yaml_text(to_openslo(objectives))


def yaml_text(documents: Sequence[Any]) -> str:
    """Documents as a stream of YAML that is read as what they are."""

    def dumped(*, allow_unicode: bool) -> str:
        return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=allow_unicode, width=110)

    text = dumped(allow_unicode=True)
    try:
        same = list(yaml.safe_load_all(text)) == documents
    except yaml.YAMLError:
        same = False
    return text if same else dumped(allow_unicode=False)  # PyYAML loses some line breaks that are not ASCII


def to_openslo(objectives: Iterable[ServiceLevelObjective]) -> list[dict[str, Any]]:
    """An SLO of OpenSLO v1 for each objective, its indicator inlined."""
    taken: set[str] = set()
    return [_document(objective, _name(objective.id, taken)) for objective in objectives]


def told(objective: ServiceLevelObjective) -> dict[str, Any]:
    """The entry of `spec.objectives`.

    `target` is the share of events, or of samples, that has to be within the limit. What is no share
    (a mean, a count, a rate) has a target because OpenSLO asks for one: the confidence of the verdict.
    """
    if objective.indicator == "goodput_share":
        return {"target": objective.limit}
    if objective.indicator == "error_share":
        return {"target": min(1 - objective.limit, BELOW_ONE)}
    below = objective.at_most is not None
    target = objective.confidence
    if objective.is_quantile:
        target = objective.quantile if below else round(1 - objective.quantile, 6)
    if _bucket(objective) is not None:
        return {"target": target}
    return {"op": "lte" if below else "gte", "value": objective.limit, "target": target}


def annotated(objective: ServiceLevelObjective) -> dict[str, str]:
    """What OpenSLO has no field for, by names of ours; numbers and mappings as JSON, which is exact."""
    found: dict[str, str] = {
        name: getattr(objective, name) for name in ("workload", "indicator", "statistic", "family")
    }
    found |= {"confidence": json.dumps(objective.confidence), "required": json.dumps(objective.required)}
    if "value" not in told(objective) and objective.indicator != "goodput_share":
        found["limit"] = json.dumps(objective.limit)
    if objective.per_request:
        found["per-request"] = json.dumps(objective.per_request)
    if objective.applies != EVERYWHERE:
        found["applies"] = json.dumps({name: one for name, one in asdict(objective.applies).items() if one})
    if objective.cost_per_hour is not None:
        found["cost-per-hour"] = json.dumps(objective.cost_per_hour)
    if len(objective.description) > DESCRIPTION_AT_MOST:
        found["description"] = objective.description
    return found


def _document(objective: ServiceLevelObjective, name: str) -> dict[str, Any]:
    kept = annotated(objective) | ({"id": objective.id} if objective.id != name else {})
    return {
        "apiVersion": VERSION,
        "kind": "SLO",
        "metadata": {
            "name": name,
            "displayName": str(objective)[:NAME_AT_MOST],
            "annotations": {f"{PREFIX}{key}": value for key, value in kept.items()},
        },
        "spec": {
            "description": objective.description[:DESCRIPTION_AT_MOST],
            "service": SERVICE,
            "indicator": {"metadata": {"name": name}, "spec": _sli(objective)},
            "timeWindow": [{"duration": WINDOW, "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [told(objective)],
        },
    }


def _sli(objective: ServiceLevelObjective) -> dict[str, Any]:
    if (bucket := _bucket(objective)) is not None:
        name, bound_s = bucket
        good, total = f"sum({name}_bucket{{{le(bound_s)}}})", f"sum({name}_count)"
        return {
            "ratioMetric": {"counter": True, "good": _prometheus(good), "total": _prometheus(total)},
        }
    if INDICATORS[objective.indicator].kind == "share":
        part = "bad" if objective.at_least is None else "good"
        counted: dict[str, Any] = {"requests": part}
        if objective.per_request:
            counted["per_request"] = dict(objective.per_request)
        return {"ratioMetric": {"counter": True, part: _ours(counted), "total": _ours({"requests": "due"})}}
    gauge = _of_server(objective)
    if gauge is not None and objective.is_quantile and SOURCES[objective.indicator] not in FAMILIES:
        return {"thresholdMetric": _prometheus(gauge)}
    asked: dict[str, Any] = {"indicator": objective.indicator, "statistic": objective.statistic}
    return {"thresholdMetric": _ours(asked)}


def _bucket(objective: ServiceLevelObjective) -> tuple[str, float] | None:
    """The histogram that tells of a latency, and the bound beyond which its events are surely over the limit.

    The bound is the limit or the next one above it: as in the rules that are made of the same objective.
    """
    source, name = SOURCES.get(objective.indicator), _of_server(objective)
    if name is None or source is None or source not in FAMILIES or not objective.is_quantile:
        return None
    try:
        return name, neighbours(ServerMetrics().bounds_s(source), objective.limit)[1]
    except ConfigurationError:  # beyond the last bound: the histogram says nothing of it
        return None


def _of_server(objective: ServiceLevelObjective) -> str | None:
    """What the newest vLLM calls the metric; None where none tells, or none of this model or load alone."""
    applies = objective.applies
    if applies.models or applies.accelerators or applies.users or objective.indicator not in SOURCES:
        return None
    return ServerMetrics().names(SOURCES[objective.indicator])[0]


def _prometheus(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _ours(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"metricSource": {"type": OURS, "spec": dict(spec)}}


def _name(words: str, taken: set[str]) -> str:
    """A DNS label of an id (RFC 1123: 63 of a-z, 0-9 and -), another one for each."""
    label = re.sub(r"[^a-z0-9]+", "-", words.lower())[:NAME_AT_MOST].strip("-") or "objective"
    name, number = label, 1
    while name in taken:
        number += 1
        name = f"{label[: NAME_AT_MOST - len(str(number)) - 1].rstrip('-')}-{number}"
    taken.add(name)
    return name
