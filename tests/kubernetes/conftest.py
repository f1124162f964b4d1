"""What the tests of the manifests share: the cluster, and the stack applied to it. One of each a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.cluster import CONTEXT_VARIABLE, Kubectl, why_no_overlay
from tests.kubernetes.stack import Stack, standing


def pytest_configure(config: pytest.Config) -> None:
    # Once, whichever folder is collected first: two registrations would be two clusters.
    config.pluginmanager.import_plugin("tests.kubernetes.cluster_fixture")


@pytest.fixture(scope="session")
def stack(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The local overlay, applied and rolled out."""
    if reason := why_no_overlay(kubectl):
        pytest.skip(reason)
    is_ours = CONTEXT_VARIABLE not in os.environ
    with standing(kubectl, Path(tmp_path_factory.mktemp("stack")), is_ours=is_ours) as found:
        yield found
