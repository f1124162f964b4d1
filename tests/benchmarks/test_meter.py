"""The meter: one small command each, and what its whole tree used; nothing of it is left.

It runs as it always does, in a process of its own: it takes every child of its process for its command's.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.meter import Usage
from benchmarks.place import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, adopts orphans")

MIB = 2**20
BOUND_S = 10.0
# As it is, but quick to look and to lose patience; "seen" tells the command that both were seen.
METER = """
import sys
from pathlib import Path
from benchmarks import meter
meter.GRACE_S, meter.LOOK_EVERY_S, look = 0.3, 0.02, meter.Memory.look
def told(memory, processes):
    look(memory, processes)
    if memory.peak_bytes > 100 * 2**20 and memory.largest_bytes > 60 * 2**20:
        Path("seen").touch()
meter.Memory.look = told
sys.exit(meter.main(sys.argv[1:]))
"""
BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
CHILD = f"import sys\n{BURN}held = b'x' * {60 * MIB}\nsys.stdin.read()\n"
PARENT = f"""
import subprocess, sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
child = subprocess.Popen([sys.executable, "-IS", "-c", {CHILD!r}], stdin=subprocess.PIPE)
{BURN}
held, until = b"x" * {40 * MIB}, time.monotonic() + 5
while not Path("seen").exists() and time.monotonic() < until: time.sleep(0.01)
child.communicate()
used = [getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)]
Path("cpu").write_text(str(sum(one.ru_utime + one.ru_stime for one in used)))
"""
LEAVES = f"""
import os, subprocess, sys
left = {BURN!r} + "print(flush=True); time.sleep(30)"
child = subprocess.Popen([sys.executable, "-IS", "-c", left], stdout=subprocess.PIPE, start_new_session=True)
open("pid", "w").write(str(child.pid))
child.stdout.readline()
os._exit(7)
"""
DEAF = 'trap "" TERM; setsid sleep 30 & echo $! > pid; sleep 30; exit 1'


def _usage(folder: Path, limit_s: float, *argv: str) -> Usage:
    meter = [sys.executable, "-c", METER, "usage.json", str(limit_s), "--", *argv]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(meter, cwd=folder, env=env, check=True, timeout=BOUND_S)
    return Usage(**json.loads((folder / "usage.json").read_text()))


def _is_gone(folder: Path) -> bool:
    """Whether the process that wrote its id there has ended and was waited for."""
    return not Path(f"/proc/{int((folder / 'pid').read_text())}").exists()


def test_a_tree_of_two_is_counted_together(tmp_path: Path) -> None:
    usage = _usage(tmp_path, 8.0, sys.executable, "-IS", "-c", PARENT)
    assert (usage.status, usage.processes_left, usage.timed_out) == (0, 0, False)
    told_s = float((tmp_path / "cpu").read_text())  # by the command itself, just before its end
    assert 0.4 <= told_s <= usage.cpu_s < told_s + 0.2
    assert 100 * MIB <= usage.peak_rss_bytes < 160 * MIB  # 40 + 60, and two bare interpreters
    assert 60 * MIB <= usage.largest_rss_bytes < 95 * MIB
    assert (tmp_path / "seen").exists()  # while they ran, not by the kernel's marks at their end


def test_what_a_command_leaves_behind_is_counted_and_ended(tmp_path: Path) -> None:
    usage = _usage(tmp_path, 8.0, sys.executable, "-IS", "-c", LEAVES)
    assert (usage.status, usage.processes_left, usage.timed_out) == (7, 1, False)
    assert usage.cpu_s >= 0.2  # all but a little of it is the orphan's
    assert _is_gone(tmp_path)


def test_past_its_limit_a_command_is_asked_to_end(tmp_path: Path) -> None:
    usage = _usage(tmp_path, 0.2, "sleep", "30")
    assert (usage.status, usage.processes_left, usage.timed_out) == (-signal.SIGTERM, 0, True)
    assert usage.wall_s >= 0.2


def test_a_command_that_is_deaf_is_killed_with_what_went_to_a_session_of_its_own(tmp_path: Path) -> None:
    usage = _usage(tmp_path, 1.0, "sh", "-c", DEAF)
    assert (usage.status, usage.processes_left, usage.timed_out) == (-signal.SIGKILL, 2, True)
    assert _is_gone(tmp_path)


HEAVY = f"import subprocess, sys\nheld = b'x' * {150 * MIB}\nsys.exit(subprocess.call(sys.argv[1:]))"


def test_a_short_command_is_weighed_by_the_kernel_whoever_started_the_meter(tmp_path: Path) -> None:
    meter = [sys.executable, "-m", "benchmarks.meter", "usage.json", "8", "--"]
    argv = [sys.executable, "-IS", "-c", HEAVY, *meter, sys.executable, "-IS", "-c", f"b'x' * {60 * MIB}"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(argv, cwd=tmp_path, env=env, check=True, timeout=BOUND_S)
    usage = Usage(**json.loads((tmp_path / "usage.json").read_text()))
    assert 60 * MIB <= usage.largest_rss_bytes <= usage.peak_rss_bytes < 95 * MIB
