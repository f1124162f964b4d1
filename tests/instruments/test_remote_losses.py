"""What is lost on the way: said with the post's name, within a bound, and nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import instruments
from instruments import fleet
from instruments.errors import ConfigurationError, JournalError, WorkerDied
from instruments.fleet import run_load
from instruments.journal import load_run
from instruments.records import Outcome
from tests.deploy.running import Simulator, simulator
from tests.instruments.posts import FAR, closed, gone, processes, spec, when_under_way

LONG = 5_000  # requests: more than are answered before somebody breaks it
ALL = ("instruments.remote.near", "instruments.remote.far", "instruments.worker")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Posts of this machine hear "go" sooner than those of another."""
    monkeypatch.setattr(fleet, "POSTS_START_IN_NS", 250_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator(tmp_path_factory.mktemp("losses"), "--ttft-ms", "5", "--itl-ms", "1") as one:
        yield one


def kill(find: Callable[[], list[int]], number: int = signal.SIGKILL) -> Callable[[], None]:
    return lambda: os.kill(find()[0], number)


def far_of(post: str) -> list[int]:
    """The far side of a post: below the near one that has its name in its arguments."""
    near = [
        pid
        for pid in processes("instruments.remote.near")
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[3] == post.encode()
    ]
    return [far for pid in near for far in processes("instruments.remote.far", pid)]


def worker_of(post: str) -> list[int]:
    return [worker for far in far_of(post) for worker in processes("instruments.worker", far)]


def running() -> list[int]:
    return [pid for module in ALL for pid in processes(module)]


def far_side() -> list[int]:
    return far_of("b")


@pytest.mark.parametrize(
    ("victim", "said"),
    [
        (far_side, "the load engine at b is lost: the connection has ended before the load's end"),
        (lambda: worker_of("b"), "the load engine at b is lost: its process ended with status -9"),
    ],
    ids=["far", "worker"],
)
def test_a_post_that_is_lost_is_named_and_the_others_journals_are_whole(
    server: Simulator, tmp_path: Path, victim: Callable[[], list[int]], said: str
) -> None:
    load = spec(server, tmp_path, closed(requests=LONG), FAR, FAR)
    killer = when_under_way(tmp_path / "load.2of2.jsonl", kill(victim))
    began_s = time.monotonic()
    with pytest.raises(WorkerDied) as caught:
        run_load(load)
    killer.join()
    assert caught.value.message == said
    assert time.monotonic() - began_s < 60
    assert running() == []
    other = (tmp_path / "load.1of2.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in other[-2:]] == ["end", "arrived"]
    run = load_run(load.journal)
    assert not run.complete
    assert "the run was cut off: the journal has no closing line" in run.problems
    # What a killed engine had written came over whole all the same; of a far side that is gone nobody knows.
    assert ("the part from b did not arrive whole" in run.problems) == (victim is far_side)
    assert len(run.records) >= LONG // 2  # the other's, those that it did not send included
    (tmp_path / "load.2of2.jsonl").unlink()
    assert "the journal of process 2 of 2 (b) is missing" in load_run(load.journal).problems


def test_no_engine_outlives_its_connection(server: Simulator, tmp_path: Path) -> None:
    """The near side is killed, as with its machine: the far one and its engine end by themselves."""
    load = spec(server, tmp_path, closed(requests=LONG), FAR)
    there: list[int] = []

    def cut() -> None:
        there.extend([*far_of("a"), *worker_of("a")])
        os.kill(processes("instruments.remote.near")[0], signal.SIGKILL)

    killer = when_under_way(load.journal, cut)
    with pytest.raises(WorkerDied, match="from a is gone: it ended with status -9"):
        run_load(load)
    killer.join()
    assert len(there) == 2
    assert gone(there)


def test_an_interrupt_stops_all_and_keeps_what_was_measured(server: Simulator, tmp_path: Path) -> None:
    load = spec(server, tmp_path, closed(requests=LONG), FAR, FAR)
    interrupter = when_under_way(tmp_path / "load.1of2.jsonl", lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_load(load)
    interrupter.join()
    run = load_run(load.journal)
    assert {Outcome.COMPLETED, Outcome.NOT_SENT} <= {one.outcome for one in run.records}
    assert (run.stopped_because, run.problems) == ("the run was interrupted", ())
    assert [one.index for one in run.records] == list(range(LONG))
    assert running() == []


def meddled(how: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.instruments.meddler", how, "--", *FAR)


@pytest.mark.parametrize("how", ["alter", "drop"])
def test_a_journal_that_changed_on_its_way_voids_the_run(server: Simulator, tmp_path: Path, how: str) -> None:
    load = spec(server, tmp_path, closed(), FAR, meddled(how))
    with pytest.raises(JournalError) as caught:
        run_load(load)
    assert caught.value.message == "the part of the load from b did not arrive as it was written"
    assert "the part from b did not arrive whole" in load_run(load.journal).problems


def changed(text: str, how: str) -> str:
    lines = text.splitlines(keepends=True)
    if how == "cut":
        return "".join(lines[:-3])
    if how == "a digit":
        return text.replace('"status":200', '"status":201', 1)
    if how == "a line more":
        return "".join([*lines[:-1], lines[1], lines[-1]])
    return "".join([lines[0], *lines[2:]])


@pytest.mark.parametrize("how", ["cut", "a digit", "a line more", "a line less"])
def test_a_part_that_is_changed_afterwards_is_no_evidence(
    server: Simulator, tmp_path: Path, how: str
) -> None:
    load = spec(server, tmp_path, closed(), FAR, FAR)
    assert run_load(load).complete
    part = tmp_path / "load.1of2.jsonl"
    part.write_text(changed(part.read_text(), how))
    run = load_run(load.journal)
    assert not run.complete
    assert any(problem.startswith("the part from a ") for problem in run.problems)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/no/such/program",), "a cannot be reached"),
        (("false",), "the load engine at a is lost: the connection has ended before the load's end"),
        (("echo", "Defaulted container"), "the load engine at a is lost: something else than a load engine"),
    ],
    ids=["nothing", "refused", "garbage"],
)
def test_a_command_that_leads_nowhere_is_said(
    server: Simulator, tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    with pytest.raises(WorkerDied) as caught:
        run_load(spec(server, tmp_path, closed(), command))
    assert caught.value.message.startswith(said)


def test_words_of_what_is_not_ready_are_shown(server: Simulator, tmp_path: Path) -> None:
    """An error in which that word is, is no engine that says it."""
    unready = ("sh", "-c", "echo 'error: the container is not ready' >&2; exit 1")
    with pytest.raises(WorkerDied, match="the load engine at a is lost: ") as caught:
        run_load(spec(server, tmp_path, closed(), unready))
    assert caught.value.seen == "its command ended with status 1; error: the container is not ready"


def test_an_engine_of_another_working_tree_is_refused(server: Simulator, tmp_path: Path) -> None:
    """The parts of a load are sent alike, or not at all."""
    room = tmp_path / "instruments"
    shutil.copytree(Path(instruments.__file__).parent, room, ignore=shutil.ignore_patterns("__pycache__"))
    with (room / "limits.py").open("a") as file:
        file.write("# another\n")
    other = ("sh", "-c", f"cd {tmp_path} && exec {sys.executable} -m instruments.remote.far")
    with pytest.raises(ConfigurationError, match="the load engine at b is not the one of this machine"):
        run_load(spec(server, tmp_path, closed(), FAR, other))
    assert running() == []


def test_a_disk_that_is_full_there_is_said_with_the_posts_name(server: Simulator, tmp_path: Path) -> None:
    full = ("sh", "-c", 'ulimit -f 8; exec "$@"', "far", *FAR)
    with pytest.raises(JournalError, match=r"^a: cannot write the journal "):
        run_load(spec(server, tmp_path, closed(requests=2_000), full))
