"""A process under its warden: it starts clean, its end is told, and all of it dies on stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from environments.process import Process
from environments.provider import Secret, StackDied
from tests.environments.census import alive, all_gone, command_lines, eventually, named, parent_of

TREE = Path(__file__).with_name("tree.py")
Start = Callable[..., Process]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, as the warden does")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program in the test's folder; whatever is left of it is stopped."""
    started: list[Process] = []

    def begin(*command: str | Path, environment: dict[str, str | Secret] | None = None) -> Process:
        log = tmp_path / "logs" / f"program-{len(started)}.log"
        process = Process.start("program", command, log=log, cwd=tmp_path, environment=environment)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.stop(grace_s=0.1)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    "kinds",
    [("child",), ("orphan",), ("deaf",), ("stopped",), ("deaf-root", "child"), ("orphan", "deaf", "stopped")],
    ids="+".join,
)
def test_stop_leaves_nobody_of_a_tree(start: Start, tmp_path: Path, kinds: tuple[str, ...]) -> None:
    process = start(sys.executable, TREE, tmp_path, *kinds)
    pids = named(tmp_path, "root", *(kind for kind in kinds if kind != "deaf-root"))
    assert pids["root"] == process.pid
    assert all(alive(pid) for pid in pids.values())
    process.stop(grace_s=0.3)
    assert {kind: pid for kind, pid in pids.items() if alive(pid)} == {}


def test_children_of_a_program_that_ended_by_itself_go_too(start: Start, tmp_path: Path) -> None:
    start(sys.executable, TREE, tmp_path, "orphan", "child")
    pids = named(tmp_path, "root", "orphan", "child")
    os.kill(pids["root"], signal.SIGTERM)
    all_gone(pids)


def test_a_stopped_program_is_woken_to_hear_sigterm(start: Start, tmp_path: Path) -> None:
    process = start(
        *python(
            "import os, pathlib, signal, sys, time\n"
            "def bye(*_): pathlib.Path('said').write_text('bye'); sys.exit(0)\n"
            "signal.signal(signal.SIGTERM, bye)\n"
            "pathlib.Path('root.pid').write_text(str(os.getpid()))\n"
            "os.kill(os.getpid(), signal.SIGSTOP)\n"
            "time.sleep(600)"
        )
    )
    eventually(lambda: _state(process) == "T", "the program is stopped")
    process.stop(grace_s=30.0)
    assert (tmp_path / "said").read_text() == "bye"


def test_stop_waits_no_longer_than_its_grace_for_the_deaf(start: Start, tmp_path: Path) -> None:
    process = start(sys.executable, TREE, tmp_path, "deaf-root")
    named(tmp_path, "root")
    began = time.monotonic()
    process.stop(grace_s=0.5)
    took_s = time.monotonic() - began
    assert 0.5 <= took_s < 0.5 + 6.0 + 5.0, "the grace, and no more than the bounds of warden and owner"


def test_stop_twice_is_stop_once(start: Start) -> None:
    process = start("sleep", "600")
    process.stop()
    process.stop()
    process.check()  # its end was asked for: nobody died


def test_a_program_that_runs_has_not_ended(start: Start) -> None:
    process = start("sleep", "600")
    assert process.ended is None
    process.check()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(0)", "exit code 0"),
        ("raise SystemExit(3)", "exit code 3"),
        ("raise SystemExit(255)", "exit code 255"),
        ("import os; os.kill(os.getpid(), 9)", "killed by signal 9 (SIGKILL)"),
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11 (SIGSEGV)"),
    ],
)
def test_how_a_program_ended_is_told(start: Start, code: str, told: str) -> None:
    process = start(*python(f"print('its last words', flush=True); {code}"))
    eventually(lambda: process.ended is not None, "the program has ended")
    assert process.ended == told
    with pytest.raises(StackDied) as death:
        process.check()
    assert death.value.message == f"program died: {told}"
    assert death.value.component == "program"
    assert "its last words" in death.value.log_tail
    assert "program-0.log" in str(death.value)


def test_a_missing_program_is_one_clear_error(start: Start) -> None:
    process = start("no-such-program", "--flag")
    eventually(lambda: process.ended is not None, "the warden has given up")
    with pytest.raises(StackDied, match="exit code 127") as death:
        process.check()
    assert death.value.log_tail == "cannot run no-such-program: No such file or directory"


def test_a_program_that_may_not_be_run_is_one_clear_error(start: Start, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("no program")
    process = start(tmp_path / "plain.txt")
    eventually(lambda: process.ended is not None, "the warden has given up")
    assert process.ended == "exit code 127"
    assert process.log_tail().endswith("plain.txt: Permission denied")


def test_the_tail_of_a_log_is_its_last_lines(start: Start) -> None:
    process = start(*python("for n in range(100): print('line', n)"))
    eventually(lambda: process.ended is not None, "the program has ended")
    assert process.log_tail(3) == "line 97\nline 98\nline 99"


def test_secrets_are_in_the_environment_and_in_no_command_line(start: Start, tmp_path: Path) -> None:
    key = "sk-in-no-command-line"
    code = "import os, pathlib, time; pathlib.Path('key').write_text(os.environ['KEY']); time.sleep(600)"
    start(*python(code), environment={"KEY": Secret(key)})
    eventually(lambda: (tmp_path / "key").exists() and (tmp_path / "key").read_text(), "the key is read")
    assert (tmp_path / "key").read_text() == key
    assert [line for _, line in command_lines() if key in line] == []


def test_the_callers_keys_and_proxies_are_not_handed_on(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-of-the-caller")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid")
    process = start(
        *python("import json, os, pathlib; pathlib.Path('seen').write_text(json.dumps(dict(os.environ)))")
    )
    eventually(lambda: process.ended is not None, "the program has ended")
    seen = json.loads((tmp_path / "seen").read_text())
    assert "PATH" in seen
    assert not {"SOME_API_KEY", "HTTPS_PROXY"} & set(seen)


def test_a_program_dies_with_its_warden(start: Start) -> None:
    process = start("sleep", "600")
    eventually(lambda: process.pid, "the program runs")
    pid = process.pid
    assert pid is not None
    os.kill(parent_of(pid), signal.SIGKILL)
    all_gone({"program": pid})
    eventually(lambda: process.ended is not None, "the warden's end is seen")
    assert process.ended == "its warden was killed by signal 9"


def _state(process: Process) -> str:
    if process.pid is None:
        return ""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_children_of_a_program_whose_warden_was_killed_go_with_stop(start: Start, tmp_path: Path) -> None:
    """As nginx's workers: nobody tells them that their master is gone, and they would keep its ports."""
    process = start(sys.executable, TREE, tmp_path, "child", "deaf")
    pids = named(tmp_path, "root", "child", "deaf")
    os.kill(parent_of(pids["root"]), signal.SIGKILL)
    all_gone({"root": pids["root"]})
    process.stop()
    all_gone(pids, 5.0)


def test_a_death_on_purpose_is_no_death_and_it_can_be_started_again(start: Start, tmp_path: Path) -> None:
    """Each start writes a line to the same log, and has the environment and the arguments of the first."""
    said = python("import os; print(os.environ['WORD'], flush=True); import time; time.sleep(60)")
    process = start(*said, environment={"WORD": Secret("again-and-again")})
    log = tmp_path / "logs" / "program-0.log"
    eventually(lambda: log.read_text().count("again-and-again") == 1, "its first word")
    first = process.pid
    process.signal(signal.SIGKILL)
    eventually(lambda: process.ended is not None, "its end")
    assert process.ended == "killed by signal 9 (SIGKILL)"
    process.check()
    process.again()
    eventually(lambda: log.read_text().count("again-and-again") == 2, "its second word")
    assert process.pid not in (None, first)
    assert process.ended is None
    os.kill(process.pid or 0, signal.SIGKILL)  # by nobody's purpose
    eventually(lambda: process.ended is not None, "its end")
    with pytest.raises(StackDied, match="SIGKILL"):
        process.check()


def test_one_that_runs_is_stopped_before_it_is_started_again(start: Start) -> None:
    process = start(*python("import time; time.sleep(60)"))
    eventually(lambda: process.pid is not None, "its pid")
    first = process.pid
    process.again()
    eventually(lambda: process.pid not in (None, first), "another pid")
    assert first is not None
    assert not alive(first)
