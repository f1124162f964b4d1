"""The real engine on a processor: vLLM as set-up installed it, our launcher and the tiny model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.images.local.python import ENVIRONMENT, PYTHON, standard_library, with_bytecode, with_libraries
from deploy.images.local.recipe import ROOT, NothingToMakeItOf, Places, Recipe, content

ENGINE, MODEL = ROOT / ".engine", ROOT / ".cache" / "models" / "tiny"
ASK_BOUND_S = 30.0
# vLLM asks lscpu for the cores, and asks by way of a shell.
PROGRAMS = {"bin/sh": "dash", "usr/bin/lscpu": "lscpu"}
UNUSED = re.compile("__pycache__|tests?")


def engine_on_cpu() -> Recipe:
    """vLLM's CPU build as set-up installed it. NothingToMakeItOf where it is not there."""
    for place in (ENGINE / "engine.json", MODEL / "config.json"):
        if not place.is_file():
            raise NothingToMakeItOf(f"no {place.relative_to(ROOT)} for the real engine; try: make setup")
    if json.loads((ENGINE / "engine.json").read_text())["device"] != "cpu":
        raise NothingToMakeItOf("the engine of .engine is for GPUs: the image vllm/vllm-openai is that")
    sources = [ROOT / "deploy" / "engine" / "serve.py", ENGINE / "engine.json"]
    files = [*sources, *sorted(one for one in MODEL.rglob("*") if one.is_file())]
    return Recipe(
        parts=(
            (ENGINE / ".setup-stamp").read_text() if (ENGINE / ".setup-stamp").is_file() else "",
            *(f"{file.relative_to(ROOT)} {content(file)}" for file in files),
        ),
        places=lambda: _places(files),
        entrypoint=(PYTHON, "/app/deploy/engine/serve.py"),
        environment={**ENVIRONMENT, "PYTHONPATH": "/app/.engine/site", "PATH": "/usr/bin:/bin"},
        folder="/tmp",  # noqa: S108 - of the container
    )


def _places(files: list[Path]) -> Places:
    python = (ENGINE / "bin" / "python").resolve()
    library = _said(python, "import sysconfig; print(sysconfig.get_path('stdlib'))")
    packages = _said(ENGINE / "bin" / "python", "import sysconfig; print(sysconfig.get_path('purelib'))")
    places: Places = {PYTHON[1:]: python, **standard_library(library)}
    places |= {f"app/.engine/site/{file.relative_to(packages)}": file for file in _kept(packages)}
    places |= {str(f"app/{file.relative_to(ROOT)}"): file for file in _kept(ENGINE / "shim")}
    for place, name in PROGRAMS.items():
        if (found := shutil.which(name)) is None:
            raise NothingToMakeItOf(f"no {name} on PATH, by which vLLM learns of the cores")
        places[place] = Path(found).resolve()
    ours: Places = {f"app/{file.relative_to(ROOT)}": file for file in files}
    return {**with_libraries(with_bytecode(places)), **ours}


def _said(python: Path, code: str) -> Path:
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True, timeout=ASK_BOUND_S
    )
    return Path(done.stdout.strip())


def _kept(folder: Path) -> Iterator[Path]:
    """What the engine reads of a folder. Bytecode is found by what it is of."""
    for place, below, names in os.walk(folder):
        below[:] = [one for one in below if not UNUSED.fullmatch(one)]
        yield from (Path(place, name) for name in names if Path(place, name).is_file())
