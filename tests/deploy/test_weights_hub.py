"""Weights from a hub: huggingface_hub's own client against a server here that answers as the hub does.

The hub itself cannot be reached from a test; what is proved is this program and that library, not the hub.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deploy.weights_stage import LIMIT_S, MIB, ROOT, came, environment, published, safetensors

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_never_to_be_shown"
SIGNATURE = "never-to-be-shown-either"
BIG = safetensors(2 * MIB)
FILES = {"config.json": b'{"a": 1}', "model.safetensors": BIG, "onnx/README.md": b"words\n"}


@dataclass
class Hub:
    """What it has, what it was asked, and how many bytes of a large file it sends before it hangs up."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)

    def listing(self) -> bytes:
        siblings = []
        for name, content in FILES.items():
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            entry: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": blob}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        return json.dumps({"id": "org/name", "sha": COMMIT, "siblings": siblings}).encode()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append((path, self.headers.get("Authorization"), self.headers.get("Range")))
        if path == f"/api/models/org/name/revision/{COMMIT}":
            self._answer(200, self.hub.listing(), "application/json")
        elif path.startswith(f"/org/name/resolve/{COMMIT}/") and path.endswith(".safetensors"):
            # Large files lie elsewhere, at an address that is signed.
            port = self.headers["Host"].rpartition(":")[2]
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{port}/lfs/{path[-17:]}?signature={SIGNATURE}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif (
            name := path.removeprefix(f"/org/name/resolve/{COMMIT}/").removeprefix("/lfs/")
        ) in self.hub.files:
            self._file(self.hub.files[name])
        else:
            self._answer(404, b"{}", "application/json")

    def _file(self, content: bytes) -> None:
        begin = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        body = content[begin:]
        self.send_response(206 if self.headers.get("Range") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if len(body) > MIB and self.hub.cut_after:
            self.wfile.write(body[: self.hub.cut_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Say nothing."""


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def download(
    url: str, folder: Path, source: str = f"hf://org/name@{COMMIT}"
) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "deploy.weights", source, str(folder), "--pause-s", "0.01"]
    env = environment(HF_ENDPOINT=url, HF_TOKEN=TOKEN, HF_HOME=str(folder.parent / "home"))
    done = subprocess.run(
        [*argv, "--attempts", "2"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert TOKEN not in done.stdout + done.stderr
    assert SIGNATURE not in done.stdout + done.stderr
    return done


def test_a_commit_comes_whole_and_the_token_stays_with_the_hub(tmp_path: Path) -> None:
    hub = Hub()
    with serving(hub) as url:
        done = download(url, tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert published(tmp_path / "m") == FILES
    marker = json.loads((tmp_path / "m" / ".complete.json").read_text())
    assert {path: one["by"] for path, one in marker["files"].items()} == {
        "config.json": "git-sha1",
        "model.safetensors": "sha256",
        "onnx/README.md": "git-sha1",
    }
    tokens = {path.startswith("/lfs/"): token for path, token, _ in hub.asked}
    assert tokens == {False: f"Bearer {TOKEN}", True: None}


def test_a_broken_connection_is_resumed(tmp_path: Path) -> None:
    hub = Hub(cut_after=[MIB + 4096])
    with serving(hub) as url:
        done = download(url, tmp_path / "m")
    assert done.returncode == 0, done.stderr
    assert published(tmp_path / "m") == FILES
    assert came(done.stdout) == sum(map(len, FILES.values()))
    ranges = [span for path, _, span in hub.asked if path.startswith("/lfs/")]
    assert len(ranges) == 2
    assert ranges[0] is None
    assert ranges[1] is not None


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_other_bytes_of_the_same_length_are_found(tmp_path: Path, name: str) -> None:
    spoilt = bytearray(FILES[name])
    spoilt[-2] ^= 1
    hub = Hub(files={**FILES, name: bytes(spoilt)})
    with serving(hub) as url:
        done = download(url, tmp_path / "m")
    assert done.returncode == 4
    assert f"{name}: expected" in done.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("source", ["hf://org/name@main", "hf://org/name", "ftp://org/name", "s3://"])
def test_a_source_that_names_no_commit_or_no_place_is_refused(tmp_path: Path, source: str) -> None:
    done = download("http://127.0.0.1:9", tmp_path / "m", source)
    assert done.returncode == 2
    assert "expected" in done.stderr


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    with serving(Hub()) as url:
        done = download(url, tmp_path / "m", f"hf://org/other@{COMMIT}")
    assert done.returncode == 2
    assert "answered 404" in done.stderr


def test_a_hub_that_cannot_be_reached_is_worth_another_run(tmp_path: Path) -> None:
    done = download("http://127.0.0.1:9", tmp_path / "m")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
