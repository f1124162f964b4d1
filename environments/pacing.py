"""Rules that live faster: waits and windows of a rules file divided by one number, thresholds kept."""

from __future__ import annotations

import re
from typing import Any

import yaml

# `for` below a second would be one evaluation. rate() and increase() need two samples in their window, and
# four scrapes of a second let one of them fail.
LEAST_WAIT_S = 1.0
LEAST_WINDOW_S = 4.0
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+"
QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`")
WINDOW = re.compile(rf"\[\s*({DURATION})\s*(?::\s*({DURATION})?\s*)?\]")
OFFSET = re.compile(rf"\b(offset\s+-?\s*)({DURATION})")


def paced_rules(text: str, pace: float) -> str:
    """A file of Prometheus rules, `pace` times faster: intervals, `for`, `keep_firing_for`, windows, offsets.

    Numbers that an expression compares with stay as they are, whatever their unit.
    """
    document: dict[str, Any] = yaml.safe_load(text)
    for group in document.get("groups") or ():
        _shorten(group, "interval", pace)
        for rule in group.get("rules") or ():
            _shorten(rule, "for", pace)
            _shorten(rule, "keep_firing_for", pace)
            rule["expr"] = paced_expression(str(rule["expr"]), pace)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def paced_expression(expression: str, pace: float) -> str:
    """PromQL with every window and offset divided by `pace`; what stands in quotes is text, and stays."""
    parts, at = [], 0
    for quoted in QUOTED.finditer(expression):
        parts += [_paced(expression[at : quoted.start()], pace), quoted[0]]
        at = quoted.end()
    return "".join([*parts, _paced(expression[at:], pace)])


def _paced(piece: str, pace: float) -> str:
    def window(found: re.Match[str]) -> str:
        step = "" if found[2] is None else _divided(found[2], pace, LEAST_WAIT_S)
        colon = ":" if ":" in found[0] else ""
        return f"[{_divided(found[1], pace, LEAST_WINDOW_S)}{colon}{step}]"

    return OFFSET.sub(lambda found: found[1] + _divided(found[2], pace, 0.001), WINDOW.sub(window, piece))


def _shorten(holder: dict[str, Any], name: str, pace: float) -> None:
    """A wait of none at all stays none."""
    if holder.get(name) and seconds(str(holder[name])) > 0:
        holder[name] = _divided(str(holder[name]), pace, LEAST_WAIT_S)


def seconds(duration: str) -> float:
    """Prometheus's durations, `1h30m`, in seconds."""
    return sum(int(number) * UNITS_S[unit] for number, unit in re.findall(r"([0-9]+)(ms|[smhdwy])", duration))


def _divided(duration: str, pace: float, least_s: float) -> str:
    """Shortened, but not below the least; what was shorter than that from the start stays as it was."""
    was_s = seconds(duration)
    milliseconds = round(max(was_s / pace, min(least_s, was_s)) * 1000)
    whole = milliseconds % 1000 == 0
    return f"{milliseconds // 1000}s" if whole else f"{milliseconds}ms"
