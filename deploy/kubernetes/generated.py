"""Generated manifests: what is made of rules, dashboards, the engine's settings and environments.yaml.

Each function gives the text of one file; nothing is read or written here but what is named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

NOTE = "# Made by `python -m deploy.kubernetes` of {sources}: change those, not this file.\n"
STARTUP_PERIOD_S = 10
STARTUP_MARGIN = 1.5  # of the declared cold start, which is of one machine on one day
LABELS = {"app.kubernetes.io/name": "vllm-slo", "app.kubernetes.io/component": "monitoring"}


def rules_text(files: Sequence[Path]) -> str:
    """A PrometheusRule for each rule file, named after it."""
    return _document_texts("deploy/monitoring/rules", [_rule(file) for file in files])


def dashboards_text(files: Sequence[Path]) -> str:
    """A ConfigMap for each dashboard, with the label by which Grafana's sidecar finds it."""
    return _document_texts("deploy/monitoring/dashboards", [_dashboard(file) for file in files])


def gateway_settings_text(base: Path, place: Mapping[str, Any]) -> str:
    """The gateway's settings of a place: those of the base, its limits, and whom it believes of addresses."""
    settings = yaml.safe_load(base.read_text(encoding="utf-8"))
    settings["limits"] |= place.get("limits", {})
    settings["trusted_proxies"] = place["trusted_proxies"]
    return NOTE.format(sources="base/gateway-settings.yaml and environments.yaml") + dumped(settings)


def engine_patch_text(place: Mapping[str, Any], launch: Mapping[str, Any], weights: Sequence[str]) -> str:
    """The engine's Deployment of a place: its arguments, variables, and how long a start may take."""
    engine = {
        "name": "engine",
        "args": launch["args"],
        "env": [{"name": name, "value": value} for name, value in sorted(launch["environment"].items())],
        "startupProbe": {"failureThreshold": startup_failures(place["cold_start_s"])},
    }
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "vllm-engine"},
        "spec": {
            "template": {
                "spec": {
                    "initContainers": [{"name": "weights", "args": list(weights)}],
                    "containers": [engine],
                }
            }
        },
    }
    sources = f"deploy/engine/settings/{place['engine_settings']} and environments.yaml"
    return NOTE.format(sources=sources) + dumped(patch)


def startup_failures(cold_start_s: float) -> int:
    """How often the startup probe may fail, so that a start may take STARTUP_MARGIN times `cold_start_s`."""
    return math.ceil(cold_start_s * STARTUP_MARGIN / STARTUP_PERIOD_S)


def _rule(file: Path) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"vllm-slo-{file.stem}", "labels": LABELS},
        "spec": {"groups": yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]},
    }


def _dashboard(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    json.loads(text)  # a file that is none would make Grafana's sidecar fail, silently
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"vllm-slo-dashboard-{file.stem}",
            "labels": {**LABELS, "grafana_dashboard": "1"},
            "annotations": {"grafana_folder": "vLLM"},
        },
        "data": {file.name: text},
    }


def _document_texts(sources: str, documents: Sequence[Mapping[str, Any]]) -> str:
    return NOTE.format(sources=sources) + "---\n".join(dumped(document) for document in documents)


class _BlockDumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that a query or a dashboard can be read; no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_BlockDumper.add_representer(str, _text)


def dumped(document: Mapping[str, Any]) -> str:
    """A document as YAML, in the order of its fields."""
    return yaml.dump(document, Dumper=_BlockDumper, sort_keys=False, width=1_000_000, allow_unicode=True)
