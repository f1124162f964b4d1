"""dcgm-exporter's names: kinds and units against a table; and the instruments' reading of the same GPU."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.nvml_stub import ROOT, Readings, exporter, stub_library
from tests.deploy.test_exporter import FAST, board

# dcgm-exporter's name -> (kind, value of the board of test_exporter in DCGM's unit)
TABLE = {
    "DCGM_FI_DEV_GPU_UTIL": ("gauge", 37.0),  # %
    "DCGM_FI_DEV_MEM_COPY_UTIL": ("gauge", 21.0),  # %
    "DCGM_FI_DEV_FB_USED": ("gauge", 46_080.0),  # MiB
    "DCGM_FI_DEV_FB_FREE": ("gauge", 2_560.0),  # MiB
    "DCGM_FI_DEV_FB_TOTAL": ("gauge", 49_152.0),  # MiB
    "DCGM_FI_DEV_GPU_TEMP": ("gauge", 71.0),  # degrees C
    "DCGM_FI_DEV_POWER_USAGE": ("gauge", 287.5),  # W
    "DCGM_FI_DEV_POWER_MGMT_LIMIT": ("gauge", 300.0),  # W
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("counter", 123_456_789.0),  # mJ
    "DCGM_FI_DEV_SM_CLOCK": ("gauge", 1755.0),  # MHz
    "DCGM_FI_DEV_MEM_CLOCK": ("gauge", 7600.0),  # MHz
    "DCGM_FI_DEV_FAN_SPEED": ("gauge", 62.0),  # %
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": ("counter", 3.0),
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": ("counter", 1.0),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": ("gauge", 36.0),  # 0x24
}
LABELS = {"gpu": "0", "UUID": "GPU-a", "device": "nvidia0", "modelName": "NVIDIA RTX A6000"}


def test_the_aliases_have_dcgms_names_kinds_units_and_labels(tmp_path: Path) -> None:
    readings = Readings(tmp_path / "state", count=1, **board(0))
    flags = (*FAST, "--dcgm-names")
    with exporter(tmp_path, *flags, library=stub_library(), state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        page = running.page()
        kinds = dict(re.findall(r"^# TYPE (DCGM_\w+) (\w+)$", page, re.MULTILINE))
        assert {name: (kinds.get(name), running.value(name, **LABELS)) for name in TABLE} == TABLE
        assert kinds.keys() == TABLE.keys()
        labels = dict(next(iter(running.samples("DCGM_FI_DEV_GPU_UTIL"))))
        assert labels["Hostname"] == labels["hostname"]  # renamed after 4.8.2; a query by either finds it
        assert labels["Hostname"]


def test_without_the_flag_there_is_none_of_them_and_what_is_absent_stays_so_with_it(tmp_path: Path) -> None:
    readings = Readings(tmp_path / "state", count=1, **board(0, ecc_corrected="unsupported"))
    with exporter(tmp_path, *FAST, library=stub_library(), state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        assert "DCGM" not in running.page()
    with exporter(tmp_path, *FAST, "--dcgm-names", library=stub_library(), state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        assert running.samples("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL") == {}
        assert running.value("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL") == 1.0


READ_BY_INSTRUMENTS = """
import json, pynvml
from instruments.telemetry.nvml import QUANTITIES, devices
pynvml.nvmlInit()
[device] = devices(pynvml)
print(json.dumps({one.series: one.read(pynvml, device.handle) for one in QUANTITIES}))
"""


def test_the_exporter_and_the_instruments_say_the_same_of_one_gpu(tmp_path: Path) -> None:
    readings = Readings(tmp_path / "state", count=1, **board(0))
    library = stub_library()
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library), "NVML_STUB_STATE": str(readings.path)}
    command = [sys.executable, "-c", READ_BY_INSTRUMENTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=True)
    seen = json.loads(done.stdout)
    with exporter(tmp_path, *FAST, library=library, state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        ours = {
            "utilisation_share": running.value("gpu_utilization_percent", gpu_id="0") or 0,
            "memory_bytes": running.value("gpu_memory_used_mib", gpu_id="0") or 0,
            "power_w": running.value("gpu_power_draw_watts", gpu_id="0"),
            "power_limit_w": running.value("gpu_power_limit_watts", gpu_id="0"),
            "temperature_c": running.value("gpu_temperature_celsius", gpu_id="0"),
            "energy_j": running.value("gpu_energy_joules_total", gpu_id="0"),
            "ecc_corrected": running.value("gpu_ecc_errors_corrected_total", gpu_id="0"),
            "ecc_uncorrected": running.value("gpu_ecc_errors_uncorrected_total", gpu_id="0"),
        }
    ours["utilisation_share"] = (ours["utilisation_share"] or 0) / 100
    ours["memory_bytes"] = (ours["memory_bytes"] or 0) * 2**20
    assert {name: seen[name] for name in ours} == ours
