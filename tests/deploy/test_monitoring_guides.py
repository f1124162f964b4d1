"""The guides of monitoring: every panel and metric is in one, every query of the other can be asked."""

from __future__ import annotations

import re

import promql_parser as promql
import pytest

from tests.deploy.alerting import alerts
from tests.deploy.expressions import counted, names, quantiles_without_le, unsummed_ratios
from tests.deploy.guides import METRICS, TROUBLE, queries
from tests.deploy.panels import boards, targets
from tests.deploy.test_monitoring_names import KNOWN

SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TROUBLE, re.MULTILINE | re.DOTALL))
WAYS = ("on the real stack", "on the simulator", "on dictated series", "not here")


def test_every_panel_is_explained() -> None:
    titles = {panel["title"] for board in boards().values() for panel in board["panels"]}
    assert {title for title in titles if f"\n| {title} | " not in METRICS} == set()


def test_every_metric_that_panels_ask_for_is_in_the_guide() -> None:
    asked = set().union(*(names(promql.parse(one.filled)) for one in targets()))
    assert {name for name in asked if name not in METRICS} == set()


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_symptom_query_cause_remedy_and_says_how_it_was_tried(title: str) -> None:
    text = SECTIONS[title]
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Symptom", "Cause", "Remedy", "Tried"]
    assert queries(text)
    assert any(way in text.rpartition("**Tried.**")[2].lower() for way in WAYS)


@pytest.mark.parametrize("query", queries(TROUBLE))
def test_a_query_asks_for_what_there_is(query: str) -> None:
    expr = promql.parse(query)
    assert names(expr) <= KNOWN.keys()
    assert all(KNOWN[name].kind == "counter" for name in counted(expr))
    assert quantiles_without_le(expr) == unsummed_ratios(expr) == []


def test_every_alert_is_a_symptom_of_its_section() -> None:
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-"): title for title in SECTIONS}
    for name, rule in alerts().items():
        section = SECTIONS[anchors[rule["annotations"]["runbook"].partition("#")[2]]]
        symptom = section.partition("**Cause.**")[0]
        assert name in symptom, f"{name} is not a symptom of {rule['annotations']['runbook']}"
