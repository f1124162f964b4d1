"""The set-up of NGINX, Redis, NVML's stub and kubectl: taken, unpacked with what they need, or absent."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.setup import clone, debian, kubernetes, nvml_stub, servers, step
from deploy.setup.errors import SetupError
from environments.binaries import ROOT, find_redis

PARTS: dict[str, Callable[[], None]] = {
    "nginx": servers.install_nginx,
    "redis": servers.install_redis,
    "stub": nvml_stub.install,
    "kubernetes": kubernetes.install,
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a PATH on which only the shell is."""
    cache, programs = tmp_path / "cache", tmp_path / "bin"
    cache.mkdir()
    programs.mkdir()
    for name in ("sh", "cat"):
        (programs / name).symlink_to(shutil.which(name) or "/bin/sh")
    monkeypatch.setattr(clone, "CACHE", cache)
    monkeypatch.setattr(nvml_stub, "HOME", cache / "nvml-stub")
    for name in ("HOME", "TREE", "VERSIONS"):
        old: Path = getattr(kubernetes, name)
        monkeypatch.setattr(kubernetes, name, cache / old.relative_to(clone.ROOT / ".cache"))
    monkeypatch.setenv("PATH", str(programs))
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("part", PARTS)
def test_a_machine_without_it_and_without_apt_is_told_and_goes_on(
    part: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PARTS[part]()
    assert "This is not an error." in capsys.readouterr().out
    assert list((elsewhere / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("part", "name", "says", "version"),
    [
        ("nginx", "nginx", "echo nginx version: nginx/1.26.3 >&2", "1.26.3"),
        ("redis", "redis-server", "echo Redis server v=7.0.15 sha=00000000:0", "7.0.15"),
    ],
)
def test_the_machines_own_program_is_taken_as_it_is(
    part: str, name: str, says: str, version: str, elsewhere: Path
) -> None:
    own = program(elsewhere / "bin" / name, says)
    PARTS[part]()
    described = json.loads((elsewhere / "cache" / part / "programs.json").read_text())
    assert described == {name: {"path": clone.shown(own), "version": version, "libraries": []}}


@pytest.fixture
def unpacked(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """apt's place taken: packages are noted; its nginx wants a library of the package libfoo1."""
    asked: list[list[str]] = []

    def unpack(packages: list[str], into: Path) -> None:
        asked.append(packages)
        shutil.rmtree(into, ignore_errors=True)
        program(
            into / "usr" / "sbin" / "nginx",
            '[ -e "${LD_LIBRARY_PATH:-/absent}/libfoo.so.1" ] && echo nginx/1.2',
        )
        if "libfoo1" in packages:
            (into / "usr" / "lib").mkdir()
            (into / "usr" / "lib" / "libfoo.so.1").touch()

    monkeypatch.setattr(debian, "at_hand", lambda: True)
    monkeypatch.setattr(debian, "update", lambda: None)
    monkeypatch.setattr(debian, "libraries_of", lambda _: ["libfoo1"])
    monkeypatch.setattr(debian, "unpack", unpack)
    return asked


def test_a_library_that_the_system_lacks_is_unpacked_too_and_named(
    unpacked: list[list[str]], elsewhere: Path
) -> None:
    servers.install_nginx()
    assert unpacked == [["nginx"], ["nginx", "libfoo1"]]
    described = json.loads((elsewhere / "cache" / "nginx" / "programs.json").read_text())["nginx"]
    assert described["libraries"] == [clone.shown(elsewhere / "cache" / "nginx" / "root" / "usr" / "lib")]
    servers.install_nginx()
    assert len(unpacked) == 2  # the stamp says that it is there


def test_a_program_that_does_not_start_either_way_is_an_error(
    unpacked: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "libraries_of", lambda _: ["libbar1"])
    with pytest.raises(SetupError, match="nginx to start"):
        servers.install_nginx()
    assert unpacked[-1] == ["nginx", "libbar1"]


def test_only_libraries_are_taken_along_and_not_the_systems_own(monkeypatch: pytest.MonkeyPatch) -> None:
    said = """nginx
  Depends: libc6
  Depends: libpcre2-8-0
  Depends: zlib1g
  Depends: iproute2
  Depends: nginx-common
 |Depends: libfoo1t64
  Depends: <libvirtual>
    libelogind0
  Breaks: libold0
"""
    monkeypatch.setattr(step, "output", lambda *_, **__: said)
    assert debian.libraries_of("nginx") == ["libfoo1t64", "libpcre2-8-0", "zlib1g"]


def test_the_mirror_is_debians_archive_and_not_its_security_teams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = (
        "https://mirror.example/debian-security\nhttps://mirror.example/debian\nhttps://other.example/apt\n"
    )
    monkeypatch.setattr(step, "output", lambda *_, **__: said)
    assert kubernetes._mirror() == "https://mirror.example/debian"
    monkeypatch.setattr(step, "output", lambda *_, **__: "https://mirror.example/ubuntu\n")
    assert kubernetes._mirror() is None


@pytest.mark.parametrize("part", PARTS)
def test_a_second_set_up_needs_no_network(part: str) -> None:
    folder = {"stub": "nvml-stub"}.get(part, part)
    if not (ROOT / ".cache" / folder / ".setup-stamp").is_file():
        pytest.skip(f"not set up on this machine: `make setup PARTS={part}`")
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-B", "-m", "deploy.setup", part],
        cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "is complete" in done.stdout


def test_the_redis_that_was_unpacked_serves(tmp_path: Path) -> None:
    redis = find_redis()
    if redis is None:
        pytest.skip("no redis-server on this machine: `make setup PARTS=redis`")
    place = tmp_path / "redis.sock"
    command = [
        str(redis.path),
        "--port",
        "0",
        "--unixsocket",
        str(place),
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(
        command, env=os.environ | redis.environment, stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as server:
        try:
            bound = time.monotonic() + 10
            while not place.exists():
                assert server.poll() is None
                assert time.monotonic() < bound
                time.sleep(0.01)
            with socket.socket(socket.AF_UNIX) as wire:
                wire.connect(str(place))
                wire.sendall(b"PING\r\n")
                assert wire.recv(16) == b"+PONG\r\n"
        finally:
            server.terminate()


@pytest.mark.parametrize(
    ("name", "words", "least"),
    [("kubectl", ["version", "--client"], (1, 36)), ("kustomize", ["version"], None)],
)
def test_the_tools_of_kubernetes_that_were_unpacked_start(
    name: str, words: list[str], least: tuple[int, int] | None
) -> None:
    tool = ROOT / ".cache" / "kubernetes" / "root" / "usr" / "bin" / name
    if not tool.is_file():
        pytest.skip(f"no {name} in the clone: `make setup PARTS=kubernetes`, where apt knows a Debian mirror")
    said = subprocess.run([tool, *words], capture_output=True, text=True, timeout=30, check=True).stdout
    if least is not None:
        found = re.search(r"v(\d+)\.(\d+)", said)
        assert found is not None
        assert (int(found[1]), int(found[2])) >= least
