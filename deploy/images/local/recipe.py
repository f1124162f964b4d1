"""Recipe: what goes into an image, which name that gives it, and its file system as a tar archive."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[3]
USER = 10001
LDD_BOUND_S = 120.0
FOLDERS = (("tmp", 0o1777), ("etc", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755))
FILES = {
    "etc/passwd": f"app:x:{USER}:{USER}::/tmp:/sbin/nologin\n",
    "etc/group": f"app:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}
LIBRARY = re.compile(r"(?:=>\s*)?(/\S+) \(0x")

# Path in the image, without the first slash -> the file of this machine.
Places = dict[str, Path]


class NothingToMakeItOf(Exception):
    """A program is not on this machine. The text says what was looked for, and what to try."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image. `parts` are words that tell any two states of its content apart."""

    parts: tuple[str, ...]
    places: Callable[[], Places]  # asked only where the image has to be made
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"  # where it starts

    def tag(self) -> str:
        """16 digits that another content would not have."""
        made = hashlib.sha256()
        for file in sorted(Path(__file__).parent.glob("*.py")):
            made.update(file.read_bytes())
        settings = (*self.entrypoint, *(f"{k}={v}" for k, v in sorted(self.environment.items())), self.folder)
        for part in (*self.parts, *settings):
            made.update(part.encode() + b"\0")
        return made.hexdigest()[:16]

    def changes(self) -> list[str]:
        """What a Containerfile would say of how it is run."""
        words = ", ".join(f'"{word}"' for word in self.entrypoint)
        variables = " ".join(f"{name}={value}" for name, value in sorted(self.environment.items()))
        return [
            f"ENTRYPOINT [{words}]",
            *([f"ENV {variables}"] if variables else []),
            f"WORKDIR {self.folder}",
            f"USER {USER}:{USER}",
        ]


def write_archive(places: Places, to: IO[bytes]) -> None:
    """The whole file system as a tar archive, as a stream."""
    with tarfile.open(fileobj=to, mode="w|", dereference=True) as archive:
        for name, mode in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        for name, text in FILES.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(text), 0o644
            archive.addfile(file, io.BytesIO(text.encode()))
        for name, path in sorted(places.items()):
            archive.add(path, name, recursive=False, filter=_everyones)


def _everyones(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and for all to read: what it is on this machine says nothing about user 10001."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o555 if entry.mode & 0o100 else 0o444
    return entry


def libraries(files: Iterable[Path], folders: str | None = None) -> list[Path]:
    """The shared libraries that these load, by the loader's own account; `folders` are searched first."""
    variables = {"LD_LIBRARY_PATH": folders} if folders else {}
    command = ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), "ldd"]
    said = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, check=False, timeout=LDD_BOUND_S
    ).stdout
    return sorted({Path(path) for path in LIBRARY.findall(said)})


def content(file: Path) -> str:
    """A hash of what is in a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
