"""Parts of deploy.weights without a network: names, checksums, headers, manifests, locks, progress."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.weights import checks, publish, s3
from deploy.weights.progress import Progress
from deploy.weights.source import (
    Checksum,
    IntegrityError,
    LockedError,
    RemoteFile,
    UsageError,
    require_a_tree,
    safe_path,
)
from deploy.weights.transfer import Verified
from tests.deploy.weights_stage import safetensors

WORDS = b"weights of a model"


@pytest.mark.parametrize(
    "name", ["x", "a/b.safetensors", "..x", "a/..b", "x.json/y", "é.txt", ".gitattributes"]
)
def test_names_below_the_folder_pass(name: str) -> None:
    assert safe_path(name, name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../x",
        "/x",
        "a//x",
        "./x",
        "a/",
        "a/.",
        "a\\..\\x",
        "a\0",
        "a\n",
        "x" * 256,
        "a/" * 40 + "x",
        ".complete.json",
        ".state.json",
        ".state.json/x",
    ],
)
def test_names_that_lead_elsewhere_or_clash_with_our_own_are_refused(name: str) -> None:
    with pytest.raises(IntegrityError):
        safe_path(name, name)


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a/b/c", "a"]])
def test_a_name_cannot_be_two_things(paths: list[str]) -> None:
    with pytest.raises(IntegrityError):
        require_a_tree([RemoteFile(path, 0, "v") for path in paths])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("sha256", hashlib.sha256(WORDS).hexdigest()),
        ("md5", hashlib.md5(WORDS, usedforsecurity=False).hexdigest()),
        ("crc32", f"{zlib.crc32(WORDS):08x}"),
        ("git-sha1", hashlib.sha1(b"blob 18\0" + WORDS, usedforsecurity=False).hexdigest()),
    ],
)
def test_each_kind_of_checksum_passes_what_was_meant_and_stops_what_was_not(kind: str, value: str) -> None:
    right = checks.Digests(Checksum(kind, value), len(WORDS))
    for at in range(0, len(WORDS), 5):
        right.update(WORDS[at : at + 5])
    right.require("x")
    assert right.sha256 == hashlib.sha256(WORDS).hexdigest()
    wrong = checks.Digests(Checksum(kind, value), len(WORDS))
    wrong.update(WORDS[:-1] + b"!")
    with pytest.raises(IntegrityError, match=f"x: expected {kind} {value}"):
        wrong.require("x")


def test_the_empty_blob_is_the_one_that_every_user_of_git_knows() -> None:
    known = Checksum("git-sha1", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    checks.Digests(known, 0).require("empty")


@dataclass
class Head:
    """A client that answers head_object with this."""

    answer: dict[str, Any]

    def get_paginator(self, operation_name: str) -> Any:
        raise AssertionError(operation_name)

    def head_object(self, **arguments: str) -> Mapping[str, Any]:
        assert arguments["IfMatch"] == f'"{ETAG}"'
        return self.answer

    def get_object(self, **arguments: str) -> Mapping[str, Any]:
        raise AssertionError(arguments)


ETAG = "0123456789abcdef0123456789abcdef"
SHA256 = {"ChecksumSHA256": base64.b64encode(bytes(range(32))).decode()}
CRC32 = {"ChecksumCRC32": base64.b64encode(bytes(4)).decode()}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({**SHA256, **CRC32}, Checksum("sha256", bytes(range(32)).hex())),
        (CRC32, Checksum("crc32", "00000000")),
        ({"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}, Checksum("md5", ETAG)),
        ({"ChecksumSHA256": SHA256["ChecksumSHA256"] + "-3"}, Checksum("md5", ETAG)),
        ({**SHA256, "ChecksumType": "COMPOSITE"}, Checksum("md5", ETAG)),
        ({"ServerSideEncryption": "AES256"}, Checksum("md5", ETAG)),
        ({"ServerSideEncryption": "aws:kms"}, None),
        ({"ServerSideEncryption": "aws:kms:dsse"}, None),
        ({"SSECustomerAlgorithm": "AES256"}, None),
    ],
)
def test_of_an_objects_checksums_only_those_of_its_whole_content_count(
    head: dict[str, Any], expected: Checksum | None
) -> None:
    bucket = s3.Bucket(Head(head), "b", "/models/m/")
    assert bucket.name == "s3://b/models/m/"
    assert bucket.checksum(RemoteFile("x", 1, ETAG)) == expected


def test_the_etag_of_parts_is_no_md5() -> None:
    file = RemoteFile("x", 1, f"{ETAG[:-2]}-3")
    client = Head({})
    client.head_object = lambda **_: {}  # type: ignore[method-assign]
    assert s3.Bucket(client, "b", "m").checksum(file) is None


def sound(content: bytes, name: str, folder: Path) -> None:
    (folder / "f").write_bytes(content)
    checks.require_sound(folder / "f", name)


def test_sound_files_pass(tmp_path: Path) -> None:
    sound(safetensors(1000), "m.safetensors", tmp_path)
    sound(safetensors(0), "m.safetensors", tmp_path)
    sound(b'{"a": 1}', "config.json", tmp_path)
    sound(b"anything", "merges.txt", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        safetensors(1000) + b"x",
        safetensors(1000)[:-1],
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 9) + b'{"a": 12}',
        struct.pack("<Q", 7) + b'{"a": {',
    ],
)
def test_a_header_that_does_not_agree_with_the_file_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"^m\.safetensors: expected"):
        sound(content, "m.safetensors", tmp_path)


def test_a_manifest_is_read_as_sha256sum_writes_it() -> None:
    digest = "a" * 64
    said = checks.read_manifest(f"{digest}  config.json\n{digest} *./a/b c.txt\n")
    assert said == {"config.json": Checksum("sha256", digest), "a/b c.txt": Checksum("sha256", digest)}
    for line in (
        f"{digest} config.json",
        f"{digest[:-1]}  x",
        f"\\{digest}  a\\nb",
        f"{digest}  ../x",
        "garbage",
    ):
        with pytest.raises(IntegrityError):
            checks.read_manifest(line + "\n")


def test_a_lock_is_held_by_one_and_free_after(tmp_path: Path) -> None:
    calm = threading.Event()
    with publish.locked(tmp_path / "m", 0, calm):
        with pytest.raises(LockedError), publish.locked(tmp_path / "m", 0, calm):
            pass
        with publish.locked(tmp_path / "other", 0, calm):
            pass
    with publish.locked(tmp_path / "m", 0, calm):
        pass


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_moves_one_line_on_a_terminal_and_writes_lines_elsewhere() -> None:
    terminal = Terminal()
    moving = Progress(terminal, total=4_000_000, begun=1_000_000, every_s=10)
    moving.add(1_000_000)
    moving.show()
    moving.end()
    assert "\n" not in terminal.getvalue()
    assert "50% of 4.0 MB" in terminal.getvalue()
    log = io.StringIO()
    lines = Progress(log, total=4_000_000, begun=0, every_s=1000)
    lines.add(1_000_000)
    lines.show()
    assert log.getvalue() == "", "not yet"
    often = Progress(log, total=4_000_000, begun=0, every_s=0)
    often.add(1_000_000)
    often.show()
    assert log.getvalue().startswith("weights: 25% of 4.0 MB")
    assert often.came == 1_000_000


def test_a_manifest_names_all_files_but_itself_and_the_marker(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a/x.txt", "config.json", ".complete.json", "SHA256SUMS"):
        (tmp_path / name).write_bytes(WORDS)
    assert checks.write_manifest(tmp_path) == 2
    digest = hashlib.sha256(WORDS).hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  a/x.txt\n{digest}  config.json\n"


def test_a_manifest_of_nothing_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="saw none"):
            checks.write_manifest(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_could_not_be_given_its_name_is_gone_on_with(tmp_path: Path) -> None:
    files = [RemoteFile("config.json", 2, "v")]
    partial = tmp_path / "m.partial"
    publish.prepare(partial, "s3://b/m/", files)
    (partial / "config.json").write_bytes(b"{}")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "mine").touch()
    with pytest.raises(UsageError):
        publish.publish(partial, tmp_path / "m", "s3://b/m/", {"config.json": Verified("0" * 64, 2, None)})
    assert publish.prepare(partial, "s3://b/m/", files) == 2, "bytes that need not come again"
    (tmp_path / "m" / "mine").unlink()
    publish.publish(partial, tmp_path / "m", "s3://b/m/", {"config.json": Verified("0" * 64, 2, None)})
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [".complete.json", "config.json"]


def test_shards_are_read_from_the_index(tmp_path: Path) -> None:
    (tmp_path / "i").write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "1.safetensors"}}))
    assert list(checks.shards(tmp_path / "i")) == ["1.safetensors"]
    (tmp_path / "i").write_text(json.dumps({"weight_map": {"a": "../1.safetensors"}}))
    with pytest.raises(IntegrityError):
        checks.shards(tmp_path / "i")
