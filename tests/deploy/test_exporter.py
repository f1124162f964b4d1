"""The GPU exporter on the NVML stub: values worked out by hand, live changes, what is absent or lost."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.exporter.readings import bare_name
from deploy.exporter.server import AT_ONCE, Server
from tests.deploy.asking_plain import get
from tests.deploy.nvml_stub import Exporter, Readings, exporter, stub_library

MIB = 2**20
SLOW = ("--every-s", "5", "--stale-after-s", "5", "--port")
FAST = ("--every-s", "0.05", "--retry-every-s", "0.1", "--stale-after-s", "2")

BOARD = {
    "utilization": 37,
    "memory_utilization": 21,
    "memory_total": 49_152 * MIB,
    "memory_used": 46_080 * MIB,
    "memory_reserved": 512 * MIB,
    "temperature": 71,
    "power": 287_500,  # mW
    "power_limit": 300_000,
    "energy": 123_456_789,  # mJ
    "sm_clock": 1755,
    "mem_clock": 7600,
    "fan": 62,
    "ecc_corrected": 3,
    "ecc_uncorrected": 1,
    "throttle": "0x24",  # 0x20 software thermal slowdown + 0x04 software power cap
    "processes": f"4711:{40_960 * MIB},4712:unknown,4713:{1024 * MIB}",
    "name": "NVIDIA RTX A6000",
    "uuid": "GPU-a",
}
BY_HAND = {
    "gpu_utilization_percent": 37.0,
    "gpu_memory_utilization_percent": 21.0,
    "gpu_memory_total_mib": 49_152.0,
    "gpu_memory_used_mib": 46_080.0,
    "gpu_memory_free_mib": 2_560.0,  # 49,152 - 46,080 - 512 that the driver keeps
    "gpu_temperature_celsius": 71.0,
    "gpu_power_draw_watts": 287.5,
    "gpu_power_limit_watts": 300.0,
    "gpu_energy_joules_total": 123_456.789,
    "gpu_sm_clock_mhz": 1755.0,
    "gpu_mem_clock_mhz": 7600.0,
    "gpu_fan_speed_percent": 62.0,
    "gpu_ecc_errors_corrected_total": 3.0,
    "gpu_ecc_errors_uncorrected_total": 1.0,
}
NAMES = {
    "process_name.4711": "/opt/venv/bin/python3 serve.py --api-key sk-secret",
    "process_name.4713": "VLLM::EngineCore",
}


def board(device: int, **other: object) -> dict[str, object]:
    return {f"{key}.{device}": value for key, value in (BOARD | other).items()}


def two(folder: Path) -> Readings:
    """Two GPUs; the second has no ECC and tells no more than utilisation and memory."""
    second = {
        "utilization.1": 5,
        "memory_utilization.1": "unknown",
        "memory_total.1": 24_576 * MIB,
        "memory_used.1": 0,
        "temperature.1": "unknown",
        "name.1": "NVIDIA GeForce RTX 3090",
        "uuid.1": "GPU-b",
    }
    return Readings(folder / "state", count=2, driver="575.57", **board(0), **second, **NAMES)


@contextmanager
def started(folder: Path, readings: Readings) -> Iterator[Exporter]:
    with exporter(folder, *FAST, library=stub_library(), state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        yield running


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """One for all tests that change nothing."""
    folder = tmp_path_factory.mktemp("still")
    with started(folder, two(folder)) as running:
        yield running


@pytest.fixture
def readings(tmp_path: Path) -> Readings:
    return two(tmp_path)


@pytest.fixture
def gpus(tmp_path: Path, readings: Readings) -> Iterator[Exporter]:
    with started(tmp_path, readings) as running:
        yield running


def test_every_value_is_what_nvml_says_in_the_units_of_its_name(still: Exporter) -> None:
    labels = {"gpu_id": "0", "gpu_name": "NVIDIA RTX A6000", "uuid": "GPU-a"}
    assert {name: still.value(name, **labels) for name in BY_HAND} == BY_HAND
    held = {dict(has)["reason"] for has, value in still.samples("gpu_throttle_reason").items() if value}
    assert held == {"sw_power_cap", "sw_thermal_slowdown"}
    assert len(still.samples("gpu_throttle_reason")) == 9  # of one GPU: the other does not tell
    assert still.value("gpu_info", **labels, driver="stub-575.57") == 1.0
    assert still.value("gpu_exporter_stub") == 1.0  # never passed off as a GPU's


def test_a_process_is_named_without_its_arguments_and_absent_without_a_size(still: Exporter) -> None:
    found = {
        (dict(has)["pid"], dict(has)["process"]): value
        for has, value in still.samples("gpu_process_memory_used_mib").items()
    }
    assert found == {("4711", "python3"): 40_960.0, ("4713", "VLLM::EngineCore"): 1_024.0}
    assert "sk-secret" not in still.page()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/bin/python3", "python3"),
        ("python3 /srv/run --api-key=sk-1", "python3"),
        ("nginx: master process", "nginx:"),
        ("TOKEN=sk-1 /bin/run", "TOKEN"),
        ("", "unknown"),
        ("/", "unknown"),
        ("x" * 500, "x" * 64),
    ],
)
def test_of_a_command_only_its_program_is_told(command: str, name: str) -> None:
    assert bare_name(command) == name


def test_what_nvml_does_not_give_is_absent_and_never_0(still: Exporter) -> None:
    of_the_second = {name: still.value(name, gpu_id="1") for name in BY_HAND}
    told = {name: value for name, value in of_the_second.items() if value is not None}
    assert told == {
        "gpu_utilization_percent": 5.0,
        "gpu_memory_total_mib": 24_576.0,
        "gpu_memory_used_mib": 0.0,  # said to be 0, which is something else
        "gpu_memory_free_mib": 24_576.0,
    }
    assert still.samples("gpu_exporter_errors_total") == {(("gpu_id", ""), ("reading", "init")): 0.0}


def test_a_change_shows_while_it_runs_and_a_value_can_go_and_come(gpus: Exporter, readings: Readings) -> None:
    readings.say({"utilization.0": 97})
    gpus.becomes(97.0, "gpu_utilization_percent", gpu_id="0")
    readings.say({}, without=("temperature.0",))
    gpus.becomes(None, "gpu_temperature_celsius", gpu_id="0")
    readings.say({"temperature.0": 91})
    gpus.becomes(91.0, "gpu_temperature_celsius", gpu_id="0")


def test_an_error_of_one_reading_is_counted_and_costs_no_other(gpus: Exporter, readings: Readings) -> None:
    readings.say({"power.0": "error:999"})
    gpus.becomes(None, "gpu_power_draw_watts", gpu_id="0")
    assert (gpus.value("gpu_exporter_errors_total", gpu_id="0", reading="power") or 0) >= 1
    assert gpus.value("gpu_power_limit_watts", gpu_id="0") == 300.0
    assert gpus.value("gpu_exporter_up") == 1.0


def test_a_lost_gpu_is_an_alarm_while_the_others_go_on_and_it_comes_back(
    gpus: Exporter, readings: Readings, tmp_path: Path
) -> None:
    readings.say({"lost.0": 1})
    gpus.becomes(0.0, "gpu_exporter_up")
    assert gpus.value("gpu_up", gpu_id="0") == 0.0
    assert gpus.value("gpu_up", gpu_id="1") == 1.0
    assert {name for name in BY_HAND if gpus.value(name, gpu_id="0") is not None} == set()
    assert gpus.value("gpu_utilization_percent", gpu_id="1") == 5.0
    assert (gpus.value("gpu_exporter_errors_total", gpu_id="0", reading="device") or 0) >= 1
    readings.say({"lost.0": 0})
    gpus.becomes(1.0, "gpu_exporter_up")
    assert gpus.value("gpu_utilization_percent", gpu_id="0") == 37.0
    log = (tmp_path / "exporter.log").read_text()
    assert log.count("GPU is lost") == 1  # said once, counted each time


def test_a_gpu_that_is_not_even_counted_any_more_is_missed(gpus: Exporter, readings: Readings) -> None:
    readings.say({"lost.1": 1, "count": 1})  # as after it fell off the bus
    gpus.becomes(0.0, "gpu_up", gpu_id="1")
    time.sleep(0.3)  # NVML is opened again meanwhile, and names one GPU only
    assert gpus.value("gpu_up", gpu_id="1") == 0.0
    assert gpus.value("gpu_exporter_up") == 0.0


def test_nvml_that_dies_is_an_alarm_and_is_opened_again(gpus: Exporter, readings: Readings) -> None:
    held = readings.path.with_suffix(".away")
    readings.path.rename(held)  # the stub takes it for a driver that is not loaded
    gpus.becomes(0.0, "gpu_exporter_up")
    assert gpus.samples("gpu_utilization_percent") == {}
    assert gpus.value("gpu_exporter_errors_total", gpu_id="", reading="library") == 1.0
    assert get(f"{gpus.url}/health")[0] == 200  # nothing that a restart would mend
    held.rename(readings.path)
    gpus.becomes(1.0, "gpu_exporter_up")
    assert gpus.value("gpu_utilization_percent", gpu_id="0") == 37.0


def test_a_call_that_hangs_holds_up_no_scrape_and_old_readings_are_not_served(tmp_path: Path) -> None:
    readings = Readings(tmp_path / "state", count=1, **board(0))
    quick = ("--every-s", "0.05", "--retry-every-s", "0.1", "--stale-after-s", "0.4")
    with exporter(tmp_path, *quick, library=stub_library(), state=readings.path) as running:
        running.becomes(1.0, "gpu_exporter_up")
        readings.say({"slow.0": 60})
        running.becomes(0.0, "gpu_exporter_up")
        assert running.samples("gpu_utilization_percent") == {}
        assert (running.value("gpu_exporter_reading_age_seconds") or 0) > 0.4
        began = time.monotonic()
        running.page()
        assert time.monotonic() - began < 5.0  # the call takes 60 s
        while get(f"{running.url}/health")[0] != 503:
            assert time.monotonic() - began < 10.0
            time.sleep(0.02)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(5.0) == 0  # although the call still hangs


def test_without_the_library_it_says_so_once_and_serves_that_it_is_down(tmp_path: Path) -> None:
    with exporter(tmp_path, *FAST, library=None, state=None) as running:
        running.becomes(0.0, "gpu_exporter_up")
        deadline = time.monotonic() + 10
        while (running.value("gpu_exporter_errors_total", gpu_id="", reading="init") or 0) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert running.samples("gpu_exporter_stub") == {}
        assert get(f"{running.url}/health")[0] == 200
    assert running.process.returncode == 0
    log = (tmp_path / "exporter.log").read_text().splitlines()
    assert len([line for line in log if "nvml_error" in line]) == 1


def test_it_listens_on_this_machine_only_and_knows_two_pages(still: Exporter) -> None:
    assert still.url.startswith("http://127.0.0.1:")
    assert get(f"{still.url}/health")[0] == 200
    assert get(f"{still.url}/debug")[0] == 404
    port = int(still.url.rpartition(":")[2])
    with socket.socket(socket.AF_INET) as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))  # it is this machine's too, and is not bound


def test_clients_that_leave_or_dawdle_are_no_news_and_take_no_place(tmp_path: Path) -> None:
    with exporter(tmp_path, *FAST, library=None, state=None) as running:
        at = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        for _ in range(2 * AT_ONCE):
            with socket.create_connection(at, timeout=10) as one:
                one.sendall(b"GET /metr")
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        running.becomes(0.0, "gpu_exporter_up")
    assert "Traceback" not in (tmp_path / "exporter.log").read_text()


def test_a_connection_ends_however_slowly_its_client_asks() -> None:
    with Server("127.0.0.1", 0, {}) as server:
        one, other = socket.socketpair()
        server._open[one] = time.monotonic() - 1  # its time is over
        server.service_actions()
        assert other.recv(1) == b""
        server.shutdown_request(one)
        assert server._open == {}
        other.close()


def test_a_taken_port_is_exit_code_3_and_bad_arguments_are_2(still: Exporter) -> None:
    port = still.url.rpartition(":")[2]
    for flags, code in ((["--port", port], 3), (["--port", "70000"], 2), ([], 2), ([*SLOW, port], 2)):
        command = [sys.executable, "-m", "deploy.exporter", *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
