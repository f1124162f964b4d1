"""nvidia-ml-py as far as it is used, dictated: its names, units and errors, and GPUs that a test writes."""

# ruff: noqa: N802, N815 - the names are the library's

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

UNSAID = object()


class NVMLError(Exception):
    pass


class NotSupported(NVMLError):
    pass


class Nvml:
    """The library. A GPU is a dictionary; UNSAID is what it does not support."""

    NVMLError = NVMLError
    NVMLError_NotSupported = NotSupported
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_VOLATILE_ECC = 0
    NVML_MEMORY_ERROR_TYPE_CORRECTED = 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    nvmlMemory_v2 = 0x2000028

    def __init__(self, *gpus: dict[str, Any]) -> None:
        self.gpus = gpus
        self.initialized = 0
        self.error: NVMLError | None = None

    def nvmlInit(self) -> None:
        if self.error is not None:
            raise self.error
        self.initialized += 1

    def nvmlShutdown(self) -> None:
        self.initialized -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self.gpus[index]

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> str:
        return str(gpu["name"])

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> bytes:
        return str(gpu["uuid"]).encode()

    def nvmlDeviceGetUtilizationRates(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(gpu=said(gpu, "utilisation"))

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any], version: int | None = None) -> SimpleNamespace:
        reserved = 0 if version else gpu["reserved"]
        return SimpleNamespace(used=said(gpu, "used") + reserved, total=gpu["total"])

    def nvmlDeviceGetTemperature(self, gpu: dict[str, Any], _: int) -> Any:
        return said(gpu, "temperature")

    def nvmlDeviceGetPowerUsage(self, gpu: dict[str, Any]) -> Any:
        return said(gpu, "milliwatts")

    def nvmlDeviceGetPowerManagementLimit(self, gpu: dict[str, Any]) -> Any:
        return said(gpu, "limit")

    def nvmlDeviceGetClockInfo(self, gpu: dict[str, Any], _: int) -> Any:
        return said(gpu, "megahertz")

    def nvmlDeviceGetTotalEccErrors(self, gpu: dict[str, Any], kind: int, _: int) -> Any:
        return said(gpu, "ecc")[kind]

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: dict[str, Any]) -> Any:
        return said(gpu, "millijoules")


def said(gpu: dict[str, Any], what: str) -> Any:
    value = gpu[what]() if callable(gpu[what]) else gpu[what]
    if value is UNSAID:
        raise NotSupported("Not Supported")
    if isinstance(value, Exception):
        raise value
    return value


def h100(**other: Any) -> dict[str, Any]:
    return {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": "GPU-1",
        "utilisation": 97,
        "used": 71_000 * 2**20,
        "reserved": 500 * 2**20,
        "total": 81_559 * 2**20,
        "temperature": 64,
        "milliwatts": 612_345,
        "limit": 700_000,
        "megahertz": 1980,
        "ecc": (3, 0),
        "millijoules": 5_000_000,
        **other,
    }


A6000 = h100(name="NVIDIA RTX A6000", uuid="GPU-2", ecc=UNSAID, utilisation=0, millijoules=UNSAID)
