"""GPU samples through NVML, and energy out of them.

There is no GPU where these tests run: the library is a stand-in that a test dictates, with the names,
units and errors of nvidia-ml-py. What they cannot show is that a driver behaves as its documentation
says; that is for a machine with a GPU.
"""

from __future__ import annotations

import csv
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from instruments.errors import ConfigurationError
from instruments.telemetry import gpu as gpu_module
from instruments.telemetry.gpu import GpuSampler, open_gpus
from instruments.telemetry.record import Series
from instruments.telemetry.watch import ServerWatch
from tests.instruments.nvml import A6000, Nvml, NVMLError, h100

EVERY_S = 0.01
BOUND_S = 10.0
HEADER = (
    "timestamp, index, name, uuid, utilization.gpu [%], memory.used [MiB], memory.total [MiB], "
    "temperature.gpu, power.draw [W], power.limit [W], clocks.current.sm [MHz], "
    "ecc.errors.corrected.volatile.total, ecc.errors.uncorrected.volatile.total"
)


@pytest.fixture
def sampling(tmp_path: Path) -> Iterator[Callable[..., GpuSampler]]:
    made: list[GpuSampler] = []

    def start(nvml: Nvml, **options: Any) -> GpuSampler:
        found = open_gpus(tmp_path / "gpu.csv", every_s=EVERY_S, nvml=nvml, **options)
        assert isinstance(found, GpuSampler)
        made.append(found)
        found.start()
        return found

    yield start
    for one in made:
        one.stop()


def everything(sampler: GpuSampler) -> dict[str, Series]:
    return sampler.series(0, 1e12)


def wait_for(sampler: GpuSampler, name: str, samples: int = 2) -> None:
    bound = time.monotonic() + BOUND_S
    while len(everything(sampler).get(name, Series()).values) < samples:
        assert time.monotonic() < bound, f"no {samples} samples of {name}: {everything(sampler).keys()}"
        time.sleep(0.005)


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "gpu.csv").read_text().splitlines()


def test_the_csv_is_as_nvidia_smi_prints_it_without_units_in_the_values(
    sampling: Callable[..., GpuSampler], tmp_path: Path
) -> None:
    sampler = sampling(Nvml(h100(), A6000))
    wait_for(sampler, "gpu1.power_w")
    sampler.stop()
    header, first, second, *_ = lines(tmp_path)
    assert header == HEADER
    moment, _, rest = first.partition(", ")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}", moment)
    assert rest == "0, NVIDIA H100 80GB HBM3, GPU-1, 97, 71000, 81559, 64, 612.35, 700.00, 1980, 3, 0"
    assert second.partition(", ")[2] == (
        "1, NVIDIA RTX A6000, GPU-2, 0, 71000, 81559, 64, 612.35, 700.00, 1980, [N/A], [N/A]"
    )
    rows = list(csv.DictReader(lines(tmp_path), skipinitialspace=True))
    assert {len(row) for row in rows} == {13}
    assert {row["index"] for row in rows} == {"0", "1"}


def test_series_are_in_plain_units_and_what_a_gpu_does_not_say_is_absent_and_not_0(
    sampling: Callable[..., GpuSampler],
) -> None:
    sampler = sampling(Nvml(h100(), A6000))
    wait_for(sampler, "gpu1.power_w")
    sampler.stop()
    values = {name: set(one.values) for name, one in everything(sampler).items()}
    assert {name: one for name, one in values.items() if name.startswith("gpu0.")} == {
        "gpu0.utilisation_share": {0.97},
        "gpu0.memory_bytes": {71_000 * 2**20},
        "gpu0.memory_total_bytes": {81_559 * 2**20},
        "gpu0.temperature_c": {64},
        "gpu0.power_w": {612.345},
        "gpu0.power_limit_w": {700},
        "gpu0.sm_clock_hz": {1.98e9},
        "gpu0.ecc_corrected": {3},
        "gpu0.ecc_uncorrected": {0},
        "gpu0.energy_j": {5000},
    }
    assert values["gpu1.utilisation_share"] == {0.0}, "an idle GPU says 0, which is not nothing"
    assert {"gpu1.ecc_corrected", "gpu1.ecc_uncorrected", "gpu1.energy_j"}.isdisjoint(values)
    assert sampler.problems == (), "what is not supported is no problem"


@pytest.mark.parametrize("stands_for_nothing", [2**32 - 1, 2**64 - 1, -1])
def test_a_number_that_stands_for_not_available_is_absent(
    sampling: Callable[..., GpuSampler], stands_for_nothing: int
) -> None:
    sampler = sampling(Nvml(h100(milliwatts=stands_for_nothing)))
    wait_for(sampler, "gpu0.temperature_c")
    assert "gpu0.power_w" not in everything(sampler)


def test_an_old_driver_that_knows_one_kind_of_memory_is_asked_for_that(
    sampling: Callable[..., GpuSampler],
) -> None:
    class Old(Nvml):
        def nvmlDeviceGetMemoryInfo(  # noqa: N802 - its name
            self, gpu: dict[str, Any], version: int | None = None
        ) -> SimpleNamespace:
            if version:
                raise NVMLError("Function Not Found")
            return super().nvmlDeviceGetMemoryInfo(gpu)

    sampler = sampling(Old(h100()))
    wait_for(sampler, "gpu0.memory_bytes")
    assert set(everything(sampler)["gpu0.memory_bytes"].values) == {71_500 * 2**20}


def test_a_gpu_that_is_lost_in_mid_run_is_told_once_and_the_other_goes_on(
    sampling: Callable[..., GpuSampler],
) -> None:
    dying = h100()
    sampler = sampling(Nvml(dying, A6000))
    wait_for(sampler, "gpu0.power_w")
    dying["milliwatts"] = NVMLError("GPU is lost")
    there = len(everything(sampler)["gpu1.power_w"].values)
    wait_for(sampler, "gpu1.power_w", there + 4)
    sampler.stop()
    assert sampler.problems == ("gpu0 does not tell its power_w: GPU is lost",)


def test_only_the_gpus_asked_for_are_sampled(sampling: Callable[..., GpuSampler], tmp_path: Path) -> None:
    sampler = sampling(Nvml(h100(), A6000), only=["GPU-2"])
    wait_for(sampler, "gpu1.power_w")
    assert not [name for name in everything(sampler) if name.startswith("gpu0")]
    with pytest.raises(ConfigurationError) as raised:
        open_gpus(tmp_path / "other.csv", nvml=Nvml(h100()), only=["3"])
    assert raised.value.facts()["expected"] == "one of 0, GPU-1"


def test_where_there_is_no_gpu_the_reason_is_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gpu.csv"
    without = Nvml()
    without.error = NVMLError("NVML Shared Library Not Found")
    assert open_gpus(path, nvml=without) == "no GPU that NVML can see: NVML Shared Library Not Found"
    assert open_gpus(path, nvml=Nvml()) == "no GPU that NVML can see"
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    reason = open_gpus(path)
    assert isinstance(reason, str)
    assert "nvidia-ml-py is not installed" in reason
    assert not path.exists()


def test_the_real_library_answers_on_this_machine_with_a_sampler_or_a_reason(tmp_path: Path) -> None:
    found = open_gpus(tmp_path / "gpu.csv")
    assert isinstance(found, GpuSampler) or found.startswith("no GPU that NVML can see")


def test_every_line_is_on_the_disk_while_sampling_goes_on(
    sampling: Callable[..., GpuSampler], tmp_path: Path
) -> None:
    sampler = sampling(Nvml(h100()))
    wait_for(sampler, "gpu0.power_w", 3)
    assert len(lines(tmp_path)) >= 3
    assert all(line.count(", ") == HEADER.count(", ") for line in lines(tmp_path)[:3])


def test_a_second_load_goes_on_in_the_same_file_with_samples_of_its_own(
    sampling: Callable[..., GpuSampler], tmp_path: Path
) -> None:
    nvml = Nvml(h100())
    sampler = sampling(nvml)
    wait_for(sampler, "gpu0.power_w")
    sampler.stop()
    sampler.stop()
    rows, first = len(lines(tmp_path)), everything(sampler)["gpu0.power_w"].at_s
    assert nvml.initialized == 0
    sampler.start()
    assert nvml.initialized == 1
    wait_for(sampler, "gpu0.power_w")
    sampler.stop()
    assert nvml.initialized == 0
    assert set(first).isdisjoint(everything(sampler)["gpu0.power_w"].at_s)
    assert len(lines(tmp_path)) >= rows + 2
    assert [line for line in lines(tmp_path) if line == HEADER] == [HEADER]


def test_a_disk_that_refuses_costs_the_csv_and_not_the_samples(tmp_path: Path) -> None:
    found = open_gpus(tmp_path / "nowhere" / "gpu.csv", every_s=EVERY_S, nvml=Nvml(h100()))
    assert isinstance(found, GpuSampler)
    found.start()
    wait_for(found, "gpu0.power_w")
    found.stop()
    assert found.problems == ("gpu.csv cannot be written: No such file or directory",)


def test_a_driver_that_goes_away_between_is_a_problem(tmp_path: Path) -> None:
    nvml = Nvml(h100())
    found = open_gpus(tmp_path / "gpu.csv", nvml=nvml)
    assert isinstance(found, GpuSampler)
    nvml.error = NVMLError("Driver Not Loaded")
    found.start()
    found.stop()
    assert found.problems == ("the GPUs cannot be sampled: Driver Not Loaded",)


def test_a_driver_that_hangs_does_not_keep_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_module, "STOP_BOUND_S", 0.1)
    hangs, release = threading.Event(), threading.Event()

    def hang() -> int:
        hangs.set()
        release.wait(BOUND_S)
        return 0

    found = open_gpus(tmp_path / "gpu.csv", nvml=Nvml(h100(temperature=hang)))
    assert isinstance(found, GpuSampler)
    found.start()
    assert hangs.wait(BOUND_S)
    found.stop()
    assert found.problems == ("the GPU's driver did not answer for 0.1 s",)
    release.set()
    monkeypatch.undo()
    found.stop()


def test_the_watch_puts_the_gpus_beside_the_server(tmp_path: Path) -> None:
    found = open_gpus(tmp_path / "gpu.csv", every_s=EVERY_S, nvml=Nvml(h100()))
    assert isinstance(found, GpuSampler)
    with ServerWatch(None, found) as watch:
        start_unix_s = time.time()
        wait_for(found, "gpu0.energy_j", 4)
        record = watch.end(start_unix_s, time.time())
    assert set(record.series["gpu0.power_w"].values) == {612.345}
    assert all(at_s >= start_unix_s for at_s in record.series["gpu0.power_w"].at_s)
    assert record.every_s == EVERY_S
    assert not [one.name for one in threading.enumerate() if one.name == "gpus"]


def test_a_counter_is_kept_with_its_neighbours_outside_the_window(
    sampling: Callable[..., GpuSampler],
) -> None:
    sampler = sampling(Nvml(h100()))
    wait_for(sampler, "gpu0.energy_j", 8)
    sampler.stop()
    at_s = everything(sampler)["gpu0.energy_j"].at_s
    start_s, end_s = (at_s[1] + at_s[2]) / 2, (at_s[5] + at_s[6]) / 2
    found = sampler.series(start_s, end_s)
    assert found["gpu0.energy_j"].at_s == at_s[1:7]
    assert len(found["gpu0.power_w"].at_s) == 4
