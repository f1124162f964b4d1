"""The same readings under the names, units and labels of NVIDIA's dcgm-exporter.

Names, kinds and units are those of its default-counters.csv; ECC, fan, power limit and clock reasons are
fields that its users add. Label `Hostname` became `hostname` after its 4.8.2, so both are there.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.exporter.readings import THROTTLE_BITS
from deploy.exporter.sampler import Gpu

MILLI = 1000.0


@dataclass(frozen=True, slots=True)
class Alias:
    """`name` is `ours` times `scale`."""

    name: str
    ours: str
    text: str
    scale: float = 1.0
    counter: bool = False


ALIASES = (
    Alias("DCGM_FI_DEV_GPU_UTIL", "gpu_utilization_percent", "GPU utilization (in %)."),
    Alias("DCGM_FI_DEV_MEM_COPY_UTIL", "gpu_memory_utilization_percent", "Memory utilization (in %)."),
    Alias("DCGM_FI_DEV_FB_USED", "gpu_memory_used_mib", "Framebuffer memory used (in MiB)."),
    Alias("DCGM_FI_DEV_FB_FREE", "gpu_memory_free_mib", "Framebuffer memory free (in MiB)."),
    Alias("DCGM_FI_DEV_FB_TOTAL", "gpu_memory_total_mib", "Framebuffer memory in all (in MiB)."),
    Alias("DCGM_FI_DEV_GPU_TEMP", "gpu_temperature_celsius", "GPU temperature (in C)."),
    Alias("DCGM_FI_DEV_POWER_USAGE", "gpu_power_draw_watts", "Power draw (in W)."),
    Alias("DCGM_FI_DEV_POWER_MGMT_LIMIT", "gpu_power_limit_watts", "Power limit (in W)."),
    Alias(
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",
        "gpu_energy_joules",
        "Total energy consumption since boot (in mJ).",
        scale=MILLI,
        counter=True,
    ),
    Alias("DCGM_FI_DEV_SM_CLOCK", "gpu_sm_clock_mhz", "SM clock frequency (in MHz)."),
    Alias("DCGM_FI_DEV_MEM_CLOCK", "gpu_mem_clock_mhz", "Memory clock frequency (in MHz)."),
    Alias("DCGM_FI_DEV_FAN_SPEED", "gpu_fan_speed_percent", "Fan speed (in %)."),
    Alias(
        "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL",
        "gpu_ecc_errors_corrected",
        "Total number of single-bit volatile ECC errors.",
        counter=True,
    ),
    Alias(
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
        "gpu_ecc_errors_uncorrected",
        "Total number of double-bit volatile ECC errors.",
        counter=True,
    ),
    Alias("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", THROTTLE_BITS, "Current clock event reasons (a bit mask)."),
)


def labels(gpu: Gpu, hostname: str) -> dict[str, str]:
    """dcgm-exporter's labels of one GPU."""
    return {
        "gpu": str(gpu.index),
        "UUID": gpu.uuid,
        "device": f"nvidia{gpu.index}",
        "modelName": gpu.name,
        "Hostname": hostname,
        "hostname": hostname,
    }
