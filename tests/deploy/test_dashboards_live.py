"""Every panel's every query gives numbers: from a real stack under traffic, or, where that needs a fault or
another exporter, from series that are dictated."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from environments.binaries import find_monitoring
from environments.provider import MissingBinary, Stack
from tests.deploy.alerting import Story, check
from tests.deploy.guides import TROUBLE, queries
from tests.deploy.monitored_stack import monitored_stack, traffic
from tests.deploy.panels import Target, boards, targets

BOUND_S = 50.0
SCRAPES = Path(__file__).with_name("scrapes")
# What a well stack on a stub has no number for: (panel, letter) -> why, the series it is made of, the answer.
FAULT = "a replica that fails is not among this stack's"
DICTATED: Mapping[tuple[str, str], tuple[str, Mapping[str, str], Mapping[str, float]]] = {
    ("Failures of the engine", "A"): (
        FAULT,
        {'gateway_upstream_errors_total{kind="unreachable", instance="g:1"}': "0+1x60"},
        {'{kind="unreachable"}': 1},
    ),
    ("Failures of the engine", "B"): (
        FAULT,
        {'gateway_upstream_retries_total{reason="unreachable", instance="g:1"}': "0+2x60"},
        {'{reason="unreachable"}': 2},
    ),
    ("Tensor cores busy", "A"): (
        "only DCGM's exporter gives it",
        {'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{gpu="0"}': "0.4+0x60"},
        {'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{gpu="0"}': 0.4},
    ),
    ("Last XID", "A"): (
        "only DCGM's exporter gives it",
        {'DCGM_FI_DEV_XID_ERRORS{gpu="0"}': "79+0x60"},
        {'DCGM_FI_DEV_XID_ERRORS{gpu="0"}': 79},
    ),
    ("Alerts firing", "A"): (
        "nothing fires in a stack that is well",
        {'up{job="engine", instance="e:1"}': "0+0x60", 'up{job="gateway", instance="g:1"}': "1+0x60"},
        {'{alertname="EngineDown", severity="page"}': 1},
    ),
}
LIVE = [one for one in targets() if (one.panel, one.letter) not in DICTATED]


@dataclass(frozen=True)
class Seen:
    """The values of every live query, what came of the guide's, and the names that each part exposes."""

    values: Mapping[Target, list[float]]
    refused: Sequence[str]  # queries of the guide that Prometheus does not take
    exposed: Mapping[str, set[str]]
    alerts: set[str]  # that fire, or would if it went on like this


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Asked for under traffic until all have some, or the bound is over."""
    if find_monitoring("prometheus") is None:
        pytest.skip("no prometheus on this machine: `make setup` unpacks one")
    try:
        with monitored_stack(tmp_path_factory.mktemp("stack")) as stack, traffic(stack):
            urls = {"vllm-0.32": f"{stack.engine_url}/metrics", "gateway": stack.gateway_metrics_url}
            pages = {**urls, "exporter": stack.exporter_url}
            values = _asked_until_told(stack)
            refused = _refused(stack, queries(TROUBLE))
            exposed = {name: _exposed(str(url)) for name, url in pages.items()}
            return Seen(values, refused, exposed, _alerts(stack))
    except MissingBinary as missing:
        pytest.skip(f"{missing.message}: {missing.hint}")


def _asked_until_told(stack: Stack) -> dict[Target, list[float]]:
    found: dict[Target, list[float]] = {}
    waiting, deadline = list(LIVE), time.monotonic() + BOUND_S
    with httpx.Client(base_url=stack.prometheus_url or "", trust_env=False, timeout=10.0) as client:
        while waiting and time.monotonic() < deadline:
            for one in waiting:
                found[one] = _values(client, one.filled)
            waiting = [one for one in waiting if not _is_data(found[one])]
            time.sleep(0.5)
    return found


def _refused(stack: Stack, asked: Sequence[str]) -> list[str]:
    with httpx.Client(base_url=stack.prometheus_url or "", trust_env=False, timeout=10.0) as client:
        answers = {one: client.get("/api/v1/query", params={"query": one}) for one in asked}
    return [f"{one}: {answer.text}" for one, answer in answers.items() if answer.status_code != 200]


def _alerts(stack: Stack) -> set[str]:
    told = httpx.get(
        f"{stack.prometheus_url}/api/v1/alerts", trust_env=False, timeout=10.0
    ).raise_for_status()
    return {one["labels"]["alertname"] for one in told.json()["data"]["alerts"]}


def _exposed(url: str) -> set[str]:
    page = httpx.get(url, trust_env=False, timeout=10.0).raise_for_status().text
    return set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))


def _values(client: httpx.Client, expr: str) -> list[float]:
    told: dict[str, Any] = client.get("/api/v1/query", params={"query": expr}).json()
    assert told["status"] == "success", f"{expr}: {told.get('error')}"
    return [float(one["value"][1]) for one in told["data"]["result"]]


def _is_data(values: list[float]) -> bool:
    return any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("target", LIVE, ids=str)
def test_a_query_gives_numbers_from_the_real_stack(target: Target, seen: Seen) -> None:
    assert _is_data(seen.values[target]), f"{target.filled}: {seen.values[target]}"


@pytest.mark.parametrize("name", ["vllm-0.32", "gateway", "exporter"])
def test_what_was_recorded_is_what_is_exposed_today(name: str, seen: Seen) -> None:
    """The scrapes that rules and panels are checked against are not of another age."""
    recorded = (SCRAPES / f"{name}.prom").read_text()
    assert set(re.findall(r"^# TYPE (\S+)", recorded, re.MULTILINE)) <= seen.exposed[name]


def test_a_stack_that_is_well_is_not_complained_of(seen: Seen) -> None:
    """Of the alerts that are ours none is even pending: no label is missed, nothing is taken for missing."""
    assert seen.alerts == set()


def test_every_query_of_the_troubleshooting_guide_can_be_asked(seen: Seen) -> None:
    assert len(queries(TROUBLE)) > 40
    assert seen.refused == []


def test_what_is_dictated_gives_the_number_worked_out_by_hand(tmp_path: Path) -> None:
    asked = {(one.panel, one.letter): one for one in targets()}
    stories = [
        Story(
            f"{panel} {letter}: {why}",
            series,
            records=[(asked[panel, letter].filled, "50s", expected)],
        )
        for (panel, letter), (why, series, expected) in DICTATED.items()
    ]
    check(tmp_path, "targets.yml", stories)


def test_a_panel_that_may_be_empty_says_so() -> None:
    """And only such a one is left to dictated series."""
    described = {
        panel["title"]: panel["description"] for board in boards().values() for panel in board["panels"]
    }
    assert {title for title, words in described.items() if "Empty " in words or "Only DCGM" in words} >= {
        panel for panel, _ in DICTATED
    }
