"""A file of Prometheus rules: its shape, and its YAML, byte for byte the same for the same rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from instruments.slo.burn_rate import Plan, duration


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule, or an alert when it has annotations."""

    name: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    hold_s: float = 0.0

    @property
    def is_alert(self) -> bool:
        return bool(self.annotations)


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after the other."""

    name: str
    every_s: float
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class RuleFile:
    """All groups, and what is not among them, each by the id of its objective with the reason."""

    groups: tuple[Group, ...]
    left_out: tuple[tuple[str, str], ...]  # objectives that the server cannot judge
    impossible: tuple[tuple[str, str], ...] = ()  # alerts that no share of bad events could fire


def rules_text(file: RuleFile, plan: Plan, made: str) -> str:
    """The file's text with a head that says what is left out; `made` is the command that makes it again."""
    lines = [*(f"# {' '.join(one.split())}" for one in _head(file, plan, made)), "groups:"]
    for group in file.groups:
        lines += [f"  - name: {quoted(group.name)}", f"    interval: {duration(group.every_s)}", "    rules:"]
        for rule in group.rules:
            lines += _rule(rule)
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A string of PromQL or YAML: both read JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)


def _head(file: RuleFile, plan: Plan, made: str) -> Iterator[str]:
    yield f"Made by `{made}`: change the objectives, not this file."
    yield f"Burn rates for {plan.title}, with a scrape each {duration(plan.scrape_s)} or more often:"
    for pair in plan.pairs:
        long, short = duration(pair.long_s), duration(pair.short_s)
        yield f"{pair.severity} at {pair.factor:g} times over {long} and {short}."
    for why in plan.dropped:
        yield f"No alert at {why}."
    for name, why in file.left_out:
        yield f"Left out: {name}: {why}."
    for name, why in file.impossible:
        yield f"No such alert: {name}: {why}."


def _rule(rule: Rule) -> list[str]:
    lines = [f"      - {'alert' if rule.is_alert else 'record'}: {rule.name}", "        expr: |"]
    lines += [f"          {line}" for line in rule.expr.splitlines()]
    if rule.hold_s:
        lines.append(f"        for: {duration(rule.hold_s)}")
    lines += _mapping("labels", rule.labels)
    return lines + (_mapping("annotations", rule.annotations) if rule.is_alert else [])


def _mapping(name: str, values: Mapping[str, str]) -> list[str]:
    return [f"        {name}:", *(f"          {key}: {quoted(value)}" for key, value in values.items())]
