"""Energy: what the GPUs of a record drew over a window, from their counters or from samples of power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from instruments.telemetry.record import Series

COUNTER, POWER = "energy_j", "power_w"
HOLE = 2.5  # times the time between samples: what was drawn for longer without one is not known


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of all GPUs over the part of a window that samples cover; a share of it, of the worst GPU."""

    joules: float
    covered_share: float
    source: str  # which samples, in words


def energy(series: Mapping[str, Series], start_unix_s: float, end_unix_s: float) -> Energy | None:
    """What all GPUs drew; None when no GPU tells its energy or power, or the window is empty.

    Of a GPU that has NVML's energy counter it is that counter's growth, linear between two samples. Of
    others it is the integral of power by the trapezoid rule, the first and last sample holding out to the
    window's ends for no longer than the time between samples.
    """
    window_s = end_unix_s - start_unix_s
    gpus = sorted({name.rpartition(".")[0] for name in series if name.endswith((f".{COUNTER}", f".{POWER}"))})
    if not gpus or window_s <= 0:
        return None
    joules, shares, sources = 0.0, [], set()
    for gpu in gpus:
        counter, power = series.get(f"{gpu}.{COUNTER}", Series()), series.get(f"{gpu}.{POWER}", Series())
        counted = _counted(counter, start_unix_s, end_unix_s)
        drawn, covered_s = counted or _integrated(power, start_unix_s, end_unix_s)
        joules += drawn
        shares.append(min(1.0, covered_s / window_s))
        sources.add("energy counter" if counted else "trapezoid over power samples")
    return Energy(joules, min(shares), " and ".join(sorted(sources)))


def _counted(counter: Series, start_s: float, end_s: float) -> tuple[float, float] | None:
    """(joules, covered seconds) of a counter; None without two samples, or when it was reset."""
    joules = covered_s = 0.0
    segments = list(_segments(counter))
    for (from_s, low), (to_s, high) in segments:
        if high < low:
            return None
        share_s = min(to_s, end_s) - max(from_s, start_s)
        if share_s > 0:
            joules += (high - low) * share_s / (to_s - from_s)
            covered_s += share_s
    return (joules, covered_s) if segments else None


def _integrated(power: Series, start_s: float, end_s: float) -> tuple[float, float]:
    """(joules, covered seconds) of samples of power."""
    every_s = power.every_s()
    if every_s is None:
        return 0.0, 0.0
    before, after = power.at_s[0] - every_s, power.at_s[-1] + every_s
    held = Series((before, *power.at_s, after), (power.values[0], *power.values, power.values[-1]))
    joules = covered_s = 0.0
    for (from_s, low), (to_s, high) in _segments(held):
        first_s, last_s = max(from_s, start_s), min(to_s, end_s)
        if last_s <= first_s or to_s - from_s > HOLE * every_s:
            continue
        slope = (high - low) / (to_s - from_s)
        middle = low + slope * ((first_s + last_s) / 2 - from_s)
        joules += middle * (last_s - first_s)
        covered_s += last_s - first_s
    return joules, covered_s


def _segments(series: Series) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Neighbouring samples, ((instant, value), (instant, value)), that are some time apart."""
    samples = list(zip(series.at_s, series.values, strict=True))
    return [(one, other) for one, other in pairwise(samples) if other[0] > one[0]]
