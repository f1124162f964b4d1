"""The GPUs' alerts, over three exporters' names: each fires here and is silent there, worked out by hand."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.alerting import Fires, Story, check

MIB = 1048576
OURS = 'instance="x:1", gpu_id="0", gpu_name="A6000", uuid="GPU-a"'
DCGM = 'instance="x:2", gpu="3", UUID="GPU-b", modelName="T4"'
SMI = 'instance="x:3", uuid="c"'
NAMES = {  # neutral name -> (ours, DCGM's, nvidia_gpu_exporter's), each with a value, and what that is
    "gpu:utilization:ratio": (
        ("gpu_utilization_percent", 50, 0.5),
        ("DCGM_FI_DEV_GPU_UTIL", 25, 0.25),
        ("nvidia_smi_utilization_gpu_ratio", 0.75, 0.75),
    ),
    "gpu:memory_used:bytes": (
        ("gpu_memory_used_mib", 3, 3 * MIB),
        ("DCGM_FI_DEV_FB_USED", 2, 2 * MIB),
        ("nvidia_smi_memory_used_bytes", 7, 7),
    ),
    "gpu:memory_free:bytes": (
        ("gpu_memory_free_mib", 5000, 5000 * MIB),
        ("DCGM_FI_DEV_FB_FREE", 4000, 4000 * MIB),
        ("nvidia_smi_memory_free_bytes", 3000 * MIB, 3000 * MIB),
    ),
    "gpu:temperature:celsius": (
        ("gpu_temperature_celsius", 61, 61),
        ("DCGM_FI_DEV_GPU_TEMP", 62, 62),
        ("nvidia_smi_temperature_gpu", 63, 63),
    ),
    "gpu:power:watts": (
        ("gpu_power_draw_watts", 100, 100),
        ("DCGM_FI_DEV_POWER_USAGE", 110, 110),
        ("nvidia_smi_power_draw_watts", 120, 120),
    ),
    "gpu:power_limit:watts": (
        ("gpu_power_limit_watts", 300, 300),
        ("DCGM_FI_DEV_POWER_MGMT_LIMIT", 310, 310),
        ("nvidia_smi_enforced_power_limit_watts", 320, 320),
    ),
    "gpu:sm_clock:hertz": (
        ("gpu_sm_clock_mhz", 1800, 1.8e9),
        ("DCGM_FI_DEV_SM_CLOCK", 1590, 1.59e9),
        ("nvidia_smi_clocks_current_sm_clock_hz", 1.2e9, 1.2e9),
    ),
    "gpu:energy:joules_total": (
        ("gpu_energy_joules_total", 5, 5),
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 6000, 6),
        ("nvidia_smi_energy_joules_total", 7, 7),
    ),
    "gpu:ecc_uncorrected:errors_total": (
        ("gpu_ecc_errors_uncorrected_total", 1, 1),
        ("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", 2, 2),
        ("nvidia_smi_ecc_errors_uncorrected_volatile_total", 3, 3),
    ),
}
TARGETS = (OURS, DCGM, SMI)
NEUTRAL = ('instance="x:1", gpu="0", uuid="GPU-a"', 'instance="x:2", gpu="3", uuid="GPU-b"', SMI)


def ours(name: str, values: str) -> dict[str, str]:
    return {f"{name}{{{OURS}}}": values}


ALIKE = [
    Story(
        f"{neutral} of each exporter",
        {
            f"{name}{{{labels}}}": f"{value}+0x5"
            for (name, value, _), labels in zip(kinds, TARGETS, strict=True)
        },
        records=[
            (
                neutral,
                "5s",
                {
                    f"{neutral}{{{labels}}}": value
                    for (_, _, value), labels in zip(kinds, NEUTRAL, strict=True)
                },
            )
        ],
    )
    for neutral, kinds in NAMES.items()
] + [
    Story(
        "an exporter with two families of names is one GPU, and a reading that is absent is no 0",
        {
            f"gpu_utilization_percent{{{OURS}}}": "50+0x5",
            'DCGM_FI_DEV_GPU_UTIL{instance="x:1", gpu="0", UUID="GPU-a"}': "50+0x5",
        },
        records=[
            ("gpu:utilization:ratio", "5s", {f"gpu:utilization:ratio{{{NEUTRAL[0]}}}": 0.5}),
            ("gpu:ecc_uncorrected:errors_total", "5s", {}),
        ],
    )
]

GPU = {"instance": "x:1", "gpu": "0", "uuid": "GPU-a"}
LEVELS = [
    Story(
        "busy: 91 % in the mean of five minutes, for five minutes; 90 % is not above 90 %",
        {
            f"gpu_utilization_percent{{{OURS}}}": "91+0x700",
            f"DCGM_FI_DEV_GPU_UTIL{{{DCGM}}}": "90+0x700",
        },
        [Fires("GpuBusy", "300s", GPU, "GPU 0 of x:1 is busy 91% of the time")],
        [("GpuBusy", "299s")],
    ),
    Story(
        "1.9 % of it free for a minute; 2 % is enough, and so is what 0.9 leaves of a T4",
        ours("gpu_memory_free_mib", "19+0x70")
        | ours("gpu_memory_used_mib", "981+0x70")
        | {f"DCGM_FI_DEV_FB_FREE{{{DCGM}}}": "20+0x70", f"DCGM_FI_DEV_FB_USED{{{DCGM}}}": "980+0x70"}
        | {
            f"nvidia_smi_memory_free_bytes{{{SMI}}}": f"{1200 * MIB}+0x70",  # 0.1 of 15,360 less CUDA graphs
            f"nvidia_smi_memory_used_bytes{{{SMI}}}": f"{14160 * MIB}+0x70",
        },
        [Fires("GpuMemoryLow", "60s", GPU, "GPU 0 of x:1 has 1.9% of its memory free")],
        [("GpuMemoryLow", "59s")],
    ),
    Story(
        "86 °C for two minutes; 85 is not above 85",
        ours("gpu_temperature_celsius", "86+0x130") | {f"nvidia_smi_temperature_gpu{{{SMI}}}": "85+0x130"},
        [Fires("GpuHot", "120s", GPU, "GPU 0 of x:1 is at 86 °C")],
        [("GpuHot", "119s")],
    ),
]


def throttled(reason: str, values: str) -> dict[str, str]:
    return {f'gpu_throttle_reason{{{OURS}, reason="{reason}"}}': values}


FAULTS = [
    Story(
        "one uncorrectable error; seven old ones are old",
        ours("gpu_ecc_errors_uncorrected_total", "0+0x60 1+0x900")
        | {f"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{{{DCGM}}}": "7+0x960"},
        [Fires("GpuEccErrors", "61s", GPU, "GPU 0 of x:1 has uncorrectable memory errors")],
        [("GpuEccErrors", "60s"), ("GpuEccErrors", "662s")],
    ),
    Story(
        "slowed down by heat for two minutes; idling and the power cap are how it works",
        throttled("hw_thermal_slowdown", "1+0x130")
        | throttled("sw_power_cap", "1+0x130")
        | throttled("gpu_idle", "1+0x130"),
        [
            Fires(
                "GpuThrottled",
                "120s",
                {"instance": "x:1", "gpu_id": "0", "uuid": "GPU-a", "reason": "hw_thermal_slowdown"},
                "GPU 0 of x:1 is slowed down: hw_thermal_slowdown",
            )
        ],
        [("GpuThrottled", "119s")],
    ),
    Story(
        "XIDs that ask for a reset, and those that a program is to blame for",
        {
            f'DCGM_FI_DEV_XID_ERRORS{{instance="x:2", gpu="{code}"}}': f"{code}+0x60"
            for code in (0, 13, 31, 43, 48, 62, 63, 64, 74, 79, 92, 95, 119, 120)
        },
        [
            Fires(
                "GpuXid",
                "30s",
                {"instance": "x:2", "gpu": str(code)},
                "a GPU of x:2 reported an XID that a reset is due after",
            )
            for code in (48, 62, 64, 74, 79, 95, 119, 120)
        ],
    ),
    Story(
        "the other exporter tells when: within five minutes; an old one is old, a harmless one is harmless",
        {
            'nvidia_smi_xid_last_timestamp_seconds{instance="x:3", xid="79"}': "100+0x500",
            'nvidia_smi_xid_last_timestamp_seconds{instance="x:3", xid="31"}': "100+0x500",
        },
        [
            Fires(
                "GpuXid",
                "399s",
                {"instance": "x:3", "xid": "79"},
                "a GPU of x:3 reported an XID that a reset is due after",
            )
        ],
        [("GpuXid", "400s")],
    ),
    Story(
        "an exporter that cannot read its GPUs, of two kinds",
        {
            'gpu_exporter_up{instance="x:1"}': "0+0x70",
            'gpu_exporter_up{instance="x:2"}': "1+0x70",
            'nvidia_smi_last_collect_success{instance="x:3"}': "0+0x70",
        },
        [
            Fires("GpuUnreadable", "60s", {"instance": name}, f"the exporter {name} cannot read its GPUs")
            for name in ("x:1", "x:3")
        ],
        [("GpuUnreadable", "59s")],
    ),
    Story(
        "a stub's readings, where nobody said that they are",
        {
            'gpu_exporter_stub{instance="x:1"}': "1+0x70",
            'gpu_exporter_stub{instance="x:2", readings="stub"}': "1+0x70",
        },
        [
            Fires(
                "GpuReadingsOfAStub",
                "60s",
                {"instance": "x:1"},
                "the exporter x:1 reads a stub library, no GPU",
            )
        ],
        [("GpuReadingsOfAStub", "59s")],
    ),
]


def test_three_exporters_read_alike(tmp_path: Path) -> None:
    check(tmp_path, "gpu.yml", ALIKE)


def test_levels(tmp_path: Path) -> None:
    check(tmp_path, "gpu.yml", LEVELS)


def test_faults(tmp_path: Path) -> None:
    check(tmp_path, "gpu.yml", FAULTS)


STORIES = [*ALIKE, *LEVELS, *FAULTS]
