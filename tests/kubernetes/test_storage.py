"""Weights and volumes: the init container says what deploy/weights takes; volumes are of known classes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from tests.kubernetes.rendering import KUBERNETES, OVERLAYS, ROOT, Workload, named, of_kind

BUCKET = "<BUCKET>"  # stands where a name has to be put in
NO_NAME_WAS_PUT_IN = 3  # deploy.weights: bytes did not come
REFUSED = 2  # deploy.weights: credentials or names cannot be used
BROUGHT = {"minikube": {"standard"}, "eks": set(), "kubeadm": {"local-path"}}  # what a place has beside ours

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def engine(overlay: str) -> dict[str, Any]:
    """The Pods' template of the engine."""
    return Workload(named(f"overlays/{overlay}", "Deployment", "vllm-engine")).pod


def weights(overlay: str) -> dict[str, Any]:
    """The container that fetches the weights."""
    (found,) = engine(overlay)["initContainers"]
    return dict(found)


class Asked(ThreadingHTTPServer):
    """A server in S3's and Hugging Face's place, which refuses all it is asked for, and remembers it."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Asked)
        self.server.paths.append(self.path)
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked() -> Iterator[Asked]:
    """The server, running."""
    with Asked() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=10)


def fetched(arguments: list[str], folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """deploy.weights with a container's arguments, `folder` mounted where the container has /models."""
    moved = [
        str(folder) + one.removeprefix("/models") if one.startswith("/models/") else one for one in arguments
    ]
    once = ["--attempts", "1", "--pause-s", "0"]
    variables = {"HF_ENDPOINT": url, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "HOME": str(folder),
                 "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}  # fmt: skip
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))}
    return subprocess.run(
        [sys.executable, "-m", "deploy.weights", *moved, *once],
        cwd=ROOT,
        env={**plain, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


TINY, SMALL = "fe8a4ea1ffedaf415f4da2f062534de366a451e6", "0cb88a4f764b7a12671c53f0838cd831a0843b95"
ASKED_FOR = {
    "minikube": f"/api/models/TinyLlama/TinyLlama-1.1B-Chat-v1.0/revision/{TINY}",
    "kubeadm": f"/api/models/meta-llama/Llama-3.2-3B-Instruct/revision/{SMALL}",
    "eks": "/mine?list-type=2&prefix=models%2Fllama-3.1-8b-instruct%2F",
}


class TestWeights:
    @overlays
    def test_the_program_takes_the_arguments_and_asks_for_that_model(
        self, overlay: str, asked: Asked, tmp_path: Path
    ) -> None:
        arguments = [one.replace(BUCKET, "mine") for one in weights(overlay)["args"]]
        done = fetched(arguments, tmp_path, asked.url)
        assert [one for one in asked.paths if one.startswith(ASKED_FOR[overlay])], asked.paths
        assert done.returncode == REFUSED, done.stderr
        assert "answered 403" in done.stderr or "AccessDenied" in done.stderr

    def test_without_the_buckets_name_it_fails_and_asks_nobody(self, asked: Asked, tmp_path: Path) -> None:
        assert BUCKET in weights("eks")["args"][0]
        done = fetched(weights("eks")["args"], tmp_path, asked.url)
        assert done.returncode == NO_NAME_WAS_PUT_IN
        assert BUCKET in done.stderr
        assert asked.paths == []

    @overlays
    def test_they_go_into_a_folder_of_the_volume_which_the_engine_loads(self, overlay: str) -> None:
        container, destination = weights(overlay), PurePosixPath(weights(overlay)["args"][1])
        (volume,) = [one for one in container["volumeMounts"] if one["name"] == "weights"]
        assert PurePosixPath(volume["mountPath"]) == destination.parent, "a sibling must fit beside it"
        assert not volume.get("readOnly")
        (served,) = engine(overlay)["containers"]
        assert served["args"][0] == str(destination)
        assert {"name": "weights", "mountPath": str(destination.parent), "readOnly": True} in served[
            "volumeMounts"
        ]

    @overlays
    def test_only_a_place_with_an_identity_for_pods_reads_from_s3(self, overlay: str) -> None:
        assert weights(overlay)["args"][0].startswith("s3://") == (overlay == "eks")

    @overlays
    def test_the_image_is_started_by_its_own_entry(self, overlay: str) -> None:
        assert "command" not in weights(overlay), "it has no shell"


def classes(overlay: str) -> set[str]:
    """Names of the storage classes that an overlay's volumes ask for."""
    claims = [one["spec"] for one in of_kind(f"overlays/{overlay}", "PersistentVolumeClaim")]
    claims += [
        one["ephemeral"]["volumeClaimTemplate"]["spec"]
        for one in engine(overlay)["volumes"]
        if "ephemeral" in one
    ]
    return {one.get("storageClassName", "standard") for one in claims}


class TestClasses:
    @overlays
    def test_each_is_there(self, overlay: str) -> None:
        ours = {one["metadata"]["name"] for one in of_kind(f"overlays/{overlay}", "StorageClass")}
        assert classes(overlay) <= ours | BROUGHT[overlay]
        assert classes(overlay)

    def test_prometheus_volume_on_eks_is_of_ours(self) -> None:
        values = yaml.safe_load((KUBERNETES / "values" / "kube-prometheus-stack-eks.yaml").read_text())
        claim = values["prometheus"]["prometheusSpec"]["storageSpec"]["volumeClaimTemplate"]["spec"]
        assert {claim["storageClassName"]} == classes("eks")

    def test_gp3_is_encrypted_and_waits_for_its_pod(self) -> None:
        (found,) = of_kind("overlays/eks", "StorageClass")
        assert found["provisioner"] == "ebs.csi.aws.com"
        assert found["parameters"] == {"type": "gp3", "encrypted": "true"}
        assert found["volumeBindingMode"] == "WaitForFirstConsumer"
