"""What the tests of the manifests share: the cluster, and the stack applied to it. One of each a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import CONTEXT_VARIABLE, Kubectl, running
from tests.kubernetes.stack import Stack, standing


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kubernetes: needs an API server and a node; skipped where there is none"
    )


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A cluster of the session's own."""
    with running(tmp_path_factory.mktemp("kubernetes")) as found:
        yield found


@pytest.fixture(scope="session")
def stack(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The local overlay, applied and rolled out."""
    is_ours = CONTEXT_VARIABLE not in os.environ
    with standing(kubectl, Path(tmp_path_factory.mktemp("stack")), is_ours=is_ours) as found:
        yield found
