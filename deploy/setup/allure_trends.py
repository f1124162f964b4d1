"""Trends of Allure 2's pages out of Allure 3's history: the latter draws one of four from it by itself."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LONGEST = 20  # Allure 2 shows no more
STATUSES = ("failed", "broken", "skipped", "passed", "unknown")


def write_trends(folder: Path, points: Sequence[Mapping[str, Any]], results: Path) -> None:
    """Write what Allure 2's pages read of earlier runs: durations, categories, retries, numbers of tests.

    `points` are lines of the history, the oldest first, without the run whose `results` these are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    categories = _document(results / "categories.json")
    numbered = list(enumerate(points, 1))[-LONGEST:][::-1]
    for name, data_of in (
        ("history-trend", _counts),
        ("duration-trend", _duration),
        ("retry-trend", lambda tests: {"run": len(tests), "retry": 0}),
        ("categories-trend", lambda tests: _by_category(tests, categories)),
    ):
        told = [{**_named(number, point), "data": data_of(_tests(point))} for number, point in numbered]
        (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    executor = _document(results / "executor.json")
    if isinstance(executor, dict) and "buildOrder" not in executor:  # by hand: nobody counts the builds
        told_again = {**executor, "buildOrder": len(points) + 1}
        (folder / "executor.json").write_text(json.dumps(told_again), encoding="utf-8")


def _named(number: int, point: Mapping[str, Any]) -> dict[str, Any]:
    return {"buildOrder": number, "reportName": point.get("name", ""), "reportUrl": point.get("url", "")}


def _tests(point: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = point.get("testResults")
    return [one for one in found.values() if isinstance(one, dict)] if isinstance(found, dict) else []


def _counts(tests: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    seen = Counter(str(one.get("status")) for one in tests)
    return {**{status: seen[status] for status in STATUSES}, "total": len(tests)}


def _duration(tests: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """From the first start to the last stop, as Allure 2 counts it; milliseconds."""
    timed = [(one["start"], one["stop"]) for one in tests if one.get("start") and one.get("stop")]
    if not timed:
        return {"duration": 0}
    return {"duration": max(stop for _, stop in timed) - min(start for start, _ in timed)}


def _by_category(tests: Sequence[Mapping[str, Any]], categories: object) -> dict[str, int]:
    rules = categories if isinstance(categories, list) else []
    found: Counter[str] = Counter()
    for test in tests:
        for rule in rules:
            fits = re.fullmatch(rule["messageRegex"], str(test.get("message") or ""))
            if test.get("status") in rule["matchedStatuses"] and fits:
                found[rule["name"]] += 1
                break
    return dict(found)


def _document(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
