"""What a place must have before anything is started: its GPUs, its engine, its weights."""

from __future__ import annotations

import shutil
import subprocess

from environments.binaries import ROOT, find_engine
from environments.profile import Profile
from environments.provider import StackNotReady

NO_GPU_HINT = "run this on that machine; here `--env host` stands the same stack up on the CPU"


def check_place(profile: Profile) -> None:
    """StackNotReady or MissingBinary where this machine cannot be the place that the profile describes."""
    engine = profile.engine
    if engine is None:
        return
    if engine.gpus:
        _check_gpus(profile.name, engine.gpus, profile.accelerator)
    elif profile.exporter.kind == "nvml":
        _check_gpus(profile.name, 1, profile.accelerator)
    if engine.kind != "vllm":
        return
    if engine.gpus and (device := find_engine().device) != "cuda":
        raise StackNotReady(
            f"the profile {profile.name} needs vLLM's CUDA build",
            expected="an engine made for cuda",
            seen=f"one made for {device}",
            hint="`make setup VLLM_SLO_DEVICE=cuda`",
        )
    if engine.settings is not None and not (ROOT / engine.settings).is_file():
        raise StackNotReady(
            f"the engine's settings are not there: {engine.settings}",
            expected="a file of deploy/engine/settings",
            hint="correct engine.settings in the profile",
        )
    if engine.weights is not None and not (engine.weights / "config.json").is_file():
        raise StackNotReady(
            f"the weights of {engine.model} are not there",
            expected=f"{engine.weights}/config.json",
            hint="download them, or name their folder in the profile (engine.weights)",
        )


def _check_gpus(profile: str, wanted: int, name: str | None) -> None:
    found = visible_gpus()
    fitting = [one for one in found if name is None or name in one]
    if len(fitting) < wanted:
        raise StackNotReady(
            f"the profile {profile} is for a machine with {wanted} GPU{'s' if wanted > 1 else ''}",
            expected=f"{wanted} × {name or 'any GPU'}, as nvidia-smi lists them",
            seen=", ".join(found) or "no GPU (nvidia-smi lists none)",
            hint=NO_GPU_HINT,
        )


def visible_gpus() -> list[str]:
    """The names of this machine's GPUs, as nvidia-smi gives them; none where there is no nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
