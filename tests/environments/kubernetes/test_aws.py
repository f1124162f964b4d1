"""Pod Identity is asked of `aws`, within a bound; that it cannot be asked is said, and is no failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from environments.kubernetes import aws
from tests.environments.kubernetes.dictated import ARN, Document

ENGINE: list[Document] = [
    {
        "kind": "Deployment",
        "spec": {
            "template": {
                "spec": {
                    "serviceAccountName": "vllm-engine",
                    "initContainers": [{"args": ["s3://weights/m"]}],
                }
            }
        },
    }
]


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """An `aws` that keeps its arguments and says what it is told to."""
    stub = folder / "aws"
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >{folder}/asked\n{text}\n')
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "asked"


@pytest.mark.parametrize(("account", "ok"), [("vllm-engine", True), ("other", False)])
def test_who_has_the_role(account: str, ok: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.dumps({"associations": [{"serviceAccount": account, "namespace": "vllm"}]})
    asked = program(tmp_path, monkeypatch, f"echo '{found}'")
    (row,) = aws.pod_identity(ARN, "vllm", ENGINE)
    assert (row.ok, row.seen) == (ok, f"associated in vllm: {account}")
    assert asked.read_text().split() == [
        "eks", "list-pod-identity-associations", "--cluster-name", "slo", "--region", "us-east-1",
        "--namespace", "vllm", "--output", "json",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["exit 255", "echo no JSON", "echo '{}'"])
def test_an_aws_that_does_not_say_leaves_it_open(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, monkeypatch, text)
    (row,) = aws.pod_identity(ARN, "vllm", ENGINE)
    assert row.ok is None


def test_a_role_is_tied_to_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace of the run's own has a name that no association can know."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = aws.pod_identity(ARN, None, ENGINE)
    assert row.ok is False
    assert list(aws.pod_identity(ARN, None, [])) == []  # no weights from a bucket, no role
    (row,) = aws.pod_identity("minikube", "vllm", ENGINE)
    assert (row.ok, row.seen) == (None, "minikube is no EKS cluster's name: not asked")


def test_a_quota_is_only_awss_to_tell() -> None:
    assert list(aws.quota(None)) == []
    (row,) = aws.quota("aws")
    assert row.ok is None
