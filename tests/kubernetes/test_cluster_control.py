"""When there is a cluster for the tests and when not, and that it is taken down however they end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.kubernetes import cluster
from tests.kubernetes.cluster import (
    CONTEXT_VARIABLE,
    FOLDER_VARIABLE,
    REQUIRED_VARIABLE,
    ROOT,
    running,
    taken_down,
)


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts that write down that they ran."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for name in ("up", "down"):
        (folder / name).write_text(f'#!/bin/bash\necho {name} >>"$RAN"\n[ "$BROKEN" != {name} ]\n')
        (folder / name).chmod(0o700)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    monkeypatch.setenv("BROKEN", "")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    monkeypatch.delenv(CONTEXT_VARIABLE, raising=False)
    monkeypatch.delenv(REQUIRED_VARIABLE, raising=False)
    programs = {"kubectl", "dockerd"}
    monkeypatch.setattr(shutil, "which", lambda name: f"/there/{name}" if name in programs else None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cluster, "_is_up", lambda: False)
    monkeypatch.setattr(cluster, "_docker_answers", lambda: False)
    return folder


def ran(folder: Path) -> list[str]:
    file = folder / "ran"
    return file.read_text().split() if file.is_file() else []


def reason(folder: Path) -> str:
    """Why there is no cluster."""
    with pytest.raises(pytest.skip.Exception) as skipped, running(folder):
        pass
    assert ran(folder) == []
    return str(skipped.value)


class TestWhyThereIsNone:
    def test_no_kubectl(self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "no kubectl" in reason(tmp_path)

    def test_no_docker(self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None if name == "dockerd" else f"/there/{name}")
        assert "no Docker" in reason(tmp_path)

    @pytest.mark.parametrize("has_apt", [True, False])
    def test_no_docker_where_a_cluster_is_required(
        self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_apt: bool
    ) -> None:
        """Whoever asks for a cluster gets what `up` needs installed by it, where that can be."""
        monkeypatch.setenv(REQUIRED_VARIABLE, "1")
        programs = {"kubectl", *(["apt-get"] if has_apt else [])}
        monkeypatch.setattr(shutil, "which", lambda name: f"/there/{name}" if name in programs else None)
        if not has_apt:
            assert "no Docker" in reason(tmp_path)
            return
        with running(tmp_path):
            assert ran(tmp_path) == ["up"]

    def test_not_root(self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert "root" in reason(tmp_path)

    def test_another_system(self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert "Linux" in reason(tmp_path)

    def test_no_scripts(self, scripts: Path, tmp_path: Path) -> None:
        (scripts / "up").unlink()
        assert FOLDER_VARIABLE in reason(tmp_path)

    def test_another_cluster(self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster, "_is_up", lambda: True)
        assert "another one is up" in reason(tmp_path)


class TestTakingItDown:
    def test_after_the_tests(self, scripts: Path, tmp_path: Path) -> None:
        with running(tmp_path):
            assert ran(tmp_path) == ["up"]
        assert ran(tmp_path) == ["up", "down"]

    def test_after_a_start_that_failed(
        self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BROKEN", "up")
        with pytest.raises(pytest.fail.Exception, match="up ended with 1"), running(tmp_path):
            pass
        assert ran(tmp_path) == ["up", "down"]

    def test_a_docker_that_is_left_is_told(
        self, scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(pytest.fail.Exception, match="still runs"), running(tmp_path):
            monkeypatch.setattr(cluster, "_docker_answers", lambda: True)

    def test_after_the_tests_were_killed(self, scripts: Path, tmp_path: Path) -> None:
        code = (
            "import os, signal, sys, pathlib; from tests.kubernetes.cluster import taken_down\n"
            "down, folder = map(pathlib.Path, sys.argv[1:])\n"
            "with taken_down(down, folder, os.environ): os.kill(os.getpid(), signal.SIGKILL)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(scripts / "down"), str(tmp_path)],
            cwd=ROOT,
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        until = time.monotonic() + 30
        while not ran(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)
        assert ran(tmp_path) == ["down"]

    def test_not_before(self, scripts: Path, tmp_path: Path) -> None:
        with taken_down(scripts / "down", tmp_path, os.environ):
            assert ran(tmp_path) == []
        assert ran(tmp_path) == ["down"]


def test_a_free_address_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(cluster, "NODE_ADDRESS", taken.getsockname())
        assert not cluster._is_up(), "nobody listens"
        taken.listen()
        assert cluster._is_up()
