"""Two runs side by side: differences worked out by hand, and what must not be compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from reports.history.comparison import Change, Tells, compare
from tests.reports.history.shelves import FINGERPRINT, entry, objective


def change(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> Change:
    (found,) = compare(entry(tmp_path, 1, before), entry(tmp_path, 2, after)).changes
    return found


def test_a_difference_and_its_interval_by_hand(tmp_path: Path) -> None:
    # 0.100 [0.097, 0.108] and 0.120 [0.114, 0.125]: 0.02, less √(6² + 8²) ms, and more √(5² + 3²) ms.
    found = change(tmp_path, objective(0.1, 0.097, 0.108), objective(0.12, 0.114, 0.125))
    assert found.value == pytest.approx(0.02)
    assert found.relative == pytest.approx(0.2)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(0.01)
    assert found.interval.high == pytest.approx(0.02 + math.sqrt(34) / 1000)
    assert (found.tells, found.confidence) == (Tells.WORSE, 0.95)


@pytest.mark.parametrize(
    ("before", "after", "changes", "tells"),
    [
        ((10, 9, 11), (8, 7.5, 8.5), {}, Tells.BETTER),
        ((10, 9, 11), (10.5, 9.5, 11.5), {}, Tells.WITHIN),
        # Where the limit is from below, less is worse.
        ((10, 9, 11), (8, 7.5, 8.5), {"at_most": None, "at_least": 1.0}, Tells.WORSE),
        ((10, 9, 11), (14, 13, None), {}, Tells.WORSE),
        ((10, 9, None), (14, 13, None), {}, Tells.WITHIN),
        ((10, None, None), (14, None, None), {}, Tells.NO_INTERVAL),
        ((10, 9, 11), (None, None, None), {}, Tells.NOTHING),
    ],
)
def test_what_a_difference_tells(
    tmp_path: Path,
    before: tuple[float | None, ...],
    after: tuple[float | None, ...],
    changes: Any,
    tells: Tells,
) -> None:
    if "at_least" in changes:
        changes = changes | {"indicator": "requests_per_s", "statistic": "rate"}
    assert change(tmp_path, objective(*before, **changes), objective(*after, **changes)).tells is tells


def test_what_is_counted_needs_no_interval(tmp_path: Path) -> None:
    counted: dict[str, Any] = {"indicator": "errors", "statistic": "count", "at_most": 0}
    found = change(tmp_path, objective(0.0, **counted), objective(3.0, state="VIOLATED", **counted))
    assert (found.value, found.relative, found.tells) == (3.0, None, Tells.COUNTED)
    assert found.state_changed


def test_the_lower_confidence_is_that_of_the_difference(tmp_path: Path) -> None:
    assert (
        change(tmp_path, objective(1, 0.9, 1.1, confidence=0.99), objective(1, 0.9, 1.1)).confidence == 0.95
    )


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"statistic": "p99"}, ("statistic",)),
        ({"indicator": "tpot_s"}, ("indicator",)),
        ({"workload": "long"}, ("workload",)),
    ],
)
def test_one_id_that_asks_something_else_is_not_compared(
    tmp_path: Path, changes: dict[str, Any], asked: tuple[str, ...]
) -> None:
    found = change(tmp_path, objective(1, 0.9, 1.1), objective(2, 1.9, 2.1, state="VIOLATED", **changes))
    assert (found.asked, found.value, found.interval, found.tells) == (asked, None, None, Tells.NOTHING)


def test_another_limit_leaves_values_comparable_and_is_said(tmp_path: Path) -> None:
    found = change(tmp_path, objective(1, 0.9, 1.1), objective(2, 1.9, 2.1, at_most=1.5, state="VIOLATED"))
    assert (found.limit_changed, found.value, found.tells) == (True, 1.0, Tells.WORSE)


def test_an_objective_of_one_run_only_has_no_difference(tmp_path: Path) -> None:
    comparison = compare(entry(tmp_path, 1, objective(1)), entry(tmp_path, 2, objective(2, id="chat.new")))
    assert [(one.key, one.value, one.state_changed) for one in comparison.changes] == [
        ("chat.new", None, False),
        ("chat.ttft", None, False),
    ]
    assert len(comparison.moved) == 2


def test_states_that_changed_come_first_and_the_worst_before_others(tmp_path: Path) -> None:
    def named(name: str, state: str, value: float) -> dict[str, Any]:
        return objective(value, value - 0.01, value + 0.01, id=name, state=state)

    names = ("a", "b", "c", "d", "e")
    before = [named(name, "MET", 1) for name in names]
    states, values = ("MET", "MET", "INCONCLUSIVE", "VIOLATED", "MET"), (1, 2, 1, 1, 0.5)
    after = [named(*one) for one in zip(names, states, values, strict=True)]
    comparison = compare(entry(tmp_path, 1, *before), entry(tmp_path, 2, *after))
    assert [one.key for one in comparison.changes] == ["d", "c", "b", "e", "a"]


def test_fingerprints_that_differ_are_told_and_ports_do_not_count(tmp_path: Path) -> None:
    one = entry(tmp_path, 1)
    port = entry(tmp_path, 2, fingerprint=FINGERPRINT | {"engine.flags": "--port 4001 --max-num-seqs 64"})
    newer = entry(tmp_path, 3, fingerprint=FINGERPRINT | {"engine.version": "vllm 0.32.0"})
    assert compare(one, port).like
    assert compare(one, newer).apart == {"engine.version": ("vllm 0.31.0", "vllm 0.32.0")}
    assert compare(one, newer, ["engine.*"]).like


def test_one_objective_on_two_loads_is_two(tmp_path: Path) -> None:
    of = entry(tmp_path, 1, objective(1), objective(2, journal="loads/chat-20.jsonl"))
    assert list(of.objectives) == ["chat.ttft on loads/chat-10.jsonl", "chat.ttft on loads/chat-20.jsonl"]


def test_ends_that_rounding_put_beside_the_value_are_the_value(tmp_path: Path) -> None:
    found = entry(tmp_path, 1, objective(0.02, 0.020000000000000004, 0.02)).objectives["chat.ttft"].estimate()
    assert found is not None
    assert (found.low, found.high) == (0.02, 0.02)
    assert entry(tmp_path, 2, objective(0.02, 0.03, 0.04)).objectives["chat.ttft"].estimate() is None
