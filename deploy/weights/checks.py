"""Whether bytes are those that were meant: digests while they come, manifests, headers of safetensors."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from deploy.weights.source import (
    MANIFEST,
    MARKER,
    STATE,
    Checksum,
    IntegrityError,
    RemoteFile,
    UsageError,
    safe_path,
)

PIECE = 1 << 20
LARGEST_HEADER = 100_000_000  # the limit of the safetensors library


class _Running(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """zlib's CRC with the face of a hash."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class Digests:
    """SHA-256 of a file, for the marker, and what else its expected checksum asks for."""

    def __init__(self, expected: Checksum | None, size: int) -> None:
        self.expected = expected
        self._sha256 = hashlib.sha256()
        self._other: _Running | None = None
        if expected is not None and expected.kind != "sha256":
            self._other = _running(expected.kind, size)

    def update(self, data: bytes) -> None:
        """The next bytes of the file."""
        self._sha256.update(data)
        if self._other is not None:
            self._other.update(data)

    @property
    def sha256(self) -> str:
        """Of all so far."""
        return self._sha256.hexdigest()

    def require(self, path: str) -> None:
        """Raises IntegrityError where the file is not the expected one."""
        if self.expected is None:
            return
        found = self.sha256 if self._other is None else self._other.hexdigest()
        if found != self.expected.value:
            kind = self.expected.kind
            raise IntegrityError(f"{path}: expected {kind} {self.expected.value}; saw {found}")


def _running(kind: str, size: int) -> _Running:
    if kind == "crc32":
        return _Crc32()
    if kind == "md5":  # an ETag of S3: it finds damage, and is not meant against malice
        return hashlib.md5(usedforsecurity=False)
    if kind == "git-sha1":
        return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    raise ValueError(kind)


def read_manifest(text: str) -> dict[str, Checksum]:
    """Path to checksum, out of what `sha256sum` writes. Raises IntegrityError."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, path = line[:64], line[66:]
        hexadecimal = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        if not hexadecimal or line[64:66] not in ("  ", " *"):
            raise IntegrityError(f"{MANIFEST}: expected `DIGEST  PATH` in line {number}")
        found[safe_path(path.removeprefix("./"), path)] = Checksum("sha256", digest)
    return found


def write_manifest(folder: Path) -> int:
    """Write FOLDER/SHA256SUMS over all files below it, as `sha256sum -c` reads it; how many there are.

    Raises UsageError where there are none.
    """
    lines = []
    for path in sorted(_files(folder)):
        name = path.relative_to(folder).as_posix()
        lines.append(f"{sha256_of(path)}  {safe_path(name, name)}\n")
    if not lines:
        raise UsageError(f"expected a folder with files of a model; saw none in {folder}")
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(folder / MANIFEST)
    return len(lines)


def _files(folder: Path) -> Iterator[Path]:
    own = {folder / MANIFEST, folder / MARKER, folder / STATE, folder / f".{MANIFEST}.partial"}
    return (path for path in folder.rglob("*") if path.is_file() and path not in own)


def sha256_of(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sound(path: Path, name: str) -> None:
    """Raises IntegrityError for safetensors whose header and length do not agree, and for broken JSON."""
    if name.endswith(".safetensors"):
        _require_safetensors(path, name)
    elif name.endswith(".json"):
        try:
            json.loads(path.read_bytes())
        except ValueError as error:
            raise IntegrityError(f"{name}: expected JSON; saw {error}") from None


def _require_safetensors(path: Path, name: str) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise IntegrityError(f"{name}: expected the header of safetensors; saw a length of {length}")
        try:
            header = json.loads(file.read(length))
            ends = [int(one["data_offsets"][1]) for key, one in header.items() if key != "__metadata__"]
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            raise IntegrityError(f"{name}: expected the header of safetensors; it cannot be read") from None
    whole = 8 + length + max(ends, default=0)
    if whole != size:
        raise IntegrityError(f"{name}: expected {whole} bytes by its own header; saw {size}")


def shards(index: Path) -> Mapping[str, object]:
    """The files that a model.safetensors.index.json names. Raises IntegrityError."""
    try:
        named = json.loads(index.read_bytes())["weight_map"].values()
        return {safe_path(name, name): None for name in named}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise IntegrityError(f"{index.name}: expected a weight_map of names") from None


def total(files: list[RemoteFile]) -> int:
    """Bytes of all."""
    return sum(file.size for file in files)
