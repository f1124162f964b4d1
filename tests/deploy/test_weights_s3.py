"""Weights from S3: what is listed, judged and published, and a folder that is whole or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.weights_stage import (
    BIG,
    BUCKET,
    LIMIT_S,
    PREFIX,
    ROOT,
    Mischief,
    Store,
    command,
    download,
    empty,
    environment,
    proxy,
    published,
    store,
    tree,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with store() as one:
        yield one


@pytest.fixture
def s3(server: Store) -> Iterator[Store]:
    yield server
    empty(server)


def test_a_folder_is_published_whole_and_marked_and_a_second_run_asks_for_nothing(
    s3: Store, tmp_path: Path
) -> None:
    content = {"config.json": b"{}", "model.safetensors": BIG, "sub/empty.txt": b""}
    for name, one in content.items():
        s3.put(name, one)
    s3.put("", b"")  # the object that some consoles make for a folder
    s3.put("config.json", b"another model", prefix=f"{PREFIX}-2")
    folder = tmp_path / "models" / "m"
    assert download(s3.url, folder).returncode == 0
    assert published(folder) == content
    marker = json.loads((folder / ".complete.json").read_text())
    lines = "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in sorted(content))
    assert marker["manifest_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert {one["by"] for one in marker["files"].values()} == {"crc32"}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["m", "m.lock"]

    again = Mischief()
    with proxy(s3, again) as url:
        second = download(url, folder)
    assert (second.returncode, again.requests) == (0, [])
    assert "already" in second.stdout


def test_a_prefix_is_taken_off_at_the_start_only(s3: Store, tmp_path: Path) -> None:
    s3.put("m/m/x.txt", b"deep", prefix="m")
    assert download(s3.url, tmp_path / "d", prefix="m").returncode == 0
    assert published(tmp_path / "d") == {"m/m/x.txt": b"deep"}


def test_more_objects_than_a_page_has_all_come(
    s3: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")  # a page of AWS has 1,000
    content = {f"part-{number:04}.txt": f"{number}".encode() for number in range(24)}
    for name, one in content.items():
        s3.put_directly(name, one)
    sums = "".join(f"{hashlib.sha256(one).hexdigest()}  {name}\n" for name, one in content.items())
    s3.put("SHA256SUMS", sums.encode())
    listing = Mischief()
    with proxy(s3, listing) as url:
        assert download(url, tmp_path / "m", "--concurrency", "8").returncode == 0
    assert published(tmp_path / "m") == {**content, "SHA256SUMS": sums.encode()}
    assert sum(b"list-type=2" in line for line in listing.requests) == 3, "10, 10 and 5"


def put_with_manifest(s3: Store, folder: Path, content: dict[str, bytes]) -> None:
    """Upload a folder as its owner would: the manifest made by the program first."""
    for name, one in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(one)
    argv = [*command("", folder)[:3], "manifest", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_S)
    for name, one in tree(folder).items():
        s3.put(name, one)


def test_a_manifest_in_the_bucket_is_what_sha256sum_reads_and_what_files_are_judged_by(
    s3: Store, tmp_path: Path
) -> None:
    put_with_manifest(s3, tmp_path / "up", {"config.json": b"{}", "a/model.safetensors": BIG})
    if sha256sum := shutil.which("sha256sum"):
        subprocess.run([sha256sum, "-c", "SHA256SUMS"], cwd=tmp_path / "up", check=True, capture_output=True)
    assert download(s3.url, tmp_path / "m").returncode == 0
    marker = json.loads((tmp_path / "m" / ".complete.json").read_text())
    assert {path: one["by"] for path, one in marker["files"].items()} == {
        "SHA256SUMS": "crc32",
        "config.json": "sha256",
        "a/model.safetensors": "sha256",
    }
    s3.put("config.json", b"[]")  # in the bucket itself, checksums of S3 and all
    swapped = download(s3.url, tmp_path / "n", "--attempts", "2")
    assert swapped.returncode == 4
    assert "config.json: expected sha256" in swapped.stderr
    assert not (tmp_path / "n").exists()
    s3.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/config.json")
    missing = download(s3.url, tmp_path / "n")
    assert missing.returncode == 4
    assert "'config.json' is not there" in missing.stderr


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("model.safetensors", BIG[:-1], "by its own header"),
        ("model.safetensors", b"\xff" * 64, "the header of safetensors"),
        ("model.safetensors", b"<html>", "the header of safetensors"),
        ("config.json", b'{"half": ', "expected JSON"),
        ("model.safetensors.index.json", b'{"weight_map": {"w": "lost.safetensors"}}', "'lost.safetensors'"),
    ],
)
def test_a_file_that_was_broken_when_it_was_uploaded_is_found(
    s3: Store, tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    s3.put(name, content)
    done = download(s3.url, tmp_path / "m")
    assert done.returncode == 4
    assert complaint in done.stderr
    assert "fetching it again" not in done.stderr, "its checksum is right: the same would come"
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/x"])
def test_a_name_that_leads_out_of_the_folder_is_refused_and_nothing_is_written(
    server: Store, tmp_path: Path, name: str
) -> None:
    server.put_directly(name, b"x")
    try:
        done = download(server.url, tmp_path / "deep" / "m")
    finally:
        server.delete_directly(name)
    assert done.returncode == 4
    assert "names of files below one folder" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "m.lock"]


def test_a_folder_that_was_filled_can_be_uploaded_whole(s3: Store, tmp_path: Path) -> None:
    """As by `aws s3 sync`, which takes the marker along."""
    s3.put("config.json", b"{}")
    assert download(s3.url, tmp_path / "m").returncode == 0
    for name, content in tree(tmp_path / "m").items():
        s3.put(name, content, prefix="models/copy")
    s3.put(".state.json", b"{}", prefix="models/copy")
    done = download(s3.url, tmp_path / "copy", prefix="models/copy")
    assert done.returncode == 0, done.stderr
    assert published(tmp_path / "copy") == {"config.json": b"{}"}
    marker = json.loads((tmp_path / "copy" / ".complete.json").read_text())
    assert marker["source"] == f"s3://{BUCKET}/models/copy/", "not the one that was uploaded"


def test_what_somebody_else_put_at_the_destination_stays(s3: Store, tmp_path: Path) -> None:
    s3.put("config.json", b"{}")
    (tmp_path / "m").mkdir()
    assert download(s3.url, tmp_path / "m").returncode == 0, "an empty folder is nobody's"
    (tmp_path / "m" / "config.json").unlink()
    damaged = download(s3.url, tmp_path / "m")
    assert damaged.returncode == 2
    assert "is not as it was published" in damaged.stderr
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "mine").touch()
    assert download(s3.url, tmp_path / "n").returncode == 2
    assert (tmp_path / "n" / "mine").exists()


@pytest.mark.parametrize(
    ("prefix", "code", "complaint"),
    [("models/absent", 2, "expected objects below"), ("", 0, "")],
    ids=["nothing there", "the whole bucket"],
)
def test_a_prefix_without_objects_is_an_error(
    s3: Store, tmp_path: Path, prefix: str, code: int, complaint: str
) -> None:
    s3.put("config.json", b"{}")
    done = download(s3.url, tmp_path / "m", prefix=prefix)
    assert done.returncode == code
    assert complaint in done.stderr


def test_a_bucket_that_is_not_there_or_not_open_and_a_place_that_cannot_be_written_are_said(
    s3: Store, tmp_path: Path
) -> None:
    argv = command(s3.url, tmp_path / "m")
    argv[3] = "s3://another/models/m"
    done = subprocess.run(
        argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 2
    assert "answered NoSuchBucket" in done.stderr
    s3.put("config.json", b"{}")
    (tmp_path / "m.partial").touch()
    blocked = download(s3.url, tmp_path / "m")
    assert blocked.returncode == 2
    assert "m.partial: File exists" in blocked.stderr


def test_names_can_be_left_out(s3: Store, tmp_path: Path) -> None:
    put_with_manifest(s3, tmp_path / "up", {"config.json": b"{}", "original/big.pth": b"x"})
    assert download(s3.url, tmp_path / "m", "--exclude", "original/*").returncode == 0
    assert set(published(tmp_path / "m")) == {"config.json", "SHA256SUMS"}
