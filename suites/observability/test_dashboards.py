"""Do panels show something, and do rules say what they are written to say?

Workloads: `observed-paced` for eight seconds, `observed-left`, and a burst of refusals; asked at every two
seconds since the first of them.
Bounds: `panels-answer-s`, `rules-evaluated-s` (rules over days are evaluated each half minute).
Needs: Prometheus, with the rules of deploy/monitoring or the profile's. Costs: 15 s, and up to 30 s of
waiting where nothing ran before it.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest

pytestmark = [
    pytest.mark.observability,
    pytest.mark.claim("gateway-rtx3090", "host-a6000", "eks-s3"),
    pytest.mark.needs("prometheus", "gateway_metrics", "engine_metrics", "exclusive"),
]

STEP_S = 2
Labels = frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def looked_at():
    """What came of each panel's query, of all that were asked since the traffic began."""
    return {}


@pytest.fixture
def answers(looked_at, all_panel_queries, load_on, books, visitor, stack, prometheus, bound):
    """Query -> whether it gave a number at any instant since the traffic; asked until all have"""
    if looked_at:
        return looked_at
    began_s = books("observed-left").began_unix_s
    load_on(stack, "observed-paced", name="observability.panels", requests_measured=80, output_tokens=200)
    _be_refused(visitor, stack)
    here = [one for one in all_panel_queries if "exporter" not in stack.missing or one.board != "gpu"]
    waiting = {one.query for one in here if one.empty is None}
    looked_at |= {one.query: False for one in all_panel_queries}
    deadline = time.monotonic() + bound("panels-answer-s")
    while waiting and time.monotonic() < deadline:
        for query in sorted(waiting):
            looked_at[query] = _has_number(prometheus, query, began_s)
        waiting = {query for query in waiting if not looked_at[query]}
        time.sleep(0.5 if waiting else 0)
    return looked_at


def _be_refused(visitor: Any, stack: Any) -> None:
    """One burst over the limit of the key that has one, so that the panel of refusals has some."""
    if stack.limited_key is None:
        return
    name, allowed, _ = stack.limited_key
    client = visitor(key=name)
    for _ in range(2 * allowed):
        client.get("/v1/models")


def _has_number(prometheus: Any, query: str, since_s: float) -> bool:
    """Whether any series of the answer had a finite value at any step since then."""
    asked = {"query": query, "start": f"{since_s:.3f}", "end": f"{time.time():.3f}", "step": STEP_S}
    found = prometheus("/api/v1/query_range", **asked)["result"]
    return any(math.isfinite(float(value)) for series in found for _, value in series["values"])


def test_a_panel_answers_with_a_number(panel_query, answers, prometheus):
    """Each query of each panel gave a number under traffic, or its panel says when it is empty"""
    if panel_query.empty is None:
        assert answers[panel_query.query], f"nothing under traffic: {panel_query.query}"
    else:  # Prometheus takes it, and its own words say why there may be none
        prometheus("/api/v1/query", query=panel_query.query)


@pytest.fixture(scope="module")
def kept():
    """The rules as they were looked at once."""
    return {}


@pytest.fixture
def loaded(kept, answers, prometheus, bound):
    """File, group and place -> the rule as Prometheus has it, once all were evaluated after traffic"""
    assert answers, "no panel asks for anything"
    deadline = time.monotonic() + bound("rules-evaluated-s")
    while not kept:  # one that fails on data fails only when there are some
        groups, now = prometheus("/api/v1/rules")["groups"], datetime.now(UTC)
        unknown = [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "unknown"]
        if not unknown or time.monotonic() > deadline:
            kept |= {
                (group["file"].rpartition("/")[2], group["name"], index): {
                    **rule,
                    "interval": group["interval"],
                    "evaluated": datetime.fromisoformat(rule["lastEvaluation"]),
                    "seen": now,
                }
                for group in groups
                for index, rule in enumerate(group["rules"])
            }
        time.sleep(0 if kept else 0.5)
    return kept


def test_a_rule_is_evaluated_in_time_and_without_error(rule, loaded, bound):
    """Each rule of the files is loaded, was evaluated within its interval, in time and without error"""
    found = loaded.get((rule.file, rule.group, rule.index))
    assert found is not None, "Prometheus has not loaded it"
    assert found["name"] == rule.name
    assert found["health"] == "ok", found.get("lastError") or "not evaluated yet"
    age_s = (found["seen"] - found["evaluated"]).total_seconds()
    assert age_s <= found["interval"] + bound("rule-late-s"), f"last evaluated {age_s:.1f} s ago"
    assert found["evaluationTime"] < found["interval"], "it takes longer than its group's interval"


def test_what_a_rule_records_is_what_its_expression_says(recording, loaded, answers, prometheus, bound):
    """Each recorded series has, when it was last evaluated, the value that its expression has then"""
    found = loaded.get((recording.file, recording.group, recording.index))
    assert found is not None, "Prometheus has not loaded it"
    held = _held(prometheus, recording)
    instants = sorted({at for values in held.values() for at in values})[-3:]
    if not instants:  # then the expression says nothing either: to agree on a number there is none
        said = _said(prometheus, found["query"], recording, found["evaluated"].timestamp())
        assert said == {}, f"not recorded: {said}"
        return
    pairs = [(_said(prometheus, found["query"], recording, at), _at(held, at)) for at in instants]
    agreed = [_agree(said, recorded, bound("recorded-share")) for said, recorded in pairs]
    # A sample that is scraped at the very instant is seen by one of the two alone: most instants must agree.
    assert sum(agreed) * 2 > len(agreed), f"recorded {pairs[-1][1]}, said {pairs[-1][0]}"


def _held(prometheus: Any, recording: Any) -> dict[Labels, dict[float, float]]:
    """Series -> {instant: value} of the last minutes."""
    chosen = ",".join(f'{name}="{value}"' for name, value in recording.labels.items())
    query = f'{{__name__="{recording.name}"{"," if chosen else ""}{chosen}}}[3m]'
    found = prometheus("/api/v1/query", query=query)["result"]
    return {_labels(one["metric"]): {at: float(value) for at, value in one["values"]} for one in found}


def _said(prometheus: Any, query: str, recording: Any, at: float) -> dict[Labels, float]:
    """What the expression gives at an instant, labelled as the rule labels it."""
    found = prometheus("/api/v1/query", query=query, time=f"{at:.3f}")["result"]
    return {_labels({**one["metric"], **recording.labels}): float(one["value"][1]) for one in found}


def _at(held: dict[Labels, dict[float, float]], at: float) -> dict[Labels, float]:
    return {labels: values[at] for labels, values in held.items() if at in values}


def _agree(said: dict[Labels, float], held: dict[Labels, float], share: float) -> bool:
    """Whether both have the same series, and no value is further off than one sample may put it."""
    return said.keys() == held.keys() and all(
        math.isclose(said[one], held[one], rel_tol=share, abs_tol=share / 100)
        or (math.isnan(said[one]) and math.isnan(held[one]))
        for one in said
    )


def _labels(metric: dict[str, str]) -> Labels:
    return frozenset((name, value) for name, value in metric.items() if name != "__name__")
