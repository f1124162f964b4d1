"""What the proofs in a cluster share: one cluster a session, sessions of the suite in it, and its listing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.listing import Named, listing, unchanged
from tests.cluster.sessions import Context, Sessions, context_of
from tests.kubernetes.cluster import Kubectl


def pytest_configure(config: pytest.Config) -> None:
    # Once, whichever folder is collected first: two registrations would be two clusters.
    config.pluginmanager.import_plugin("tests.kubernetes.cluster_fixture")


@pytest.fixture(scope="session")
def context(kubectl: Kubectl) -> Context:
    """The context's name and the environment of what uses it: `Context.name`, `.environment`, `.words`."""
    return context_of(kubectl)


@pytest.fixture
def sessions(context: Context, tmp_path: Path) -> Sessions:
    """`sessions("-m", "smoke", "--env", "cluster", bound_s=200)` → Ended: code, output, folder, run_id, run;
    `with sessions.started(…) as run:` for one that is interrupted. Context and results are given already."""
    return Sessions(context, tmp_path / "sessions")


@pytest.fixture
def before(kubectl: Kubectl) -> frozenset[Named]:
    """All that the API server had when this test began; for `left`."""
    return listing(kubectl)


@pytest.fixture
def left(kubectl: Kubectl, before: frozenset[Named]) -> Callable[..., list[str]]:
    """`left(ended.run_id, …)`: what came and what went since the test began; [] where nothing did. The ids
    matter only in a cluster that others use too (KUBE_TEST_CONTEXT)."""
    return lambda *runs, **bounds: unchanged(kubectl, before, *runs, **bounds)
