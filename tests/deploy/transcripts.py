"""Transcripts: what `pytest --env …` says on a machine without GPU, minikube, AWS or kubeconfig.

`python -m tests.deploy.transcripts` writes them anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.kubernetes.rendering import ROOT, command

FOLDER = ROOT / "deploy" / "kubernetes" / "transcripts"
SESSIONS = {"minikube": ("--env", "minikube"), "eks": ("--env", "eks", "--gate")}
BOUND_S = 120.0
SHOWN = "/usr/bin"  # in the place of the folder that has this session's programs


def recorded(name: str) -> str:
    """The command as a person types it, what it says, and how it ends."""
    with tempfile.TemporaryDirectory(prefix="vllm-slo-transcript-") as folder:
        home = Path(folder)
        programs = _programs(home / "bin")
        session = ["pytest", *SESSIONS[name], "-p", "no:cacheprovider", f"--results={home}/results"]
        done = subprocess.run(
            [sys.executable, "-m", *session], cwd=ROOT, env=_environment(home, programs),
            capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
        said = (done.stdout + done.stderr).replace(str(programs), SHOWN)
    lines = "\n".join(line.rstrip() for line in said.strip().splitlines())
    return f"$ pytest {' '.join(SESSIONS[name])}\n{lines}\n$ echo $?\n{done.returncode}\n"


def _programs(folder: Path) -> Path:
    """kubectl and docker, which most machines have, and whatever renders; nothing else."""
    folder.mkdir()
    for name in ("kubectl", "docker"):
        stub = folder / name
        stub.write_text("#!/bin/sh\nexit 1\n")
        stub.chmod(0o755)
    renderer = Path((command() or ("kubectl",))[0])
    if renderer.is_absolute() and ROOT not in renderer.parents:
        (folder / renderer.name).unlink(missing_ok=True)
        (folder / renderer.name).symlink_to(renderer)
    return folder


def _environment(home: Path, programs: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TZ", "TMPDIR")}
    return {**kept, "PATH": str(programs), "HOME": str(home), "COLUMNS": "120", "NO_COLOR": "1"}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in SESSIONS:
        (FOLDER / f"{name}.txt").write_text(recorded(name), encoding="utf-8")


if __name__ == "__main__":
    main()
