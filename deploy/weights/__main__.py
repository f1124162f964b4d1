"""python -m deploy.weights s3://BUCKET/PREFIX DEST [--endpoint-url URL]
python -m deploy.weights hf://ORG/NAME@COMMIT DEST
python -m deploy.weights manifest FOLDER

Fills DEST with the files of a model, or says that it is filled. DEST appears when all files are there and
verified, and not before; it must not be a mount point, but lie in one. `manifest` writes FOLDER/SHA256SUMS,
to be uploaded with the rest: what it names is then judged by it.

Credentials come from the environment (boto3's own chain; HF_TOKEN) and are never printed.

Exit codes:
  0    DEST is filled
  2    the arguments, the destination or the credentials cannot be used
  3    bytes did not come; what has come is kept, and the next run goes on from there
  4    what came is not what was meant
  5    the file system is too small
  6    another run is filling DEST
  128+N  signal N; what has come is kept
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.weights import checks, publish
from deploy.weights.progress import Progress
from deploy.weights.source import (
    MANIFEST,
    Checksum,
    IntegrityError,
    RemoteFile,
    Source,
    UsageError,
    WeightsError,
    require_a_tree,
    require_named,
)
from deploy.weights.transfer import Patience, Stopped, Transfer

LARGEST_MANIFEST = 16 << 20
INDEX = "model.safetensors.index.json"


def main(argv: list[str]) -> int:
    """Download or make a manifest; the exit code."""
    got: list[int] = []
    stopping = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        got.append(number)
        stopping.set()
        if len(got) > 1:
            os._exit(128 + number)  # a read may block for a minute, and somebody is in a hurry

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    asked = _parser().parse_args(argv)
    try:
        if asked.source == "manifest":
            print(f"weights: {checks.write_manifest(Path(asked.destination))} files in {MANIFEST}")
        else:
            _fill(_source(asked), Path(asked.destination).absolute(), asked, stopping)
    except Stopped:
        print("weights: stopped; what has come is kept", file=sys.stderr)
        return 128 + (got or [signal.SIGTERM])[0]
    except WeightsError as error:
        print(f"weights: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # of files: those of networks are said by their source
        print(f"weights: expected to read and write; saw {error.filename}: {error.strerror}", file=sys.stderr)
        return UsageError.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.weights", description="Weights of a model.")
    parser.add_argument("source", help="s3://BUCKET/PREFIX, hf://ORG/NAME@COMMIT, or the word manifest")
    parser.add_argument("destination", help="the model's own folder")
    parser.add_argument("--endpoint-url", help="of something else than AWS that speaks S3's API")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="names left out")
    parser.add_argument("--concurrency", type=int, default=4, help="files at a time (4)")
    parser.add_argument("--attempts", type=int, default=5, help="in a row without progress, each file (5)")
    parser.add_argument(
        "--pause-s", type=float, default=0.5, help="after the first failure; it doubles (0.5)"
    )
    parser.add_argument("--wait-s", type=float, default=0, help="for another run that fills DEST (0)")
    parser.add_argument(
        "--every-s", type=float, default=10, help="a line of progress without a terminal (10)"
    )
    return parser


def _source(asked: argparse.Namespace) -> Source:
    scheme, _, rest = asked.source.partition("://")
    if min(asked.concurrency, asked.attempts) < 1 or asked.every_s <= 0 or asked.pause_s < 0:
        raise UsageError("expected --concurrency, --attempts and --every-s above 0, --pause-s not below")
    if scheme == "s3" and rest.partition("/")[0]:
        from deploy.weights import s3  # half a second that hf:// need not pay

        bucket, _, prefix = rest.partition("/")
        return s3.connect(bucket, prefix, asked.endpoint_url, asked.concurrency)
    if scheme == "hf" and "@" in rest:
        from deploy.weights import hub

        repository, _, commit = rest.partition("@")
        return hub.Repository(repository, commit)
    raise UsageError(f"expected s3://BUCKET/PREFIX or hf://ORG/NAME@COMMIT; saw {scheme}://…")


def _fill(source: Source, destination: Path, asked: argparse.Namespace, stopping: threading.Event) -> None:
    """Make `destination` a folder with all files of `source`."""
    if _filled(source, destination):  # asked without the lock too: what is filled may be mounted read-only
        return
    with publish.locked(destination, asked.wait_s, stopping):
        if not _filled(source, destination):
            publish.make_way(destination)
            _download(source, destination, asked, stopping)


def _filled(source: Source, destination: Path) -> bool:
    there = publish.is_there(destination, source.name)
    if there:
        print(f"weights: {destination} is filled from {source.name} already")
    return there


def _download(
    source: Source, destination: Path, asked: argparse.Namespace, stopping: threading.Event
) -> None:
    files = [file for file in source.files() if not _excluded(file.path, asked.exclude)]
    require_a_tree(files)
    partial = destination.with_name(f"{destination.name}.partial")
    begun = publish.prepare(partial, source.name, files)
    publish.require_space(partial, checks.total(files) - begun)
    progress = Progress(sys.stderr, checks.total(files), begun, asked.every_s)
    progress.note(f"{len(files)} files, {checks.total(files):,} bytes, {begun:,} of them here already")
    patience = Patience(asked.attempts, asked.pause_s)
    transfer = Transfer(source, partial, progress, patience, stopping)
    try:
        transfer.manifest = _manifest(transfer, files, asked.exclude)
        found = transfer.bring(files, asked.concurrency)
    finally:
        progress.end()
    _require_shards(partial, files)
    unjudged = sum(one.by is None for one in found.values())
    digest = publish.publish(partial, destination, source.name, found)
    print(f"weights: {destination} has {len(files)} files, {progress.came:,} bytes came, list {digest}")
    if unjudged:
        print(f"weights: {unjudged} files have no checksum that can be used; size and header are right")


def _excluded(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _manifest(transfer: Transfer, files: Sequence[RemoteFile], exclude: Sequence[str]) -> dict[str, Checksum]:
    """What SHA256SUMS of the source says, if there is one; all that it names must be there."""
    found = next((file for file in files if file.path == MANIFEST), None)
    if found is None:
        return {}
    if found.size > LARGEST_MANIFEST:
        raise IntegrityError(f"{MANIFEST}: expected at most {LARGEST_MANIFEST} bytes; saw {found.size}")
    transfer.bring([found], 1)
    said = checks.read_manifest((transfer.folder / MANIFEST).read_text(encoding="utf-8", errors="replace"))
    require_named({path: one for path, one in said.items() if not _excluded(path, exclude)}, files, MANIFEST)
    return said


def _require_shards(folder: Path, files: Sequence[RemoteFile]) -> None:
    if any(file.path == INDEX for file in files):
        require_named(checks.shards(folder / INDEX), files, INDEX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
