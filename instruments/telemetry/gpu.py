"""The GPUs beside a server: sampled through NVML while a load goes, to a CSV as nvidia-smi prints it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from instruments.clock import ClockAnchor
from instruments.errors import ConfigurationError
from instruments.telemetry.metronome import Metronome
from instruments.telemetry.nvml import QUANTITIES, Device, devices, library
from instruments.telemetry.record import Series

STOP_BOUND_S = 5.0
ABSENT = "[N/A]"  # as nvidia-smi has it; a series has no sample then
COLUMNS = ("timestamp", "index", "name", "uuid", *(one.column for one in QUANTITIES if one.column))
COUNTERS = ("energy_j",)  # kept one sample beyond a window: what grew within lies between its neighbours


def open_gpus(
    csv_path: Path, *, every_s: float = 1.0, only: Sequence[str] = (), nvml: Any = None
) -> GpuSampler | str:
    """A sampler of this machine's GPUs, or why there is none, in words.

    `only` names some of them by index or UUID; ConfigurationError for one that is not there. `nvml` is
    the library; the tests dictate one.
    """
    nvml = nvml or library()
    if isinstance(nvml, str):
        return nvml
    try:
        nvml.nvmlInit()
        found = devices(nvml)
        nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        return f"no GPU that NVML can see: {error}"
    known = {name for one in found for name in (str(one.index), one.uuid)}
    if strange := [name for name in only if name not in known]:
        raise ConfigurationError(
            "there is no such GPU", expected="one of " + ", ".join(sorted(known)), seen=", ".join(strange)
        )
    if not found:
        return "no GPU that NVML can see"
    return GpuSampler(nvml, csv_path, every_s, frozenset(only))


class GpuSampler:
    """Samples every GPU between `start` and `stop`. What a GPU does not say is absent, never 0.

    Every line of the CSV reaches the operating system at once. Its times are in UTC.
    """

    def __init__(self, nvml: Any, csv_path: Path, every_s: float, only: frozenset[str]) -> None:
        self.every_s = every_s
        self._nvml = nvml
        self._csv = csv_path
        self._only = only
        self._metronome = Metronome(self._sample, every_s, "gpus")
        self._devices: list[Device] = []
        self._initialized = False
        self._anchor = ClockAnchor.now()
        self._samples: dict[str, list[tuple[float, float]]] = {}
        self._problems: dict[str, None] = {}  # each is told once, in the order they came

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems)

    def start(self) -> None:
        """Begin anew: a second load has samples of its own, in the same CSV."""
        self._anchor, self._samples, self._problems = ClockAnchor.now(), defaultdict(list), {}
        try:
            self._nvml.nvmlInit()
            self._initialized = True
            self._devices = [
                one
                for one in devices(self._nvml)
                if not self._only or self._only & {str(one.index), one.uuid}
            ]
        except self._nvml.NVMLError as error:
            self._problems[f"the GPUs cannot be sampled: {error}"] = None
            return
        if not self._csv.exists():
            self._write(", ".join(COLUMNS))
        self._metronome.start()

    def stop(self) -> None:
        """End the thread, bounded; any number of times."""
        ended = self._metronome.stop(STOP_BOUND_S)
        if not ended:
            self._problems[f"the GPU's driver did not answer for {STOP_BOUND_S:g} s"] = None
        elif self._initialized:
            self._initialized = False
            self._nvml.nvmlShutdown()

    def series(self, start_unix_s: float, end_unix_s: float) -> dict[str, Series]:
        """`gpu0.power_w` and the like within a window; a counter with its neighbours outside."""
        found = {}
        for name, taken in list(self._samples.items()):
            whole = Series(tuple(at_s for at_s, _ in taken), tuple(value for _, value in taken))
            start_s, end_s = start_unix_s, end_unix_s
            if name.endswith(COUNTERS):
                start_s = max((at_s for at_s in whole.at_s if at_s <= start_s), default=start_s)
                end_s = min((at_s for at_s in whole.at_s if at_s >= end_s), default=end_s)
            found[name] = whole.within(start_s, end_s)
        return found

    def _sample(self) -> None:
        for device in self._devices:
            at_s = self._anchor.unix_s(time.monotonic_ns())
            values = {one.series: self._read(one.read, one.series, device) for one in QUANTITIES}
            for name, value in values.items():
                if not math.isnan(value):
                    self._samples[f"gpu{device.index}.{name}"].append((at_s, value))
            shown = [
                ABSENT if math.isnan(values[one.series]) else one.show(values[one.series])
                for one in QUANTITIES
                if one.column
            ]
            moment = datetime.fromtimestamp(at_s, UTC).strftime("%Y/%m/%d %H:%M:%S.%f")[:-3]
            self._write(", ".join([moment, str(device.index), device.name, device.uuid, *shown]))

    def _read(self, read: Any, name: str, device: Device) -> float:
        """A value, or NaN where this GPU has none: not every GPU, driver or partition of one tells all."""
        try:
            return float(read(self._nvml, device.handle))
        except self._nvml.NVMLError_NotSupported:
            return math.nan
        except self._nvml.NVMLError as error:
            self._problems[f"gpu{device.index} does not tell its {name}: {error}"] = None
            return math.nan

    def _write(self, line: str) -> None:
        try:
            with self._csv.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            self._problems[f"{self._csv.name} cannot be written: {error.strerror}"] = None
