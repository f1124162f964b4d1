"""Is there an alert that nobody ever saw, or that tells nobody what to do?

No load. Bounds: none; a rule has a severity that is routed, a summary, and a runbook that is there.
Needs: Prometheus. Costs: 1 s. What alerts do is in `test_alerts_*.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suites.observability.provocations import ALL

pytestmark = [pytest.mark.observability, pytest.mark.claim("gateway-rtx3090", "host-a6000", "eks-s3")]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def alert_rules(prometheus):
    """The alerts that Prometheus has loaded."""
    groups = prometheus("/api/v1/rules", type="alert")["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.needs("prometheus", "gateway")
def test_every_alert_is_provoked_by_a_claim(alert_rules):
    """Each alert that is loaded is provoked end to end by a claim, and each that is provoked is loaded"""
    assert {rule["name"] for rule in alert_rules} == set(ALL)


@pytest.mark.needs("prometheus", "gateway")
def test_every_alert_has_a_severity_and_a_runbook(alert_rules):
    """Each alert is a page or a ticket, says what is wrong, and leads to a section of a guide"""
    assert alert_rules, "no alert is loaded"
    wrong = {}
    for rule in alert_rules:
        if rule["labels"].get("severity") not in ("page", "ticket"):
            wrong[rule["name"]] = f"severity {rule['labels'].get('severity')}"
        if not rule["annotations"].get("summary"):
            wrong[rule["name"]] = "no summary"
        link = rule["annotations"].get("runbook")
        if "slo" not in rule["labels"] and (link is None or not leads_somewhere(link)):
            wrong[rule["name"]] = f"runbook {link}"
    assert wrong == {}


def leads_somewhere(link):
    """Whether the file is there, and has a heading of that anchor."""
    file, _, anchor = link.partition("#")
    if not (ROOT / file).is_file():
        return False
    headings = re.findall(r"^#+ +(.+)$", (ROOT / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}
