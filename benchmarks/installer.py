"""Environments of the peers, each under .cache/benchmarks: made once by the project's uv, then offline."""

import json
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks import place

LIMIT_S = 900.0
ENGINE_LIMIT_S = 2400.0
STAMP = "installed.json"
# deploy is reached as a process, like every program of ours. What it prints may hold a password: it is kept
# in memory only.
ASK_UV = """
import json
from deploy.setup import clone, engine, uv
with clone.sole_setup():
    program = uv.ensure()
print(json.dumps([str(program), uv.environment(), engine.wheel_source("cpu")]))
"""


class Unavailable(Exception):
    """A peer cannot be had on this machine; the text is the reason that stands in its row."""


def environment(name: str, requirements: Sequence[str], *flags: str, cpu_torch: bool = False) -> Path:
    """The folder of an environment that holds `requirements`; nothing to do where its stamp says so.

    `cpu_torch`: torch comes as its build without CUDA. Unavailable when uv cannot make it.
    """
    folder = place.HOME / name
    wanted = {"place": str(folder), "requirements": [*requirements, *flags], "cpu_torch": cpu_torch}
    stamp = folder / STAMP
    if stamp.exists() and json.loads(stamp.read_text()) == wanted:
        return folder
    print(f"  installing {', '.join(requirements)} into .cache/benchmarks/{name} ...", flush=True)
    program, env, torch_source = _uv()
    python = "3.11" if cpu_torch else place.PYTHON  # as the engine's build, so that one torch serves both
    _uv_run([program, "venv", "--clear", "--no-python-downloads", "--python", python, str(folder)], env)
    # Without bytecode each start of a Python peer would compile what it imports, and be charged for it.
    install = [program, "pip", "install", "--compile-bytecode", "--python", str(folder / "bin" / "python")]
    _uv_run([*install, *flags, *(torch_source if cpu_torch else []), *requirements], env)
    stamp.write_text(json.dumps(wanted))
    return folder


def engine_and_model() -> None:
    """vLLM's environment and the tiny model with its tokenizer, made by the project's own set-up."""
    if (place.ENGINE / "engine.json").exists() and (place.MODEL / "tokenizer.json").exists():
        return
    print("  setting up engine and model (make setup PARTS='engine model') ...", flush=True)
    argv = ["deploy/setup/python", "-B", "-m", "deploy.setup", "engine", "model"]
    _run(argv, dict(os.environ), ENGINE_LIMIT_S)


@cache
def _uv() -> tuple[str, dict[str, str], list[str]]:
    argv = ["deploy/setup/python", "-B", "-c", ASK_UV]
    program, env, torch_source = json.loads(_run(argv, dict(os.environ), LIMIT_S).splitlines()[-1])
    return program, env, torch_source


def _uv_run(argv: list[str], env: dict[str, str]) -> None:
    _run(argv, env, LIMIT_S)


def _run(argv: list[str], env: dict[str, str], limit_s: float) -> str:
    """What a command prints; Unavailable with the end of its errors when it fails or takes over `limit_s`."""
    shown = " ".join(Path(argv[0]).name if i == 0 else word for i, word in enumerate(argv[:3]))
    try:
        done = subprocess.run(
            argv, cwd=place.ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unavailable(f"`{shown}` did not end within {limit_s:.0f} s") from None
    except OSError as error:
        raise Unavailable(f"`{shown}` cannot be run: {os.strerror(error.errno or 0)}") from error
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(f"`{shown}` failed: {' '.join(said[-3:])[-200:]}")
    return done.stdout
