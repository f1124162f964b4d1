"""Histograms of the server: shares and quantiles as intervals that hold the truth, and nothing narrower."""

from __future__ import annotations

import math
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.errors import TelemetryError
from instruments.statistics.quantiles import quantile
from instruments.telemetry import Labels, Snapshot
from instruments.telemetry.histograms import Histogram, between

BOUNDS = (0.1, 0.25, 1.0)
TEN = Histogram(BOUNDS, (2, 5, 9), 10, 7.0)  # 2 up to 0.1, 3 up to 0.25, 4 up to 1, and one above
NAME = "ttft_seconds"


def exposed(
    *counts: float, bounds: tuple[str, ...] = ("0.1", "0.25", "1.0", "+Inf"), **labels: str
) -> Snapshot:
    """A histogram of one series: its cumulative counts, the last that of all; its sum is 0.7 each."""
    has = frozenset(labels.items())
    samples: dict[tuple[str, Labels], float] = {
        (f"{NAME}_bucket", has | {("le", bound)}): count for bound, count in zip(bounds, counts, strict=True)
    }
    samples[f"{NAME}_sum", has] = 0.7 * counts[-1]
    samples[f"{NAME}_count", has] = counts[-1]
    return Snapshot(samples)


def joined(*parts: Snapshot) -> Snapshot:
    return Snapshot({key: value for part in parts for key, value in part.samples.items()})


@pytest.mark.parametrize(
    ("limit", "share"),
    [
        (0.1, (0.2, 0.2)),  # a bound: exact
        (0.25, (0.5, 0.5)),
        (1.0, (0.9, 0.9)),
        (0.2, (0.2, 0.5)),  # between two bounds
        (0.05, (0.0, 0.2)),  # below the first
        (2.0, (0.9, 1.0)),  # above the top one
        (math.inf, (1.0, 1.0)),
        (250 * 0.001, (0.5, 0.5)),  # a bound but for a rounding
        (0.1 + 0.2 - 0.05, (0.5, 0.5)),
    ],
)
def test_the_share_at_most_a_limit_is_exact_at_a_bound_and_else_an_interval(
    limit: float, share: tuple[float, float]
) -> None:
    assert TEN.share_at_most(limit) == share


@pytest.mark.parametrize(
    ("p", "ends"),
    [
        (0.0, (0.0, 0.1)),
        (0.2, (0.0, 0.1)),  # the 2nd of 10
        (0.21, (0.1, 0.25)),  # the 3rd
        (0.5, (0.1, 0.25)),  # the 5th
        (0.9, (0.25, 1.0)),  # the 9th
        (0.91, (1.0, math.inf)),  # the 10th, above the top bound
        (1.0, (1.0, math.inf)),
    ],
)
def test_a_quantile_lies_between_the_bounds_of_its_bucket(p: float, ends: tuple[float, float]) -> None:
    assert TEN.quantile_interval(p) == ends


def test_the_mean_is_exact_where_the_server_tells_the_sum() -> None:
    assert TEN.mean == pytest.approx(0.7)
    assert Histogram(BOUNDS, (1, 1, 1), 1).mean is None


def test_of_nothing_observed_there_is_neither_share_nor_quantile_nor_mean() -> None:
    nothing = Histogram(BOUNDS, (0, 0, 0), 0, 0.0)
    assert (nothing.share_at_most(0.25), nothing.quantile_interval(0.5), nothing.mean) == (None, None, None)


@given(
    values=st.lists(st.floats(0, 4), min_size=1, max_size=60),
    bounds=st.sets(st.floats(0.01, 3), max_size=6),
    limit=st.floats(0, 5),
    p=st.floats(0, 1),
)
def test_the_truth_is_within_the_intervals_and_the_intervals_end_at_bounds(
    values: list[float], bounds: set[float], limit: float, p: float
) -> None:
    """Observations sorted into buckets by hand, beside the same questions put to the observations."""
    edges, ordered = sorted(bounds), sorted(values)
    counts = tuple(bisect_right(ordered, edge) for edge in edges)
    found = Histogram(tuple(edges), counts, len(values))
    share = found.share_at_most(limit)
    assert share is not None
    if not any(math.isclose(edge, limit, rel_tol=1e-9) and edge != limit for edge in edges):
        assert share[0] <= bisect_right(ordered, limit) / len(values) <= share[1]
    ends, truth = found.quantile_interval(p), quantile(ordered, p)
    assert ends is not None
    assert truth is not None
    assert ends[0] <= truth <= ends[1]
    assert ends[0] == 0.0 or ends[0] in edges
    assert ends[1] == math.inf or ends[1] in edges


def test_what_was_observed_between_two_snapshots_is_the_difference_of_their_buckets() -> None:
    found = between(exposed(1, 1, 2, 2), exposed(3, 6, 11, 12), NAME)
    assert found is not None
    assert (found.bounds, found.cumulative, found.count) == (BOUNDS, (2, 5, 9), 10)
    assert found.mean == pytest.approx(0.7)


def test_bounds_are_numbers_however_they_are_spelled() -> None:
    before = exposed(1, 1, 2, 2, bounds=("0.1", "0.25", "1", "+Inf"))
    after = exposed(3, 6, 11, 12, bounds=("1e-1", ".25", "1.0", "Inf"))
    found = between(before, after, NAME)
    assert found is not None
    assert found.cumulative == (2, 5, 9)


def test_a_series_that_was_reset_counts_from_0_and_the_others_go_on() -> None:
    before = joined(exposed(5, 9, 9, 9, engine="0"), exposed(5, 9, 9, 9, engine="1"))
    after = joined(exposed(1, 2, 3, 3, engine="0"), exposed(6, 10, 10, 10, engine="1"))
    found = between(before, after, NAME)
    assert found is not None
    assert (found.cumulative, found.count) == ((2, 3, 4), 4)
    assert found.sum == pytest.approx(4 * 0.7)


def test_one_bucket_that_fell_resets_the_whole_series_though_others_rose() -> None:
    found = between(exposed(5, 5, 5, 5), exposed(1, 8, 9, 9), NAME)
    assert found is not None
    assert (found.cumulative, found.count) == ((1, 8, 9), 9)


def test_a_server_that_came_back_with_other_bounds_began_anew() -> None:
    after = exposed(2, 4, 6, 6, bounds=("0.1", "0.2", "1.0", "+Inf"))
    found = between(exposed(1, 1, 2, 2), after, NAME)
    assert found is not None
    assert (found.bounds, found.cumulative, found.count) == ((0.1, 0.2, 1.0), (2, 4, 6), 6)


def test_a_reset_that_has_passed_its_old_counts_is_known_by_its_birth() -> None:
    born = [{(f"{NAME}_created", frozenset[tuple[str, str]]()): at} for at in (1000.0, 1010.0)]
    before, after = exposed(1, 1, 2, 2), exposed(3, 6, 11, 12)
    found = between(Snapshot({**before.samples, **born[0]}), Snapshot({**after.samples, **born[1]}), NAME)
    assert found is not None
    assert found.count == 12


def test_a_series_that_was_not_there_before_started_at_0() -> None:
    found = between(
        exposed(1, 1, 1, 1, engine="0"), joined(exposed(1, 1, 1, 1, engine="0"), exposed(2, 3, 4, 4)), NAME
    )
    assert found is not None
    assert (found.cumulative, found.count) == ((2, 3, 4), 4)


def test_of_engines_with_unlike_bounds_those_are_kept_that_all_have() -> None:
    odd = exposed(1, 2, 3, 3, bounds=("0.1", "0.2", "1.0", "+Inf"), engine="1")
    found = between(Snapshot({}), joined(exposed(2, 5, 9, 10, engine="0"), odd), NAME)
    assert found is not None
    assert (found.bounds, found.cumulative, found.count) == ((0.1, 1.0), (3, 12), 13)


def test_labels_choose_the_series() -> None:
    after = joined(exposed(2, 5, 9, 10, engine="0"), exposed(1, 1, 1, 1, engine="1"))
    found = between(Snapshot({}), after, NAME, engine="1")
    assert found is not None
    assert found.count == 1


def test_a_histogram_that_is_absent_is_none_and_one_without_its_sum_has_no_mean() -> None:
    assert between(exposed(1, 1, 1, 1), Snapshot({}), NAME) is None
    samples = {key: value for key, value in exposed(2, 5, 9, 10).samples.items() if "_sum" not in key[0]}
    found = between(Snapshot({}), Snapshot(samples), NAME)
    assert found is not None
    assert (found.sum, found.mean) == (None, None)


@pytest.mark.parametrize(
    ("snapshot", "words"),
    [
        (exposed(5, 3, 4, 4), "contradict each other"),
        (exposed(1, 2, 3, 2), "contradict each other"),
        (exposed(1, math.nan, 3, 3), "cannot be read"),
        (Snapshot({(f"{NAME}_bucket", frozenset()): 1.0}), "cannot be read"),
        (exposed(1, 2, bounds=("0.1", "0.2")), "no bucket without a bound"),
        (exposed(1, 2, 3, 3, bounds=("a", "0.2", "1.0", "+Inf")), "no number"),
    ],
)
def test_buckets_that_make_no_sense_are_a_telemetry_error(snapshot: Snapshot, words: str) -> None:
    with pytest.raises(TelemetryError, match=words):
        between(Snapshot({}), snapshot, NAME)
