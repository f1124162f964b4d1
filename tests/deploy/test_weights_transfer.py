"""Transfers that break, are killed, spoilt, overtaken by an upload, or fill the disk: a real S3 API."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.weights_stage import (
    BIG,
    BUCKET,
    LIMIT_S,
    MIB,
    PREFIX,
    ROOT,
    Mischief,
    Store,
    came,
    command,
    download,
    empty,
    environment,
    proxy,
    published,
    safetensors,
    store,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with store() as one:
        yield one


@pytest.fixture
def s3(server: Store) -> Iterator[Store]:
    yield server
    empty(server)


def test_a_connection_that_breaks_is_resumed_and_little_comes_twice(s3: Store, tmp_path: Path) -> None:
    s3.put_directly("model.safetensors", BIG)
    cutting = Mischief(cut_after=3 * MIB)
    with proxy(s3, cutting) as url:
        done = download(url, tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert published(tmp_path / "m") == {"model.safetensors": BIG}
    assert done.stderr.count("trying again from byte") >= 2
    assert came(done.stdout) == len(BIG), "nothing that was written was fetched again"
    breaks = done.stderr.count("trying again")
    assert cutting.passed < len(BIG) + breaks * (MIB // 4) + 65536, "what crossed the wire, headers included"


def test_without_progress_it_gives_up_after_its_attempts_and_keeps_what_it_has(
    s3: Store, tmp_path: Path
) -> None:
    s3.put_directly("model.safetensors", BIG)
    with proxy(s3, Mischief(cut_after=MIB // 2)) as url:
        failed = download(url, tmp_path / "m", "--attempts", "2")
    assert failed.returncode == 3
    assert "2 attempt(s)" in failed.stderr
    assert not (tmp_path / "m").exists()
    kept = (tmp_path / "m.partial" / "model.safetensors").stat().st_size
    assert 0 < kept < len(BIG)
    done = download(s3.url, tmp_path / "m")
    assert (done.returncode, came(done.stdout)) == (0, len(BIG) - kept)


def test_killed_in_the_middle_nothing_is_published_and_the_next_run_goes_on(
    s3: Store, tmp_path: Path
) -> None:
    s3.put("config.json", b"{}")
    s3.put_directly("model.safetensors", BIG)
    partial = tmp_path / "m.partial" / "model.safetensors"
    with proxy(s3, Mischief(hold_after=4 * MIB)) as url:
        process = subprocess.Popen(
            command(url, tmp_path / "m"), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + LIMIT_S
        while not (partial.exists() and partial.stat().st_size >= 2 * MIB):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.02)
        blocked = download(url, tmp_path / "m")
        assert blocked.returncode == 6, "two at once"
        process.send_signal(signal.SIGKILL)
        process.wait(LIMIT_S)
    assert not (tmp_path / "m").exists()
    kept = partial.stat().st_size
    done = download(s3.url, tmp_path / "m")
    assert done.returncode == 0
    assert published(tmp_path / "m") == {"config.json": b"{}", "model.safetensors": BIG}
    assert came(done.stdout) <= len(BIG) - kept + 2


def test_sigterm_ends_it_soon_and_keeps_what_came(s3: Store, tmp_path: Path) -> None:
    s3.put_directly("model.safetensors", BIG)
    partial = tmp_path / "m.partial" / "model.safetensors"
    slow = Mischief(hold_after=2 * MIB)
    with proxy(s3, slow) as url:
        process = subprocess.Popen(
            command(url, tmp_path / "m"), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + LIMIT_S
        while not (partial.exists() and partial.stat().st_size >= MIB):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        slow.hold_after = None  # its next piece is where it looks up
        _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert "what has come is kept" in said
    assert partial.stat().st_size < len(BIG)


@pytest.mark.parametrize("attempts", ["1", "5"])
def test_a_byte_spoilt_on_the_way_is_found(s3: Store, tmp_path: Path, attempts: str) -> None:
    s3.put_directly("model.safetensors", BIG)
    with proxy(s3, Mischief(spoil_at=[5 * MIB])) as url:
        done = download(url, tmp_path / "m", "--attempts", attempts)
    assert "expected md5" in done.stderr, "the ETag of an object in one part"
    if attempts == "1":
        assert done.returncode == 4
        assert not (tmp_path / "m").exists()
    else:
        assert done.returncode == 0
        assert published(tmp_path / "m") == {"model.safetensors": BIG}


def test_bytes_that_are_never_right_are_given_up_though_the_connection_breaks_as_well(
    s3: Store, tmp_path: Path
) -> None:
    """Progress between two breaks forgives the breaks, and not what came out wrong."""
    s3.put_directly("model.safetensors", BIG)
    s3.put("SHA256SUMS", f"{'0' * 64}  model.safetensors\n".encode())
    cutting = Mischief(cut_after=3 * MIB)
    with proxy(s3, cutting) as url:
        done = download(url, tmp_path / "m", "--attempts", "3")
    assert done.returncode == 4
    assert "3 attempt(s)" in done.stderr
    assert cutting.passed < 3 * len(BIG) + 4 * MIB


def test_a_spoilt_piece_of_an_interrupted_run_is_found_by_the_next(s3: Store, tmp_path: Path) -> None:
    s3.put_directly("model.safetensors", BIG)
    with proxy(s3, Mischief(cut_after=2 * MIB)) as url:
        assert download(url, tmp_path / "m", "--attempts", "1").returncode == 3
    with (tmp_path / "m.partial" / "model.safetensors").open("r+b") as file:
        file.seek(MIB)
        file.write(b"\0damage\0")
    done = download(s3.url, tmp_path / "m")
    assert done.returncode == 0
    assert "fetching it again" in done.stderr
    assert published(tmp_path / "m") == {"model.safetensors": BIG}


def test_an_object_that_changes_after_it_was_listed_is_refused(s3: Store, tmp_path: Path) -> None:
    s3.put_directly("model.safetensors", BIG)
    changed = BIG[:-1] + b"\0"

    def change(request: bytes) -> None:
        if request.startswith(b"GET /weights/models/m/model.safetensors"):
            s3.put_directly("model.safetensors", changed)

    with proxy(s3, Mischief(on_request=change)) as url:
        done = download(url, tmp_path / "m")
    assert done.returncode == 3
    assert "was changed since it was listed; run again" in done.stderr
    assert not (tmp_path / "m").exists()
    assert download(s3.url, tmp_path / "m").returncode == 0
    assert published(tmp_path / "m") == {"model.safetensors": changed}


def test_a_partial_of_another_version_is_not_continued(s3: Store, tmp_path: Path) -> None:
    s3.put_directly("model.safetensors", BIG)
    s3.put("gone.txt", b"in the first version only")
    with proxy(s3, Mischief(cut_after=2 * MIB)) as url:
        assert download(url, tmp_path / "m", "--attempts", "1").returncode == 3
    newer = BIG[:-1] + b"\0"
    s3.put_directly("model.safetensors", newer)
    s3.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/gone.txt")
    done = download(s3.url, tmp_path / "m")
    assert (done.returncode, came(done.stdout)) == (0, len(newer))
    assert published(tmp_path / "m") == {"model.safetensors": newer}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MiB, of which 64 are kept free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, timeout=10, check=False).returncode:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True, timeout=10)


def test_a_mount_point_is_refused_before_anything_is_asked_for(
    s3: Store, tmp_path: Path, small_disk: Path
) -> None:
    s3.put("config.json", b"{}")
    asked = Mischief()
    with proxy(s3, asked) as url:
        done = download(url, small_disk)
    assert (done.returncode, asked.requests) == (2, [])
    assert f"mount the volume on {tmp_path}" in done.stderr


def test_what_is_filled_may_be_read_only(s3: Store, small_disk: Path) -> None:
    s3.put("config.json", b"{}")
    assert download(s3.url, small_disk / "m").returncode == 0
    (small_disk / "m.lock").unlink()
    argv = [shutil.which("mount") or "mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(argv, check=True, timeout=10)
    assert download(s3.url, small_disk / "m").returncode == 0
    assert download(s3.url, small_disk / "n").returncode == 2, "and what is not cannot be"


def test_a_disk_too_small_is_noticed_before_and_a_disk_that_fills_up_meanwhile(
    s3: Store, tmp_path: Path, small_disk: Path
) -> None:
    s3.put_directly("model.safetensors", BIG)
    s3.put_directly("second.safetensors", safetensors(12 * MIB))
    before = download(s3.url, small_disk / "m")
    assert before.returncode == 5
    assert "MB free" in before.stderr
    s3.client.delete_object(Bucket=BUCKET, Key=f"{PREFIX}/second.safetensors")

    def fill(request: bytes) -> None:
        if request.startswith(b"GET /weights/models/m/model.safetensors"):
            (small_disk / "other").write_bytes(bytes(76 * MIB))

    with proxy(s3, Mischief(on_request=fill)) as url:
        meanwhile = download(url, small_disk / "m")
    assert meanwhile.returncode == 5
    assert "the file system is full" in meanwhile.stderr
    (small_disk / "other").unlink()
    assert download(s3.url, small_disk / "m").returncode == 0
