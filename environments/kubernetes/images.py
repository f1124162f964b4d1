"""Images of a run: named by the profile, or made on this machine for a cluster that has no registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

from environments.binaries import ROOT
from environments.provider import Say, StackError

BUILD_BOUND_S = 600.0


def images_of(named: Mapping[str, str], say: Say) -> dict[str, str]:
    """Name in the manifests -> image. Those called `local` are made by deploy.images.local, unless there."""
    local = [name for name, reference in named.items() if reference == "local"]
    return {**named, **local_images(local, say)}


def local_images(names: list[str], say: Say) -> dict[str, str]:
    """Images made on this machine, by their names (vllm-slo/gateway …). StackError with what Docker said."""
    if not names:
        return {}
    programs = {name.rpartition("/")[2]: name for name in names}
    say(f"images: {', '.join(programs)}")
    done = subprocess.run(
        [sys.executable, "-m", "deploy.images.local", *programs],
        capture_output=True, text=True, timeout=BUILD_BOUND_S, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise StackError(
            f"the images {', '.join(programs)} cannot be made here",
            expected="the Docker that the cluster's node uses",
            seen=done.stderr.strip()[-2000:],
        )
    made: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return {programs[program]: image for program, image in made.items()}
