"""What is read of one GPU: each probe with the metrics that come of it; what NVML does not give is absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MIB = 2**20
UNKNOWN = (-1, 2**32 - 1, 2**64 - 1)  # NVML_VALUE_NOT_AVAILABLE as signed, 32 and 64 bits
LONGEST_NAME = 64

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of a GPU: its name without `_total`, its help, and whether it is a counter."""

    name: str
    text: str
    counter: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to NVML. `read(nvml, handle)` gives values by metric, or raises its NVMLError."""

    reading: str
    read: Callable[[Any, Any], Values]


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """A process with a context on a GPU. `used_mib` None: NVML does not say (a partition, another user)."""

    pid: int
    name: str
    used_mib: float | None


FAMILIES = (
    Family("gpu_utilization_percent", "Share of the last sample period in which a kernel ran"),
    Family(
        "gpu_memory_utilization_percent",
        "Share of the last sample period in which memory was read or written; not how full it is",
    ),
    Family("gpu_memory_used_mib", "Memory in use, without what the driver keeps for itself"),
    Family("gpu_memory_free_mib", "Memory that can still be taken"),
    Family("gpu_memory_total_mib", "Memory of the device"),
    Family("gpu_temperature_celsius", "Temperature of the GPU's core"),
    Family("gpu_power_draw_watts", "Power drawn by the whole board"),
    Family("gpu_power_limit_watts", "Power limit set by management"),
    Family("gpu_energy_joules", "Energy since the driver was loaded", counter=True),
    Family("gpu_sm_clock_mhz", "Clock of the streaming multiprocessors"),
    Family("gpu_mem_clock_mhz", "Clock of the memory"),
    Family("gpu_fan_speed_percent", "Intended fan speed; absent on passively cooled boards"),
    Family("gpu_ecc_errors_corrected", "Corrected memory errors since the driver was loaded", counter=True),
    Family(
        "gpu_ecc_errors_uncorrected", "Uncorrected memory errors since the driver was loaded", counter=True
    ),
)

# Bits of nvmlDeviceGetCurrentClocksEventReasons, named as nvml.h does.
THROTTLE_REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
THROTTLE_BITS = "throttle_bits"


def known(value: float, scale: float = 1.0) -> float | None:
    """`value` times `scale`, or None for one of the numbers that stand for "not available"."""
    return None if value in UNKNOWN else float(value) * scale


def _utilization(nvml: Any, handle: Any) -> Values:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return {
        "gpu_utilization_percent": known(rates.gpu),
        "gpu_memory_utilization_percent": known(rates.memory),
    }


def _memory(nvml: Any, handle: Any) -> Values:
    """Without what the driver reserves, as nvidia-smi counts; with it where a driver tells no more."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        f"gpu_memory_{kind}_mib": known(getattr(memory, kind), 1 / MIB) for kind in ("used", "free", "total")
    }


def _throttle(nvml: Any, handle: Any) -> Values:
    try:
        bits = nvml.nvmlDeviceGetCurrentClocksEventReasons(handle)
    except nvml.NVMLError_FunctionNotFound:  # a driver before 535 has it under the former name
        bits = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return {THROTTLE_BITS: known(bits)}


def _single(name: str, function: str, *arguments: str, scale: float = 1.0) -> Callable[[Any, Any], Values]:
    """A probe of one number: NVML's `function`, whose further `arguments` are names of NVML's constants."""

    def read(nvml: Any, handle: Any) -> Values:
        constants = [getattr(nvml, argument) for argument in arguments]
        return {name: known(getattr(nvml, function)(handle, *constants), scale)}

    return read


def _ecc(kind: str) -> Callable[[Any, Any], Values]:
    return _single(
        f"gpu_ecc_errors_{kind.lower()}",
        "nvmlDeviceGetTotalEccErrors",
        f"NVML_MEMORY_ERROR_TYPE_{kind}",
        "NVML_VOLATILE_ECC",
    )


def _clock(name: str, kind: str) -> Callable[[Any, Any], Values]:
    return _single(name, "nvmlDeviceGetClockInfo", f"NVML_CLOCK_{kind}")


# NVML speaks in bytes, milliwatts, millijoules and MHz.
PROBES = (
    Probe("utilization", _utilization),
    Probe("memory", _memory),
    Probe(
        "temperature",
        _single("gpu_temperature_celsius", "nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
    ),
    Probe("power", _single("gpu_power_draw_watts", "nvmlDeviceGetPowerUsage", scale=1e-3)),
    Probe("power_limit", _single("gpu_power_limit_watts", "nvmlDeviceGetPowerManagementLimit", scale=1e-3)),
    Probe("energy", _single("gpu_energy_joules", "nvmlDeviceGetTotalEnergyConsumption", scale=1e-3)),
    Probe("sm_clock", _clock("gpu_sm_clock_mhz", "SM")),
    Probe("mem_clock", _clock("gpu_mem_clock_mhz", "MEM")),
    Probe("fan", _single("gpu_fan_speed_percent", "nvmlDeviceGetFanSpeed")),
    Probe("ecc_corrected", _ecc("CORRECTED")),
    Probe("ecc_uncorrected", _ecc("UNCORRECTED")),
    Probe("throttle", _throttle),
)


def processes(nvml: Any, handle: Any) -> tuple[ProcessMemory, ...]:
    """The processes that compute on a GPU. Raises NVMLError."""
    found = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    return tuple(
        ProcessMemory(one.pid, process_name(nvml, one.pid), _mebibytes(one.usedGpuMemory)) for one in found
    )


def _mebibytes(value: int | None) -> float | None:
    return None if value is None else known(value, 1 / MIB)


def process_name(nvml: Any, pid: int) -> str:
    """What runs, without its folder and its arguments: arguments may hold secrets."""
    try:
        said = nvml.nvmlSystemGetProcessName(pid)
    except (nvml.NVMLError, UnicodeDecodeError):  # it has ended, is another user's, or is cut within a letter
        return "unknown"
    return bare_name(said if isinstance(said, str) else said.decode("utf-8", "replace"))


def bare_name(command: str) -> str:
    """The last part of a command's first word. NVML gives some programs' whole command line as the name."""
    word = (command.split() or ["unknown"])[0].partition("=")[0]
    return (word.rpartition("/")[2] or "unknown")[:LONGEST_NAME]
