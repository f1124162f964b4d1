"""Brings files into a folder: several at a time, resumed where one has begun, each checked and retried."""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from deploy.weights.checks import PIECE, Digests, require_sound
from deploy.weights.progress import Progress
from deploy.weights.source import (
    Checksum,
    IntegrityError,
    RemoteFile,
    Source,
    SpaceError,
    TransferError,
)

ENOUGH = 1 << 20  # an attempt that brought this much was worth it, and does not count against the limit
LONGEST_PAUSE_S = 20.0


@dataclass(frozen=True, slots=True)
class Patience:
    """`attempts` in a row without progress, with a pause that doubles from `pause_s`."""

    attempts: int = 5
    pause_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Verified:
    """What a file turned out to be, and by which checksum it was judged (None: size and header only)."""

    sha256: str
    size: int
    by: str | None


class Stopped(Exception):
    """Another file failed, or somebody asked to stop."""


@dataclass(slots=True)
class Transfer:
    """One run over the files of `source` into `folder`; `manifest` overrules the source's own checksums."""

    source: Source
    folder: Path
    progress: Progress
    patience: Patience = field(default_factory=Patience)
    stopping: threading.Event = field(default_factory=threading.Event)
    manifest: Mapping[str, Checksum] = field(default_factory=dict)

    def bring(self, files: Sequence[RemoteFile], concurrency: int) -> dict[str, Verified]:
        """All files, verified. Raises the first error; what has come stays."""
        with ThreadPoolExecutor(max_workers=concurrency) as pool:
            running = {file.path: pool.submit(self._file, file) for file in files}
            try:
                self._watch(list(running.values()))
            except BaseException:
                self.stopping.set()
                pool.shutdown(cancel_futures=True)
                raise
        return {path: done.result() for path, done in running.items()}

    def _watch(self, running: list[Future[Verified]]) -> None:
        pending = set(running)
        while pending:
            done, pending = wait(pending, self.progress.every_s, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
            self.progress.show()

    def _file(self, file: RemoteFile) -> Verified:
        """One file, attempted until it is there or patience ends."""
        expected = self._expected(file)
        failures = spoilt = 0  # apart: a connection that breaks now and then must not forgive bad bytes
        while True:
            before = self._begun(file)
            try:
                return self._attempt(file, expected)
            except TransferError as error:
                failures = 1 if self._begun(file) - before >= ENOUGH else failures + 1
                if not error.again or failures >= self.patience.attempts:
                    raise TransferError(f"{error}; {failures} attempt(s)", again=False) from None
                self.progress.note(f"{error}; trying again from byte {self._begun(file)}")
            except IntegrityError as error:
                spoilt += 1
                self.progress.forget(self._begun(file))
                self._path(file).unlink(missing_ok=True)
                if not error.again or spoilt >= self.patience.attempts:
                    raise IntegrityError(f"{error}; {spoilt} attempt(s)", again=False) from None
                self.progress.note(f"{error}; fetching it again")
            self._pause(max(failures, spoilt))

    def _expected(self, file: RemoteFile) -> Checksum | None:
        """The manifest's checksum, else the source's own; asking is attempted as often as fetching is."""
        if file.path in self.manifest:
            return self.manifest[file.path]
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return self.source.checksum(file)
            except TransferError as error:
                if not error.again or attempt == self.patience.attempts:
                    raise
                self._pause(attempt)
        raise AssertionError(self.patience)  # at least one attempt

    def _attempt(self, file: RemoteFile, expected: Checksum | None) -> Verified:
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        digests = Digests(expected, file.size)
        try:
            with path.open("r+b" if path.exists() else "w+b") as out:
                self._fill(file, out, digests)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpaceError(f"{file.path}: the file system is full; make room and run again") from None
            raise
        digests.require(file.path)
        try:
            require_sound(path, file.path)
        except IntegrityError as error:  # broken at its source, where its checksum is right
            raise IntegrityError(str(error), again=expected is None) from None
        return Verified(digests.sha256, file.size, expected.kind if expected else None)

    def _fill(self, file: RemoteFile, out: BinaryIO, digests: Digests) -> None:
        """Read what is there, then fetch what is missing."""
        at = 0
        while piece := out.read(PIECE):
            self._go_on()
            digests.update(piece)
            at += len(piece)
        if at > file.size:
            raise IntegrityError(f"{file.path}: expected {file.size} bytes; saw {at}")
        if at < file.size:
            for piece in self.source.read(file, at):
                self._go_on()
                out.write(piece)
                digests.update(piece)
                at += len(piece)
                self.progress.add(len(piece))
        if at < file.size:
            raise TransferError(f"{file.path}: ended after {at} of {file.size} bytes", again=True)
        if at > file.size:
            raise IntegrityError(f"{file.path}: expected {file.size} bytes; saw {at}")

    def _path(self, file: RemoteFile) -> Path:
        return self.folder / file.path

    def _begun(self, file: RemoteFile) -> int:
        path = self._path(file)
        return path.stat().st_size if path.exists() else 0

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise Stopped

    def _pause(self, failures: int) -> None:
        """Doubling, and up to half as long again so that many replicas do not come back at one instant."""
        pause_s = min(LONGEST_PAUSE_S, self.patience.pause_s * 2 ** min(failures - 1, 16))
        self.stopping.wait(pause_s * random.uniform(1, 1.5))  # noqa: S311  spread, not secrecy
        self._go_on()
