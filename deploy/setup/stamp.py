"""A stamp: what an installed part was made from, by which a second set-up leaves the part alone."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import clone


@dataclass(frozen=True)
class Stamp:
    """The file `path` holds `digest` once its part is complete."""

    path: Path
    digest: str

    @property
    def matches(self) -> bool:
        """Whether the part was made from just these inputs."""
        return self.path.is_file() and self.path.read_text().strip() == self.digest

    def write(self) -> None:
        """Say that the part is complete; the last thing that its installation does."""
        self.path.write_text(f"{self.digest}\n")


def stamp(folder: Path, inputs: Iterable[Path], *facts: str) -> Stamp:
    """The stamp of the part in `folder`, made from the files `inputs` and from `facts` about the machine.

    The clone's own place is a fact too: environments hold absolute paths, so a moved clone is made anew.
    """
    sha = hashlib.sha256()
    for word in (str(clone.ROOT), *facts):
        sha.update(f"{word}\n".encode())
    for path in inputs:
        sha.update(f"{clone.shown(path)}\n".encode())
        sha.update(path.read_bytes())
    return Stamp(folder / ".setup-stamp", sha.hexdigest())
