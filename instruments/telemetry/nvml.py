"""What NVML says of one GPU: quantities with their column in nvidia-smi and their series in a record."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Read = Callable[[Any, Any], float]  # (library, handle) -> value in the series' unit; raises its NVMLError
MIB = 2**20
UNKNOWN = (-1, 2**32 - 1, 2**64 - 1)  # NVML_VALUE_NOT_AVAILABLE as signed, 32 and 64 bits


@dataclass(frozen=True, slots=True)
class Quantity:
    """One thing that is sampled. `column` and `show` are nvidia-smi's; a series without them is not in it."""

    series: str
    read: Read
    column: str | None = None
    show: Callable[[float], str] = "{:.0f}".format


def _memory_used(nvml: Any, handle: Any) -> float:
    """Without what the driver keeps for itself, as nvidia-smi counts; with it where that is all it tells."""
    try:
        return float(nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).used)
    except nvml.NVMLError:
        return float(nvml.nvmlDeviceGetMemoryInfo(handle).used)


def _ecc(kind: str) -> Read:
    def read(nvml: Any, handle: Any) -> float:
        error = getattr(nvml, f"NVML_MEMORY_ERROR_TYPE_{kind}")
        return _known(nvml.nvmlDeviceGetTotalEccErrors(handle, error, nvml.NVML_VOLATILE_ECC))

    return read


def _known(value: float) -> float:
    """A value, or NaN for one of the numbers that stand for "not available"."""
    return float("nan") if value in UNKNOWN else float(value)


def _mebibytes(value: float) -> str:
    return f"{value / MIB:.0f}"


QUANTITIES = (
    Quantity(
        "utilisation_share",
        lambda nvml, handle: _known(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100,
        "utilization.gpu [%]",
        lambda value: f"{value * 100:.0f}",
    ),
    Quantity("memory_bytes", _memory_used, "memory.used [MiB]", _mebibytes),
    Quantity(
        "memory_total_bytes",
        lambda nvml, handle: float(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        "memory.total [MiB]",
        _mebibytes,
    ),
    Quantity(
        "temperature_c",
        lambda nvml, handle: _known(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        "temperature.gpu",
    ),
    Quantity(
        "power_w",
        lambda nvml, handle: _known(nvml.nvmlDeviceGetPowerUsage(handle)) / 1000,
        "power.draw [W]",
        "{:.2f}".format,
    ),
    Quantity(
        "power_limit_w",
        lambda nvml, handle: _known(nvml.nvmlDeviceGetPowerManagementLimit(handle)) / 1000,
        "power.limit [W]",
        "{:.2f}".format,
    ),
    Quantity(
        "sm_clock_hz",
        lambda nvml, handle: _known(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)) * 1e6,
        "clocks.current.sm [MHz]",
        lambda value: f"{value / 1e6:.0f}",
    ),
    Quantity("ecc_corrected", _ecc("CORRECTED"), "ecc.errors.corrected.volatile.total"),
    Quantity("ecc_uncorrected", _ecc("UNCORRECTED"), "ecc.errors.uncorrected.volatile.total"),
    Quantity(
        "energy_j",  # since the driver was loaded; since Volta
        lambda nvml, handle: _known(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000,
    ),
)


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. `index` is NVML's, which CUDA_VISIBLE_DEVICES does not change."""

    index: int
    handle: Any
    name: str
    uuid: str


def library() -> Any | str:
    """The NVML binding, or why there is none."""
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        return f"nvidia-ml-py is not installed: {error}"


def devices(nvml: Any) -> list[Device]:
    """All GPUs of an initialized library. Raises its NVMLError."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    return [
        Device(index, one, _text(nvml.nvmlDeviceGetName(one)), _text(nvml.nvmlDeviceGetUUID(one)))
        for index, one in enumerate(handles)
    ]


def _text(said: str | bytes) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
