"""The one cluster of a session, for each folder of tests that needs it, and what `make test-cluster` asks."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.kubernetes.cluster import REQUIRED_VARIABLE, Kubectl, is_required, running

# A reason that begins so is a fact about this machine or cluster, and is allowed all the same.
DOES_NOT_FIT = "does not fit: "
NO_CLUSTER = 3  # exit status: neither pytest's "tests failed" nor its "nothing collected"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "kubernetes: needs an API server and a node; skipped where there is none"
    )


@pytest.fixture(scope="session")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """A cluster of the session's own, or the one that KUBE_TEST_CONTEXT names."""
    try:
        with running(tmp_path_factory.mktemp("kubernetes")) as found:
            yield found
    except pytest.skip.Exception as why:
        if is_required():
            pytest.exit(f"{why.msg}; {REQUIRED_VARIABLE} is set, so this is no success", NO_CLUSTER)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where a cluster is required a skipped proof is a failed one, unless it does not fit here."""
    report = yield
    if is_required() and item.get_closest_marker("kubernetes") and _is_missing(report):
        report.outcome = "failed"
        report.longrepr = f"skipped, where a cluster is required: {_reason(report)}"
    return report


def _is_missing(report: pytest.TestReport) -> bool:
    skipped = report.outcome == "skipped" and not hasattr(report, "wasxfail")
    return skipped and not _reason(report).removeprefix("Skipped: ").startswith(DOES_NOT_FIT)


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where a cluster is required a session in which nothing passed is no success."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    passed = terminal.stats.get("passed", ()) if terminal is not None else ()
    if (
        is_required()
        and exitstatus == pytest.ExitCode.OK
        and not passed
        and not session.config.option.collectonly
    ):
        session.exitstatus = NO_CLUSTER
