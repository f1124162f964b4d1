"""What an owner leaves behind, however it ends: nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from environments.binaries import ROOT
from tests.environments.census import BOUND_S, alive, all_gone, eventually, named, parent_of

KINDS = ("child", "orphan", "deaf", "stopped")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, as the warden does")


@contextmanager
def owner_of(folder: Path, *kinds: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """An owner in a process group of its own, and its descendants, wardens too."""
    command = [sys.executable, "-m", "tests.environments.owner", str(folder), *kinds]
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as owner:
        try:
            pids = named(folder, "root", "listener", *kinds)
            wardens = {f"warden of {name}": parent_of(pids[name]) for name in ("root", "listener")}
            yield owner, pids | wardens
        finally:
            owner.kill()
            owner.wait(BOUND_S)


def test_a_killed_owner_leaves_nobody(tmp_path: Path) -> None:
    with owner_of(tmp_path, *KINDS) as (owner, pids):
        assert all(alive(pid) for pid in pids.values())
        owner.send_signal(signal.SIGKILL)
        owner.wait(BOUND_S)
        all_gone(pids)


def test_a_killed_group_of_the_owner_leaves_nobody(tmp_path: Path) -> None:
    with owner_of(tmp_path, *KINDS) as (owner, pids):
        os.killpg(owner.pid, signal.SIGKILL)
        owner.wait(BOUND_S)
        all_gone(pids)


def test_an_owner_that_ends_in_good_order_leaves_nobody(tmp_path: Path) -> None:
    with owner_of(tmp_path, *KINDS) as (owner, pids):
        owner.terminate()
        assert owner.wait(BOUND_S) == 0
        assert {name: pid for name, pid in pids.items() if alive(pid)} == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_owners_group_does_not_reach_what_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    with owner_of(tmp_path, "child") as (owner, pids):
        assert {os.getpgid(pid) for pid in pids.values()}.isdisjoint({os.getpgid(owner.pid)})
        os.killpg(owner.pid, number)
        if number == signal.SIGINT:
            eventually(lambda: (tmp_path / "interrupted").exists(), "the owner notes the signal")
            assert all(alive(pid) for pid in pids.values())
            owner.terminate()
        owner.wait(BOUND_S)
        all_gone(pids)
    heard = (tmp_path / "heard").read_text().split() if (tmp_path / "heard").exists() else []
    # Signals are heard in the order in which they came: SIGINT would stand before the owner's SIGTERM.
    assert heard == (["SIGTERM"] if number == signal.SIGINT else [])
