"""Objectives from OpenSLO v1 documents: ours come back as they were, others as far as vLLM's metrics tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from instruments.catalog import checked
from instruments.errors import ConfigurationError
from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.openslo.promql import bucket_of, gauge_of
from instruments.slo.openslo.shapes import Metric, Ratio, Sli, Slo, Target
from instruments.slo.openslo.writing import PREFIX, VERSION, told
from instruments.statistics.indicators import INDICATORS, QUANTILES
from instruments.telemetry.vllm import NAMES

PASSED_OVER = ("Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
JSON_FIELDS = {"confidence", "required", "limit", "per-request", "applies", "cost-per-hour"}
TEXT_FIELDS = {"id", "description", "workload", "indicator", "statistic", "family"}


def load_openslo(path: Path, workload: str | None = None) -> dict[str, ServiceLevelObjective]:
    """The objectives of a file by id. `workload` is for documents that name none.

    ConfigurationError names the document and the field that is wrong, or that nothing here measures.
    """
    try:
        documents = [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one is not None]
    except (OSError, UnicodeDecodeError) as error:
        seen = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read {path}", expected="a readable YAML file", seen=seen) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path} is not YAML", expected="valid YAML", seen=str(error)) from None
    return from_openslo(documents, str(path), workload)


def from_openslo(
    documents: Sequence[Any], where: str, workload: str | None = None
) -> dict[str, ServiceLevelObjective]:
    """The same of documents that are read already; `where` is how errors name them."""
    flat = [one for document in documents for one in (document if isinstance(document, list) else [document])]
    places = [f"{where}: document {number}" for number in range(1, len(flat) + 1)]
    kinds = [_kind(document, place) for document, place in zip(flat, places, strict=True)]
    slis = {}
    for document, place, kind in zip(flat, places, kinds, strict=True):
        if kind == "SLI":
            sli = checked(document, TypeAdapter(Sli), place)
            slis[sli.metadata.name if sli.metadata else ""] = sli
    found: dict[str, ServiceLevelObjective] = {}
    for document, place, kind in zip(flat, places, kinds, strict=True):
        if kind != "SLO":
            continue
        objective = _objective(checked(document, TypeAdapter(Slo), place), place, slis, workload)
        if objective.id in found:
            raise ConfigurationError(f"{place}: the id {objective.id!r} is used twice")
        found[objective.id] = objective
    if not found:
        raise ConfigurationError(f"{where} holds no SLO", expected=f"apiVersion: {VERSION}, kind: SLO")
    return found


def _kind(document: Any, place: str) -> str:
    if not isinstance(document, dict):
        raise ConfigurationError(f"{place} is no mapping", seen=type(document).__name__)
    if document.get("apiVersion") != VERSION:
        raise ConfigurationError(
            f"{place}.apiVersion cannot be read", expected=VERSION, seen=repr(document.get("apiVersion"))
        )
    kind = document.get("kind")
    if kind not in ("SLO", "SLI", *PASSED_OVER):
        raise ConfigurationError(f"{place}.kind is none of OpenSLO's", expected="SLO", seen=repr(kind))
    return str(kind)


def _objective(slo: Slo, place: str, slis: Mapping[str, Sli], workload: str | None) -> ServiceLevelObjective:
    if slo.spec.budgeting_method != "Occurrences":
        raise ConfigurationError(
            f"{place}.spec.budgetingMethod: only requests are counted here",
            expected="Occurrences",
            seen=slo.spec.budgeting_method,
        )
    if len(slo.spec.objectives) != 1:
        raise ConfigurationError(
            f"{place}.spec.objectives cannot be one objective",
            expected="exactly one",
            seen=f"{len(slo.spec.objectives)}",
            hint="write an SLO for each",
        )
    kept = _kept(slo.metadata.annotations, place)
    described = slo.spec.description if slo.spec.description.strip() else slo.metadata.name
    fields: dict[str, Any] = {"id": slo.metadata.name, "description": described}
    if "indicator" in kept:
        fields |= _ours(slo.spec.objectives[0], kept, place)
    else:
        fields |= _of_others(slo, slis, place) | kept
    fields.setdefault("workload", workload)
    if fields["workload"] is None:
        raise ConfigurationError(
            f"{place}.metadata.annotations: nothing says which workload is judged",
            expected=f"{PREFIX}workload",
            hint="--workload NAME gives it to all that have none",
        )
    objective = checked(fields, TypeAdapter(ServiceLevelObjective), f"{place}, as an objective")
    _check_target(slo.spec.objectives[0], objective, place)
    return objective


def _kept(annotations: Mapping[str, str], place: str) -> dict[str, Any]:
    """Our annotations as the fields that they are."""
    found: dict[str, Any] = {}
    for key, text in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX)
        if name not in JSON_FIELDS | TEXT_FIELDS:
            raise ConfigurationError(
                f"{place}.metadata.annotations: {key!r} is none of ours",
                expected=", ".join(sorted(JSON_FIELDS | TEXT_FIELDS)),
            )
        try:
            found[name.replace("-", "_")] = json.loads(text) if name in JSON_FIELDS else text
        except ValueError as error:
            raise ConfigurationError(
                f"{place}.metadata.annotations.{key} is not JSON", expected=str(error), seen=text
            ) from None
    return found


def _ours(entry: Target, kept: dict[str, Any], place: str) -> dict[str, Any]:
    """The fields of an objective that was written here; value and goodput's target may have been changed."""
    known = INDICATORS.get(kept["indicator"])
    at_least = entry.op in ("gte", "gt") or (known is not None and known.side == "at_least")
    limit = kept.pop("limit", entry.value)
    if kept["indicator"] == "goodput_share":
        limit = _share(entry, place)
    if limit is None:
        raise ConfigurationError(f"{place}.spec.objectives[0].value is missing", expected="the limit")
    return kept | {"at_least" if at_least else "at_most": limit}


def _of_others(slo: Slo, slis: Mapping[str, Sli], place: str) -> dict[str, Any]:
    """Indicator, statistic and limit as far as queries of vLLM's own metrics tell them."""
    sli, at = slo.spec.indicator, f"{place}.spec.indicator.spec"
    if sli is None:
        sli, at = slis.get(slo.spec.indicator_ref or ""), f"{place}.spec.indicatorRef"
        if sli is None:
            raise ConfigurationError(
                f"{at}: no SLI of that name in this file", seen=f"{slo.spec.indicator_ref}"
            )
    entry = slo.spec.objectives[0]
    if sli.spec.ratio_metric is not None:
        return _of_buckets(sli.spec.ratio_metric, _share(entry, place), at, place)
    if sli.spec.threshold_metric is not None:
        return _of_gauge(sli.spec.threshold_metric, entry, at, place)
    raise ConfigurationError(f"{at}: neither thresholdMetric nor ratioMetric")


def _of_buckets(ratio: Ratio, share: float, at: str, place: str) -> dict[str, Any]:
    good, total = (_query(one) for one in (ratio.good, ratio.total))
    name, bound_s = bucket_of(good, total) or ("", 0.0)
    metric = _metric_of(name)
    indicator = next(
        (one.name for one in INDICATORS.values() if one.histogram and one.metric == metric), None
    )
    if indicator is None:
        raise ConfigurationError(
            f"{at}.ratioMetric: nothing here measures it",
            expected='good: sum(rate(…_bucket{le="…"}[…])) of a latency of vLLM, total: that of its _count; '
            "with rate, increase or neither, and nothing else",
            seen=f"good: {good or 'no query'}; total: {total or 'no query'}",
        )
    statistic = next((one for one in QUANTILES if abs(float(one[1:]) / 100 - share) < 1e-9), None)
    if statistic is None:
        raise ConfigurationError(
            f"{place}.spec.objectives[0].target is no quantile that is judged here",
            expected=", ".join(f"{float(one[1:]) / 100:g}" for one in QUANTILES),
            seen=f"{share:g}",
        )
    return {"indicator": indicator, "statistic": statistic, "at_most": bound_s}


def _of_gauge(metric: Metric, entry: Target, at: str, place: str) -> dict[str, Any]:
    query = _query(metric)
    name = gauge_of(query)
    ours = None if name is None else _metric_of(name)
    sampled = [one for one in INDICATORS.values() if one.metric == ours and "p95" in one.statistics]
    if ours is None or len(sampled) != 1 or sampled[0].histogram:
        raise ConfigurationError(
            f"{at}.thresholdMetric: nothing here measures it",
            expected="a gauge of vLLM: waiting or running requests, or the usage of its KV cache",
            seen=query or "no query",
        )
    if entry.op not in ("lte", "gte") or entry.value is None:
        raise ConfigurationError(
            f"{place}.spec.objectives[0]: a limit here belongs to what is within it",
            expected="op: lte or gte, and a value",
            seen=f"op {entry.op}, value {entry.value}",
        )
    share, side = _share(entry, place), "at_most" if entry.op == "lte" else "at_least"
    if abs(share - (0.95 if side == "at_most" else 0.05)) > 1e-9:
        raise ConfigurationError(
            f"{place}.spec.objectives[0].target: of samples p95 is judged",
            expected="0.95 of samples at most, or 0.05 at least, as much as the value",
            seen=f"{share:g}",
        )
    return {"indicator": sampled[0].name, "statistic": "p95", side: entry.value}


def _check_target(entry: Target, objective: ServiceLevelObjective, place: str) -> None:
    """A document that was changed in one place only says two things."""
    share, meant = _share(entry, place), told(objective)["target"]
    if abs(share - meant) > 1e-9:
        raise ConfigurationError(
            f"{place}.spec.objectives[0].target is not that of its annotations",
            expected=f"{meant:g}, for {objective} at {100 * objective.confidence:g} % confidence",
            seen=f"{share:g}",
            hint=f"change {PREFIX}statistic, {PREFIX}limit or {PREFIX}confidence with it",
        )


def _share(entry: Target, place: str) -> float:
    share = entry.target
    if share is None and entry.target_percent is not None:
        share = round(entry.target_percent / 100, 12)
    if share is None or not 0 <= share < 1:
        raise ConfigurationError(
            f"{place}.spec.objectives[0].target is no share",
            expected="0 or more, and below 1 (targetPercent: below 100)",
            seen=f"{share}",
        )
    return share


def _query(metric: Metric | None) -> str:
    if metric is None or metric.metric_source.type not in (None, "Prometheus", "prometheus"):
        return ""
    return str(metric.metric_source.spec.get("query", ""))


def _metric_of(name: str) -> str | None:
    """Our name of one of vLLM's metrics, of any version."""
    return next((ours for ours, names in NAMES.items() if name in names), None)
