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
    made: dict[str, str] = json.loads(_said(list(programs)).splitlines()[-1])
    return {programs[program]: image for program, image in made.items()}


def _said(programs: list[str]) -> str:
    """What deploy.images.local says. Its own line, or that it took too long, is what a StackError shows."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.images.local", *programs],
            capture_output=True, text=True, timeout=BUILD_BOUND_S, check=True, cwd=ROOT,
        )  # fmt: skip
    except subprocess.SubprocessError as error:
        raise StackError(
            f"the images {', '.join(programs)} cannot be made here",
            expected="a Docker that is the node's own, and the programs that `make setup` fetches",
            seen=str(getattr(error, "stderr", None) or error).strip()[-2000:],
            hint="docker version; or `cluster.images` in the profile with images of a registry",
        ) from None
    return done.stdout
