"""The transcripts beside the manifests are what the suite says today, and it says all that is missing."""

from __future__ import annotations

import socket

import pytest

from tests.deploy.transcripts import FOLDER, SESSIONS, recorded
from tests.kubernetes.rendering import ROOT, command

MISSING = {
    "minikube": [
        "program minikube", "program nvidia-smi", "GPU NVIDIA GeForce RTX 3060 here", "host llm.local",
        "context",
    ],
    "eks": ["program aws", "filled in", "context"],
}  # fmt: skip


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, 443))
    except OSError:
        return False


@pytest.mark.skipif(command() is None, reason="no kustomize: `make setup PARTS=kubernetes`")
@pytest.mark.parametrize("name", SESSIONS)
def test_a_transcript_is_what_is_said_today(name: str) -> None:
    if name == "minikube" and _resolves("llm.local"):
        pytest.skip("llm.local resolves on this machine, so its session would say so")
    kept = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert recorded(name) == kept, "python -m tests.deploy.transcripts makes them anew"


@pytest.mark.parametrize("name", SESSIONS)
def test_a_transcript_names_all_that_is_missing_at_once(name: str) -> None:
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"$ pytest {' '.join(SESSIONS[name])}"
    assert lines[1] == f"ERROR: {name} cannot be stood up from here: {', '.join(MISSING[name])}"
    assert sum(line.startswith("    MISSING ") for line in lines) == len(MISSING[name])
    assert lines[-2:] == ["$ echo $?", "4"]  # wrong usage: no claim was made, and nothing was created


@pytest.mark.parametrize("name", SESSIONS)
def test_the_guide_leads_there(name: str) -> None:
    assert f"../kubernetes/transcripts/{name}.txt" in (ROOT / "deploy/guides" / f"{name}.md").read_text()
