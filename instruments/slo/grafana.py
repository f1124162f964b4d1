"""Threshold lines on a Grafana dashboard: a panel that shows an objective's metric gets its limit.

Classic dashboard JSON in, the same out; nothing but `thresholds`, `thresholdsStyle` and the last paragraph
of a panel's description is touched, and laying the same objectives on twice is laying them on once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instruments.slo.objective import ServiceLevelObjective
from instruments.slo.server_indicators import SOURCES
from instruments.statistics.indicators import INDICATORS
from instruments.telemetry.vllm import NAMES

MARK = "Lines: "
PARAGRAPH = "\n\n"
REQUIRED, ADVISORY = "red", "orange"
# Unit of an indicator -> units of a panel that shows it, with how many of them one is.
PANEL_UNITS: Mapping[str, Mapping[str | None, float]] = {
    "s": {"s": 1.0, "ms": 1e3, "µs": 1e6},
    "share": {"percentunit": 1.0, "percent": 100.0},
    "requests": {"short": 1.0, "none": 1.0, None: 1.0},
    "tokens/s": {"short": 1.0, "none": 1.0, None: 1.0},
}
# What panels may show beside the metrics that rules judge; a rate of preemptions is no count of them.
PANEL_SOURCES = {
    **{indicator: source for indicator, source in SOURCES.items() if source != "preemptions"},
    "output_tokens_per_s": "generation_tokens",
}
GATEWAY = ("gateway_requests_total",)
# One name for what vLLM's versions call differently, as deploy/monitoring/rules/engine.yml records it.
RECORDED: Mapping[str, tuple[str, ...]] = {
    "itl": ("engine:inter_token_latency_seconds",),
    "kv_cache_usage": ("engine:kv_cache_usage:ratio",),
}

SERIES = "_bucket|_sum|_count"  # of a histogram

Panel = dict[str, Any]


def with_thresholds(
    dashboard: Mapping[str, Any], objectives: Iterable[ServiceLevelObjective]
) -> dict[str, Any]:
    """The dashboard with a line at each objective's limit: red, or orange where it is only advisory.

    A panel takes an objective when one of its queries names the metric, in whatever version's spelling,
    and its unit is that of the limit. Lines of an earlier call are replaced, and taken away where no
    objective has one any more; lines that somebody drew stay on panels that no objective is about.
    """
    laid = copy.deepcopy(dict(dashboard))
    wanted = list(objectives)
    for panel in _panels(laid):
        lines = [
            (objective, scale) for objective in wanted if (scale := _scale(panel, objective)) is not None
        ]
        if lines:
            _draw(panel, lines)
        elif _marked(panel):
            _wipe(panel)
    return laid


def _panels(holder: Mapping[str, Any]) -> list[Panel]:
    """All panels, those of folded rows included."""
    found: list[Panel] = []
    for panel in holder.get("panels", []):
        found += [panel, *_panels(panel)]
    return found


def _scale(panel: Panel, objective: ServiceLevelObjective) -> float | None:
    """What a limit is multiplied by to be on the panel's axis; None where the panel shows something else."""
    names: Sequence[str] = GATEWAY
    if objective.indicator != "error_share":
        source = PANEL_SOURCES.get(objective.indicator)
        names = (*NAMES[source], *RECORDED.get(source, ())) if source else ()
    asked = " ".join(target.get("expr", "") for target in panel.get("targets", []))
    # A limit on a quantile says nothing of a mean, which a panel draws from the sum and the count.
    ending = "_bucket" if objective.is_quantile else "_sum" if objective.statistic == "mean" else SERIES
    # A whole name: `vllm:num_requests_waiting` is not `vllm:num_requests_waiting_by_reason`.
    if not any(re.search(rf"(?<![\w:]){re.escape(name)}({ending})?(?![\w:])", asked) for name in names):
        return None
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
    return PANEL_UNITS.get(INDICATORS[objective.indicator].unit, {}).get(unit)


def _draw(panel: Panel, lines: Sequence[tuple[ServiceLevelObjective, float]]) -> None:
    colours: dict[float, str] = {}
    for objective, scale in lines:
        at = float(f"{objective.limit * scale:.12g}")
        required = objective.required or colours.get(at) == REQUIRED
        colours[at] = REQUIRED if required else ADVISORY
    steps: list[dict[str, Any]] = [{"color": "transparent", "value": None}]
    steps += [{"color": colours[at], "value": at} for at in sorted(colours)]
    defaults = panel["fieldConfig"]["defaults"]
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    defaults.setdefault("custom", {})["thresholdsStyle"] = {"mode": "line"}
    words = _words([objective for objective, _ in lines])
    panel["description"] = PARAGRAPH.join(filter(None, (_own_words(panel), f"{MARK}{words}.")))


def _words(objectives: Sequence[ServiceLevelObjective]) -> str:
    """Each limit once, with its workloads: a line on a panel has no name."""
    workloads: dict[str, list[str]] = {}
    for one in objectives:
        workloads.setdefault(f"{one}{'' if one.required else ', advisory'}", []).append(one.workload)
    return "; ".join(f"{limit} ({', '.join(names)})" for limit, names in workloads.items())


def _wipe(panel: Panel) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    defaults.pop("thresholds", None)
    defaults.get("custom", {}).pop("thresholdsStyle", None)
    if not defaults.get("custom", True):
        del defaults["custom"]
    panel["description"] = _own_words(panel)


def _marked(panel: Panel) -> bool:
    return bool(_own_words(panel) != panel.get("description", ""))


def _own_words(panel: Panel) -> str:
    """The description without our last paragraph."""
    words: str = panel.get("description", "")
    before, _, last = words.rpartition(PARAGRAPH)
    return before if last.startswith(MARK) else words
