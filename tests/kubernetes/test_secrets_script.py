"""secrets.sh, with a kubectl that writes down what it is told: no key is shown, lost, or an argument."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.rendering import KUBERNETES

# Remembers its arguments and, of a Secret, what it reads; `get` finds what was made. BROKEN: what fails.
KUBECTL = """#!/bin/bash
echo "$*" >>"$FOLDER/arguments"
[ "$1" != -n ] || { namespace=$2; shift 2; }
case "$1 $2" in
"get secret") [ -e "$FOLDER/$3" ] || exit 1 ;;
"get namespace") exit 1 ;;
"create secret")
    [ "$4" != "$BROKEN" ] || { echo "error: no answer" >&2; exit 1; }
    cat >"$FOLDER/$4" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The script's working place."""

    folder: Path

    def __call__(self, *words: str, broken: str = "") -> subprocess.CompletedProcess[str]:
        kubectl = self.folder / "kubectl"
        kubectl.write_text(KUBECTL)
        kubectl.chmod(0o700)
        return subprocess.run(
            [str(KUBERNETES / "secrets.sh"), *words],
            env={**os.environ, "KUBECTL": str(kubectl), "FOLDER": str(self.folder), "BROKEN": broken},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def arguments(self) -> str:
        """All that kubectl was told, or nothing."""
        file = self.folder / "arguments"
        return file.read_text() if file.is_file() else ""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_client_has_the_key_and_the_cluster_its_digest(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key"
    done = run(str(file), "locust-1")
    assert done.returncode == 0, done.stderr
    key = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert yaml.safe_load((tmp_path / "vllm-gateway-keys").read_text()) == [
        {"name": "locust-1", "sha256": digest}
    ]


def test_no_secret_is_shown_or_an_argument(run: Run, tmp_path: Path) -> None:
    done = run(str(tmp_path / "key"))
    drawn = [(tmp_path / name).read_text() for name in ("key", "vllm-engine-key", "grafana-admin")]
    assert len({one.strip() for one in drawn}) == 3
    for one in drawn:
        assert len(one.strip()) == 48
        assert one.strip() not in run.arguments + done.stdout + done.stderr


def test_a_key_that_no_cluster_knows_is_not_left_behind(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key"
    assert run(str(file), broken="vllm-gateway-keys").returncode != 0
    assert not file.exists(), "the next run would refuse to write it"
    assert run(str(file)).returncode == 0
    assert file.exists()


@pytest.mark.parametrize("name", ["two words", "a, sha256: 0", "Upper", "-x", "x" * 64, "a\nb"])
def test_a_name_that_the_gateway_would_not_take_is_refused_before_anything_is_made(
    run: Run, tmp_path: Path, name: str
) -> None:
    done = run(str(tmp_path / "key"), name)
    assert done.returncode == 2
    assert "CLIENT-NAME" in done.stderr
    assert run.arguments == ""


def test_a_file_that_is_there_is_kept(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("mine")
    done = run(str(file))
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert file.read_text() == "mine"


def test_a_link_is_not_followed(run: Run, tmp_path: Path) -> None:
    link, elsewhere = tmp_path / "key", tmp_path / "elsewhere"
    link.symlink_to(elsewhere)
    assert run(str(link)).returncode == 1
    assert not elsewhere.exists()
