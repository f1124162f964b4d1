"""Energy of GPUs over a window, from 100 to 110 s unless said, worked out by hand."""

from __future__ import annotations

import pytest

from instruments.telemetry.energy import Energy, energy
from instruments.telemetry.record import Series


def test_the_energy_counter_is_linear_between_its_samples() -> None:
    counter = Series((99.5, 100.5, 109.5, 110.5), (1000.0, 1300.0, 4000.0, 4300.0))  # 300 W throughout
    assert energy({"gpu0.energy_j": counter}, 100, 110) == Energy(3000, 1.0, "energy counter")


def test_power_is_integrated_by_trapezoids_and_held_to_the_ends_of_the_window() -> None:
    at_s = tuple(100.5 + second for second in range(10))
    rising = Series(at_s, tuple(100.0 + 10 * second for second in range(10)))
    # Between 100.5 and 109.5 the mean is 145 W over 9 s; half a second of 100 W and of 190 W at the ends.
    found = energy({"gpu0.power_w": rising}, 100, 110)
    assert found is not None
    assert found.joules == pytest.approx(145 * 9 + 50 + 95)
    assert found.covered_share == pytest.approx(1)
    assert found.source == "trapezoid over power samples"


def test_the_counter_goes_before_the_samples_and_each_gpu_by_what_it_has() -> None:
    series = {
        "gpu0.energy_j": Series((100, 110), (0, 2000)),
        "gpu0.power_w": Series((100, 101, 109, 110), (9, 9, 9, 9)),
        "gpu1.power_w": Series(tuple(100.0 + second for second in range(11)), (50.0,) * 11),
        "running": Series((100,), (1,)),
    }
    found = energy(series, 100, 110)
    assert found is not None
    assert found.joules == pytest.approx(2000 + 500)
    assert found.source == "energy counter and trapezoid over power samples"


def test_what_no_sample_covers_is_not_made_up() -> None:
    at_s = (100.0, 101.0, 102.0, 108.0, 109.0, 110.0)  # six seconds without a sample
    found = energy({"gpu0.power_w": Series(at_s, (100.0,) * 6)}, 100, 110)
    assert found is not None
    assert found.joules == pytest.approx(400)
    assert found.covered_share == pytest.approx(0.4)
    late = energy({"gpu0.energy_j": Series((105, 110), (0, 500))}, 100, 110)
    assert late == Energy(500, 0.5, "energy counter")


def test_a_counter_that_fell_is_not_believed_and_power_stands_in() -> None:
    series = {
        "gpu0.energy_j": Series((100, 105, 110), (5000, 5500, 300)),
        "gpu0.power_w": Series(tuple(100.0 + second for second in range(11)), (100.0,) * 11),
    }
    found = energy(series, 100, 110)
    assert found is not None
    assert found.joules == pytest.approx(1000)
    assert found.source == "trapezoid over power samples"


def test_without_a_gpu_or_a_window_there_is_no_energy() -> None:
    assert energy({"running": Series((1,), (1,))}, 0, 10) is None
    assert energy({}, 0, 10) is None
    assert energy({"gpu0.power_w": Series((1, 2), (1, 1))}, 10, 10) is None
    alone = energy({"gpu0.power_w": Series((5,), (100,))}, 0, 10)
    assert alone is not None
    assert (alone.joules, alone.covered_share) == (0, 0)
