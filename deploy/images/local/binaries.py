"""Programs that are not ours: one file that `make setup` fetched or the machine has, and its libraries."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.images.local.recipe import ROOT, NothingToMakeItOf, Places, Recipe, content, libraries

CACHE = ROOT / ".cache"


@dataclass(frozen=True, slots=True)
class Binary:
    """What set-up's description calls it, what it is called on PATH, and where the image has it."""

    described: str  # below .cache
    name: str
    place: str
    part: str  # of `make setup PARTS=`
    aliases: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()  # folders that it reads, where they are


def binary_program(binary: Binary, *words: str) -> Recipe:
    """An image of this program alone. NothingToMakeItOf where neither set-up nor the machine has it."""
    program, folders = _found(binary)
    beside = {str(file.relative_to(above)): file for above, file in _beside(binary, program)}
    return Recipe(
        parts=(content(program), *(f"{name} {content(file)}" for name, file in beside.items())),
        places=lambda: {**_with_libraries(program, folders), **beside, binary.place: program},
        entrypoint=(f"/{binary.place}", *words),
        environment={"HOME": "/tmp"},  # noqa: S108 - of the container
    )


def _found(binary: Binary) -> tuple[Path, str | None]:
    """The program, and the folders of libraries that set-up brought with it."""
    description = CACHE / binary.described
    entry = json.loads(description.read_text()).get(binary.name) if description.is_file() else None
    if entry and (ROOT / entry["path"]).is_file():
        folders = ":".join(str(ROOT / place) for place in entry.get("libraries", ()))
        return ROOT / entry["path"], folders or None
    for name in (binary.name, *binary.aliases):
        if found := shutil.which(name):
            return Path(found).resolve(), None
    raise NothingToMakeItOf(
        f"{binary.name} is neither in .cache nor on PATH; try: make setup PARTS={binary.part}"
    )


def _beside(binary: Binary, program: Path) -> list[tuple[Path, Path]]:
    above = program.parents[2]  # of usr/bin/NAME
    files = (file for folder in binary.beside for file in sorted((above / folder).rglob("*")))
    return [(above, file) for file in files if file.is_file()]


def _with_libraries(program: Path, folders: str | None) -> Places:
    """Those that set-up brought are put where the loader looks for the system's."""
    above = program.parents[2]
    return {
        str(one.relative_to(above) if one.is_relative_to(above) else one).lstrip("/"): one
        for one in libraries([program], folders)
    }
