"""What a source of weights gives: files by name, size and version, their checksums, and their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

MARKER = ".complete.json"
STATE = ".state.json"
MANIFEST = "SHA256SUMS"
MOST_PARTS = 32


class WeightsError(Exception):
    """Nothing was published; the text says what was expected, what was seen and what to do."""

    exit_code = 3


class UsageError(WeightsError):
    """What was asked for cannot be done: the arguments, the destination, the credentials."""

    exit_code = 2


class TransferError(WeightsError):
    """Bytes did not come. What has come is kept, and the next run goes on from there."""

    def __init__(self, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.again = again  # whether another attempt can help


class IntegrityError(WeightsError):
    """Bytes came that are not those that were meant."""

    exit_code = 4

    def __init__(self, text: str, *, again: bool = True) -> None:
        super().__init__(text)
        self.again = again  # whether fetching the same file again can help


class SpaceError(WeightsError):
    """The file system is too small."""

    exit_code = 5


class LockedError(WeightsError):
    """Another run is filling the same folder."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class Checksum:
    """`kind` is sha256, crc32, md5 or git-sha1; `value` in lower-case hexadecimal digits."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file: its path below the model's folder, bytes, and a name of its content that changes with it."""

    path: str
    size: int
    version: str


class Source(Protocol):
    """Where weights come from. `name` has no secret in it."""

    @property
    def name(self) -> str: ...

    def files(self) -> Sequence[RemoteFile]:
        """All of them, paths checked. Raises WeightsError."""

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """What the source itself says of the file's content; None where it says nothing that can be used."""

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """The file's bytes from `offset` on, of just that version. Raises TransferError."""


def is_own(path: str) -> bool:
    """Whether `path` is a file of this program's: there when a folder that it filled was uploaded whole."""
    return path in (MARKER, STATE)


def safe_path(path: str, seen_as: str) -> str:
    """`path` if it names something below the folder it is joined to. Raises IntegrityError."""
    parts = path.split("/")
    wrong = len(parts) > MOST_PARTS or any(
        part in ("", ".", "..") or len(part) > 255 or "\\" in part or not part.isprintable() for part in parts
    )
    if wrong or parts[0] in (MARKER, STATE):
        raise IntegrityError(
            f"expected names of files below one folder; saw {seen_as!r}; nothing was written"
        )
    return path


def require_a_tree(files: Iterable[RemoteFile]) -> None:
    """Raises IntegrityError where one name is used twice, or as a file and as a folder."""
    paths: set[str] = set()
    for file in files:
        if file.path in paths:
            raise IntegrityError(f"expected each name once; saw {file.path!r} twice")
        paths.add(file.path)
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in paths:
                raise IntegrityError(f"expected a file or a folder; saw {parent!r} as both")
            parent = parent.rpartition("/")[0]


def require_named(names: Mapping[str, object], files: Iterable[RemoteFile], by: str) -> None:
    """Raises IntegrityError where `by` names a file that the source does not have."""
    missing = sorted(set(names) - {file.path for file in files})
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise IntegrityError(f"expected all that {by} names; {missing[0]!r}{more} is not there")
