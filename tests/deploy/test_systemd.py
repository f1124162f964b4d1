"""The host's units: valid, sandboxed, and in agreement with the programs and settings that they name."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.watchdog.settings import load

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
MOST_EXPOSED = 2.0  # of 10; Debian's own nginx.service has 9.5
PROGRAMS = ("opt/vllm-slo/.venv/bin/python", "usr/bin/systemctl", "usr/bin/prometheus", "bin/kill")
MORE_PROGRAMS = ("usr/bin/prometheus-alertmanager", "usr/sbin/nginx")
# As Debian's, so far as the drop-in touches it.
NGINX = """[Unit]
Description=web server
[Service]
Type=forking
PIDFile=/run/nginx.pid
ExecStart=/usr/sbin/nginx
ExecStop=-/bin/kill -QUIT $MAINPID
TimeoutStopSec=5
"""


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine")
    command = [program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the units in it and something that can be run for each program."""
    root = tmp_path_factory.mktemp("host")
    folder = root / "etc/systemd/system"
    shutil.copytree(UNITS, folder)
    (folder / "nginx.service").write_text(NGINX)
    for program in (*PROGRAMS, *MORE_PROGRAMS):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", root / program)
    system = root / "usr/lib/systemd/system"
    system.mkdir(parents=True)
    for kind in ("*.target", "*.slice"):
        for unit in Path("/lib/systemd/system").glob(kind):
            shutil.copy(unit, system / unit.name)
    return root


def of(unit: str) -> str:
    return (UNITS / unit).read_text()


def value(unit: str, key: str) -> str:
    [found] = re.findall(rf"^{key}=(.*)$", of(unit), re.MULTILINE)
    return str(found)


def test_systemd_has_nothing_to_say_against_the_units(host: Path) -> None:
    names = [path.name for kind in ("*.service", "*.timer", "*.target") for path in UNITS.glob(kind)]
    done = analyze("verify", f"--root={host}", "--man=no", *names, "nginx.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    broken = host / "etc/systemd/system/broken.service"
    broken.write_text(of("vllm-gateway.service").replace("Restart=on-failure", "Restart=always-ish"))
    assert "always-ish" in analyze("verify", f"--root={host}", "--man=no", "broken.service").stderr
    broken.unlink()


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_a_unit_is_little_exposed(host: Path, unit: str) -> None:
    done = analyze("security", "--offline=yes", f"--root={host}", "--no-pager", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_the_drop_in_leaves_nginx_less_than_half_as_exposed(host: Path) -> None:
    done = analyze("security", "--offline=yes", f"--root={host}", "--no-pager", "nginx.service")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 4.0


def test_the_users_can_be_made(tmp_path: Path) -> None:
    program = shutil.which("systemd-sysusers")
    if program is None:
        pytest.skip("systemd-sysusers is not on this machine")
    (tmp_path / "etc").mkdir()
    command = [program, f"--root={tmp_path}", str(UNITS / "vllm-slo.sysusers.conf")]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    made = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    assert {value(path.name, "User") for path in SERVICES if "User=" in path.read_text()} <= made


def test_each_program_has_longer_to_stop_than_it_takes_to_drain() -> None:
    engine = yaml.safe_load((ROOT / "deploy/engine/settings/a6000.yaml").read_text())
    assert int(value("vllm-engine.service", "TimeoutStopSec")) > engine["shutdown_timeout_s"]
    gateway = yaml.safe_load((UNITS / "gateway.yaml").read_text())
    assert int(value("vllm-gateway.service", "TimeoutStopSec")) > gateway["drain_timeout_s"] + 2
    for unit in ("vllm-engine.service", "vllm-gateway.service"):
        assert value(unit, "KillMode") == "mixed"  # SIGTERM to an engine core would break the drain


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_what_a_unit_starts_is_a_module_of_ours_with_these_flags(unit: str) -> None:
    text = of(unit)
    for module, rest in re.findall(r"^Exec\w+=\S+/python -m (\S+)(.*)$", text, re.MULTILINE):
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        program = importlib.util.find_spec(f"{module}.__main__") if spec.submodule_search_locations else spec
        assert program is not None, module
        assert program.origin is not None
        source = Path(program.origin).read_text()
        for flag in re.findall(r"--[a-z-]+", rest):
            assert flag in source, f"{module} {flag}"


@pytest.mark.parametrize("unit", [path.name for path in SERVICES])
def test_no_unit_holds_a_secret_or_a_watchdog_that_nobody_notifies(unit: str) -> None:
    assert "WatchdogSec=" not in of(unit).replace("no WatchdogSec", "")
    for line in re.findall(r"^Environment=(.*)$", of(unit), re.MULTILINE):
        assert not re.search(r"KEY|TOKEN|SECRET|PASSW", line)
    for path in re.findall(r"^EnvironmentFile=(\S+)$", of(unit), re.MULTILINE):
        assert path == "/etc/vllm-slo/engine.env"
    assert "umask 077" in (UNITS / "README.md").read_text()


def test_a_unit_that_stays_comes_back_and_gives_up() -> None:
    for path in SERVICES:
        text = path.read_text()
        if "Type=exec" in text:
            for line in ("Restart=on-failure", "RestartSec=", "StartLimitIntervalSec=", "StartLimitBurst=5"):
                assert line in text, f"{path.name}: {line}"


def test_the_checks_are_of_the_model_that_the_host_serves() -> None:
    settings = load(UNITS / "checks.yaml", {"VLLM_API_KEY": "k"})
    engine = yaml.safe_load((ROOT / "deploy/engine/settings/a6000.yaml").read_text())
    probe = settings.children["engine"].probe
    assert probe is not None
    assert probe.model == engine["model"]["served_name"]
    # The longest that a check takes, each request with its counters before and after, is in the bound.
    health = settings.children["engine"].health
    assert health is not None
    longest_s = health.failures * (health.every_s + health.timeout_s)
    longest_s += probe.failures * (probe.every_s + 3 * probe.timeout_s)
    assert longest_s < int(value("vllm-engine-hang.service", "TimeoutStartSec"))
