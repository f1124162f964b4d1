"""One gauge of several engines: which samples count at an instant, and that those of the dead do not."""

from __future__ import annotations

import json

import pytest

from instruments.telemetry.prometheus import PrometheusTelemetry, merged
from instruments.telemetry.prometheus_api import ClockOffset
from instruments.telemetry.record import Series
from tests.instruments.exposing import JOB, exposing

# The first is scraped each second and lives on; the second each second in between, and dies after 2.5 s.
# Two and a half times the second between two scrapes its last sample counts: to 5 s, and no longer.
LIVING_S = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
DEAD_S = (0.5, 1.5, 2.5)
INSTANTS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0)


@pytest.mark.parametrize(
    ("ours", "living", "dead", "alone", "both"),
    [
        ("running", 4.0, 3.0, 4.0, 7.0),
        ("waiting", 0.0, 8.0, 0.0, 8.0),
        ("kv_cache_usage", 0.25, 0.75, 0.25, 0.75),
    ],
)
def test_a_dead_engines_last_sample_counts_for_two_and_a_half_scrapes(
    ours: str, living: float, dead: float, alone: float, both: float
) -> None:
    each = [Series(LIVING_S, (living,) * len(LIVING_S)), Series(DEAD_S, (dead,) * len(DEAD_S))]
    expected = Series(INSTANTS, (alone, *[both] * 8, alone, alone))
    assert merged(ours, each) == expected
    assert merged(ours, each[::-1]) == expected


def test_an_engine_that_comes_back_counts_again() -> None:
    steady = Series(tuple(float(n) for n in range(13)), (1.0,) * 13)
    gone = Series((0.0, 1.0, 2.0, 9.0, 10.0, 11.0, 12.0), (10.0,) * 7)  # most of its gaps are of 1 s
    counted = (11.0,) * 5 + (1.0,) * 4 + (11.0,) * 4  # at 4 s its sample is 2 s old, at 5 s 3 s
    assert merged("running", [steady, gone]).values == counted


def test_engines_that_were_scraped_once_have_no_age_to_be_too_old() -> None:
    assert merged("running", [Series((0.0,), (1.0,)), Series((60.0,), (2.0,))]).values == (1.0, 3.0)


def test_of_what_prometheus_answers_a_dead_engines_samples_stop_counting() -> None:
    def matrix(instance: str, value: float, each_s: tuple[float, ...]) -> dict[str, object]:
        metric = {"__name__": "vllm:num_requests_running", "job": "engine", "instance": instance}
        return {"metric": metric, "values": [[1000.0 + at_s, str(value)] for at_s in each_s]}

    result = [matrix("a:1", 4.0, LIVING_S), matrix("b:1", 3.0, DEAD_S)]
    with exposing(json.dumps({"data": {"result": result}})) as other:
        telemetry = PrometheusTelemetry(f"http://{other.target}", JOB)
        # Prometheus' clock is 1000 s ahead of the client's.
        found, told = telemetry.series("running", 1.0, 6.0, ClockOffset(1000.0, 0.0))
        telemetry.close()
    assert told == ()
    assert found == Series(INSTANTS[2:-1], (7.0,) * 7 + (4.0,))
