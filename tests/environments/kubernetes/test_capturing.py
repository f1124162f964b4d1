"""A capture against an API server that is dictated: cut streams, Pods that vanish, events, a stop in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.kubernetes import following
from environments.kubernetes.api import Api
from environments.kubernetes.captured import logs_of, tail, written
from environments.kubernetes.capturing import capturing
from tests.environments.kubernetes.scripted_api import NAMESPACE, Script, scripted

BOUND_S = 15.0
Server = tuple[Script, Api]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(following, "PAUSE_S", 0.1)
    monkeypatch.setattr("environments.kubernetes.capturing.LOOK_EVERY_S", 0.1)
    monkeypatch.setattr("environments.kubernetes.capturing.EVENTS_EVERY_S", 0.2)
    with scripted(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "cluster"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)


def said(path: Path) -> list[str]:
    return list(written(path)) if path.exists() else []


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "capture.json").read_text())
    return found


def captured_of(folder: Path, file: str) -> str:
    (found,) = [one["captured"] for one in summary(folder)["logs"] if one["file"] == file]
    return str(found)


def test_a_log_is_there_from_its_first_line_with_its_instants(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("gateway-1")
    life.say("begins", after_s=0.25)
    with capturing(api, NAMESPACE, folder):
        path = folder / "gateway-1.main.log"
        until(lambda: said(path) == ["begins"])
        life.say("goes on", after_s=1.5)
        until(lambda: said(path) == ["begins", "goes on"])
    assert path.read_text() == "2026-03-01T12:00:00.25Z begins\n2026-03-01T12:00:01.5Z goes on\n"


# Of lines of 28 and 30 bytes in turn: within a line, at the end of one, within an instant, over and over.
@pytest.mark.parametrize("cuts", [[70], [56], [1], [40, 75, 110]], ids=str)
def test_a_stream_that_is_cut_is_gone_on_with_and_no_line_comes_twice(
    cuts: list[int], server: Server, folder: Path
) -> None:
    script, api = server
    life = script.pod("engine-1")
    for number in range(10):  # four in a second, two of them alike to the last digit
        life.say(f"line {number // 2}", after_s=(number // 2) * 0.5)
    life.breaks_after += cuts
    path, wanted = folder / "engine-1.main.log", [f"line {number // 2}" for number in range(10)]
    with capturing(api, NAMESPACE, folder):
        until(lambda: len(said(path)) >= 10)
        life.say("the last", after_s=60.0)
        until(lambda: "the last" in said(path))
    assert said(path) == [*wanted, "the last"]
    troubles = summary(folder)["troubles"]
    assert sum(count for name, count in troubles.items() if "cut" in name) == len(cuts)


def test_it_asks_on_from_the_whole_second_before_its_last_line(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("engine-1")
    life.say("one", after_s=7.75)
    life.breaks_after += [28]  # after the first line, of 28 bytes
    with capturing(api, NAMESPACE, folder):
        until(lambda: sum("/log?" in one for one in script.asked) > 1)
    followed = [one for one in script.asked if "/log?" in one and "follow=true" in one]
    assert "sinceTime" not in followed[0]
    assert "sinceTime=2026-03-01T12%3A00%3A06Z" in followed[1]


def test_what_a_node_says_in_place_of_a_line_is_no_line(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("engine-1")
    life.say("one\nrpc error: code = Unknown desc = Error: No such container: 5b16")
    with capturing(api, NAMESPACE, folder):
        until(lambda: said(folder / "engine-1.main.log") == ["one"])
        life.say("two", after_s=1.0)
        until(lambda: said(folder / "engine-1.main.log") == ["one", "two"])
        life.is_over = True
        script.ended("engine-1")
        until(lambda: captured_of(folder, "engine-1.main.log") == "no further: its node cannot read it")
    (trouble,) = summary(folder)["troubles"]
    assert trouble.startswith("in place of a line: rpc error: code = Unknown")


def test_a_log_that_is_there_a_moment_after_its_container_is_read(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("engine-1")
    life.say("made\nfailed to try resolving symlinks in path")
    script.ended("engine-1")
    with capturing(api, NAMESPACE, folder):
        until(lambda: sum("/log?" in one for one in script.asked) > 2)
        life.lines.clear()
        life.say("there it is", after_s=1.0)
        until(lambda: said(folder / "engine-1.main.log") == ["made", "there it is"])
        until(lambda: captured_of(folder, "engine-1.main.log") == "to its end")


def test_a_server_that_is_down_for_a_while_costs_no_line(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("engine-1")
    life.say("before")
    path = folder / "engine-1.main.log"
    with capturing(api, NAMESPACE, folder):
        until(lambda: said(path) == ["before"])
        script.is_down, life.is_over = True, True
        asked = len(script.asked)
        until(lambda: len(script.asked) > asked + 5)
        life.say("while nobody answered", after_s=2.0)
        script.is_down = False
        until(lambda: said(path) == ["before", "while nobody answered"])
    assert any("HTTP 503: etcd has no leader" in one for one in summary(folder)["troubles"])


def test_each_life_of_a_container_has_a_file_and_one_that_was_missed_is_fetched(
    server: Server, folder: Path
) -> None:
    script, api = server
    script.pod("engine-1", restarts=0).say("the first life, missed but for the server's copy")
    script.lives["engine-1", "main", 0].is_over = True
    script.pod("engine-1", restarts=1).say("the second life")
    with capturing(api, NAMESPACE, folder):
        until(lambda: len(said(folder / "engine-1.main.restart-1.log")) == 1)
        until(lambda: len(said(folder / "engine-1.main.log")) == 1)
        script.lives["engine-1", "main", 1].is_over = True
        script.pod("engine-1", restarts=2).say("the third life")
        until(lambda: len(said(folder / "engine-1.main.restart-2.log")) == 1)
    assert said(folder / "engine-1.main.log") == ["the first life, missed but for the server's copy"]
    assert said(folder / "engine-1.main.restart-1.log") == ["the second life"]
    assert said(folder / "engine-1.main.restart-2.log") == ["the third life"]
    assert captured_of(folder, "engine-1.main.restart-1.log") == "to its end"


def test_of_a_pod_that_vanishes_what_was_there_is_kept(server: Server, folder: Path) -> None:
    script, api = server
    life = script.pod("engine-1")
    life.say("its last words")
    path = folder / "engine-1.main.log"
    with capturing(api, NAMESPACE, folder):
        until(lambda: said(path) == ["its last words"])
        del script.pods["engine-1"]
        life.is_over = True
        until(lambda: captured_of(folder, "engine-1.main.log") != "it is being followed")
        del script.lives["engine-1", "main", 0]
        script.pod("engine-1", uid="another-Pod").say("of another")  # as a StatefulSet's
        until(lambda: (folder / "engine-1.main.another-.log").exists())
    assert said(path) == ["its last words"]
    assert said(folder / "engine-1.main.another-.log") == ["of another"]
    assert tail(folder, "main", 1).count("its last words") == 1


def test_it_ends_in_time_with_all_that_had_come(server: Server, folder: Path) -> None:
    script, api = server
    lives = [script.pod(f"quiet-{number}") for number in range(8)]
    with capturing(api, NAMESPACE, folder):
        until(lambda: len(list(folder.glob("quiet-*.log"))) == 8)
        until(lambda: all(f"quiet-{number}/log?" in " ".join(script.asked) for number in range(8)))
        for life in lives:
            life.is_stalled = True
        time.sleep(0.05)  # of five looks of the server's
        for life in lives:
            life.say("at the last moment")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5.0
    assert [said(path) for path in logs_of(folder, "main")] == [["at the last moment"]] * 8
    assert summary(folder)["ended"] is not None
    assert {one["captured"] for one in summary(folder)["logs"]} == {"until the capture ended"}


@pytest.mark.parametrize("silence", ["is_down", "is_mute"])
def test_it_ends_in_time_where_nobody_answers_any_more(silence: str, server: Server, folder: Path) -> None:
    script, api = server
    script.pod("engine-1").say("before")
    with capturing(api, NAMESPACE, folder):
        until(lambda: said(folder / "engine-1.main.log") == ["before"])
        setattr(script, silence, True)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5.0
    assert said(folder / "engine-1.main.log") == ["before"]


def test_what_may_not_be_read_is_said_and_asked_for_once(server: Server, folder: Path) -> None:
    script, api = server
    script.pod("engine-1")
    script.forbidden = ("/log", "/events")
    with capturing(api, NAMESPACE, folder):
        until(
            lambda: (
                (folder / "capture.json").exists() and "no further" in (folder / "capture.json").read_text()
            )
        )
    assert captured_of(folder, "engine-1.main.log") == "no further: it may not be read (HTTP 403)"
    assert sum("/log?" in one for one in script.asked) == 1
    assert any("events: HTTP 403" in one for one in summary(folder)["troubles"])


def test_it_reads_and_changes_nothing(server: Server, folder: Path) -> None:
    script, api = server  # the server knows no method but GET
    script.pod("engine-1")
    with capturing(api, NAMESPACE, folder) as capture:
        kinds = ("Pod", "Secret")
        capture.keep_applied(
            [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "engine-1"}} for kind in kinds]
        )
    assert (folder / "objects-applied.yaml").read_text() == (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: engine-1\n"
    )
    assert "uid-of-engine-1" in (folder / "objects-at-end.yaml").read_text()
    assert not any("secrets" in one for one in script.asked)
