"""The locks: made by uv from the requirements, with a hash for every package and no package index's name."""

from pathlib import Path

from deploy.setup import audit, checkov, clone, step, suite, uv
from deploy.setup.engine import CPU, CUDA, RECIPES, wheel_source

SHAPE = ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]


def remake() -> None:
    """Resolve all locks anew. Locked versions stay while they fit; remove a lock to move them all."""
    # Universal: one file for Linux and macOS, and for each Python that the project allows.
    wide = ["--universal", "--python-version", "3.11"]
    _resolve(suite.LOCK, [*wide, "--group", "dev", "pyproject.toml"])
    # Not universal: the CPU build pins a torch wheel that exists for this one platform and Python here.
    narrow = ["--python-version", CPU.python, "--python-platform", "x86_64-manylinux_2_28"]
    narrow += ["--overrides", clone.shown(RECIPES / "cpu-overrides.txt"), *wheel_source(CPU.device)]
    _resolve(CPU.lock, [*narrow, clone.shown(RECIPES / "cpu.in")])
    _resolve(CUDA.lock, [*wide, clone.shown(RECIPES / "cuda.in")])
    _resolve(checkov.LOCK, [*wide, clone.shown(checkov.REQUIREMENT)])
    _resolve(audit.LOCK, [*wide, clone.shown(audit.REQUIREMENT)])


def _resolve(lock: Path, arguments: list[str]) -> None:
    env = uv.environment() | {"UV_CUSTOM_COMPILE_COMMAND": "make lock"}
    with step.step(f"resolve {clone.shown(lock)}"):
        argv: step.Words = [uv.ensure(), "pip", "compile", *SHAPE, *arguments]
        argv += ["--output-file", clone.shown(lock)]
        step.run(argv, log=f"lock-{lock.stem}", hint=uv.NETWORK_HINT, limit_s=600, env=env)
