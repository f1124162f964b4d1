"""Do the GPUs' figures say what NVML says?

Workload: none. On a GPU the exporter is laid beside NVML, asked right before and after it; on a stub of NVML
beside what was dictated to the stub, and the page must say that it is one.
Bounds: `gpu-drift-share`, `gpu-reading-age-s`. Needs: the GPU exporter. Costs: 4 s.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = [
    pytest.mark.observability,
    pytest.mark.gpu,
    pytest.mark.claim("host-a6000", "gateway-rtx3090", "minikube-rtx3060"),
    pytest.mark.needs("exporter"),
]

OURS = ("gpu_id", "gpu_name", "uuid")
# Recorded under one name and unit, whichever exporter it is: name, the exporter's own, the factor.
RECORDED = [
    ("gpu:utilization:ratio", "gpu_utilization_percent", 0.01),
    ("gpu:memory_used:bytes", "gpu_memory_used_mib", 2**20),
    ("gpu:memory_free:bytes", "gpu_memory_free_mib", 2**20),
    ("gpu:temperature:celsius", "gpu_temperature_celsius", 1),
    ("gpu:power:watts", "gpu_power_draw_watts", 1),
    ("gpu:power_limit:watts", "gpu_power_limit_watts", 1),
    ("gpu:sm_clock:hertz", "gpu_sm_clock_mhz", 1e6),
]


def of_card(page: Any, name: str, card: Any) -> float | None:
    """What the exporter says of one card under a name: None where it has no series."""
    found = [value for labels, value in page.series(name).items() if dict(labels)["uuid"] == card.uuid]
    assert len(found) <= 1, f"{name} has {len(found)} series for {card.uuid}"
    return found[0] if found else None


def test_a_figure_is_what_nvml_says(gpu_metric, nvml_cards, page_of, bound):
    """Each reading of each card is NVML's, in the unit of its name, and absent where NVML gives none"""
    before, page, after = nvml_cards(), page_of("exporter"), nvml_cards()
    assert before.cards, "NVML knows no card"
    for first, second in zip(before.cards, after.cards, strict=True):
        if gpu_metric not in first.readings:
            continue
        said, low, high = (
            of_card(page, gpu_metric, first),
            first.readings[gpu_metric],
            second.readings[gpu_metric],
        )
        if low is None or high is None:
            assert said is None, f"card {first.index}: NVML gives none, the exporter says {said:g}"
            continue
        assert said is not None, f"card {first.index}: NVML says {low:g}, the exporter nothing"
        least, most = sorted((low, high))
        if not before.stub:  # a living card has moved on since the exporter last looked
            least, most = (
                least * (1 - bound("gpu-drift-share")) - 2,
                most * (1 + bound("gpu-drift-share")) + 2,
            )
        else:
            least, most = least - 1e-6, most + 1e-6
        assert least <= said <= most, f"card {first.index}: NVML says {low:g}, the exporter {said:g}"


def test_what_a_card_does_not_give_is_absent_and_never_0(nvml_cards, page_of):
    """A reading that a card does not support has no series: a 0 would be taken for a healthy value"""
    found, page = nvml_cards(), page_of("exporter")
    for card in found.cards:
        for name, value in card.readings.items():
            assert (of_card(page, name, card) is None) == (value is None), f"card {card.index}: {name}"


def test_cards_are_told_apart(nvml_cards, page_of):
    """There are as many cards as NVML knows, each under its own index, name and UUID, none twice"""
    known = {(str(one.index), one.name, one.uuid) for one in nvml_cards().cards}
    assert known
    page = page_of("exporter")
    for name in ("gpu_up", "gpu_info", "gpu_memory_total_mib"):
        shown = [tuple(dict(labels)[label] for label in OURS) for labels in page.series(name)]
        assert sorted(shown) == sorted(known), name


def test_a_stub_says_that_it_is_one(nvml_cards, page_of):
    """Made-up readings are marked on the page and by the driver's name, real ones are not"""
    stub, page = nvml_cards().stub, page_of("exporter")
    assert page.series("gpu_exporter_stub") == {frozenset(): float(stub)}
    drivers = {dict(labels)["driver"] for labels in page.series("gpu_info")}
    assert drivers
    assert all(one.startswith("stub") == stub for one in drivers), drivers


def test_readings_are_fresh(page_of, bound):
    """The age that the page states goes with the clock, and never beyond what an operator may count on"""
    ages_s = []
    for _ in range(3):
        ages_s.append(page_of("exporter").total("gpu_exporter_reading_age_seconds"))
        time.sleep(0.6)
    assert max(ages_s) <= bound("gpu-reading-age-s"), ages_s
    assert len(set(ages_s)) > 1, "it always says the same age"


@pytest.mark.needs("prometheus")
def test_prometheus_holds_what_the_exporter_shows(page_of, stored):
    """Every series of the cards is in Prometheus, by its labels; what does not move has the same value"""
    before, held, after = page_of("exporter"), stored("exporter"), page_of("exporter")
    compared = 0
    for (name, labels), value in before.samples.items():
        if not name.startswith("gpu_") or name == "gpu_exporter_reading_age_seconds":
            continue
        found = held.total(name, **{label: text for label, text in labels if text})  # an empty label is none
        assert found is not None, f"{name}{dict(labels)} is not in Prometheus"
        if after.samples.get((name, labels)) == value:
            assert found == value, f"{name}{dict(labels)}"
            compared += 1
    assert compared, "every figure moved: nothing could be compared"


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(("recorded", "shown", "factor"), RECORDED, ids=[one[0] for one in RECORDED])
def test_a_figure_is_recorded_in_the_unit_of_its_name(recorded, shown, factor, page_of, prometheus, bound):
    """What panels and alerts ask for, whichever exporter runs, is its figure in the unit of the name"""
    page = page_of("exporter")
    held = {
        one["metric"]["uuid"]: float(one["value"][1])
        for one in prometheus("/api/v1/query", query=recorded)["result"]
        if "uuid" in one["metric"]
    }
    told = {dict(labels)["uuid"]: value * factor for labels, value in page.series(shown).items()}
    assert held.keys() == told.keys()
    for card, value in told.items():
        drift = 0 if page.total("gpu_exporter_stub") else bound("gpu-drift-share") * value
        assert held[card] == pytest.approx(value, rel=1e-6, abs=drift), f"card {card}"
