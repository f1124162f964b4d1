"""The watchdog over real processes: kill, hang, crash loop, slow start, order of the stop, no orphan."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from environments.ports import take_port
from tests.deploy.watchdog_stage import KEY, child, probe, watchdog
from tests.environments.census import alive, eventually


def port() -> int:
    return take_port(0, "test")


def asked(folder: Path) -> int:
    """How many completions the engine was asked for."""
    file = folder / "engine.asked"
    return len(file.read_text()) if file.exists() else 0


def test_a_killed_child_is_started_again_with_its_key_and_the_outage_is_told(tmp_path: Path) -> None:
    with watchdog(tmp_path, {"engine": child("engine", port(), tmp_path)}) as dog:
        dog.until("healthy")
        [[first, grandchild]] = dog.pids("engine")
        os.kill(first, signal.SIGKILL)
        again = dog.until("healthy", 2)
        failed = dog.until("failed")
        assert (failed["reason"], failed["detail"]) == ("exit", "exit status 137")  # 128 + SIGKILL
        assert dog.until("restart")["delay_s"] == 0.05
        assert 0.05 <= again["outage_s"] < 10  # the delay at least
        assert dog.metric('watchdog_restarts_total{child="engine",reason="exit"}') == 1.0
        assert dog.metric('watchdog_child_up{child="engine"}') == 1.0
        assert not alive(grandchild)  # of the first one: it would hold the device's memory
        assert (tmp_path / "engine.key").read_text() == KEY
        for pid in (dog.process.pid, dog.pids("engine")[1][0]):
            assert KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert KEY not in (tmp_path / "watchdog.log").read_text()


def test_a_stopped_child_is_found_by_its_health_and_a_stopped_core_by_a_request(tmp_path: Path) -> None:
    two = {"gateway": child("gateway", port(), tmp_path)}
    engine_port = port()
    two["engine"] = child("engine", engine_port, tmp_path, probe=probe(engine_port))
    with watchdog(tmp_path, two) as dog:
        dog.until("healthy", 2)
        os.kill(dog.pids("gateway")[0][0], signal.SIGSTOP)
        assert dog.until("failed", child="gateway")["reason"] == "health"
        dog.until("healthy", 2, child="gateway")
        (tmp_path / "engine.hang").touch()  # its /health goes on to say 200
        failed = dog.until("failed", child="engine")
        assert (failed["reason"], failed["detail"]) == ("probe", "2 in a row: no token in 0.4 s")
        (tmp_path / "engine.hang").unlink()
        dog.until("healthy", 2, child="engine")
        eventually(lambda: not alive(dog.pids("engine")[0][0]), "the hung one is gone", 5.0)


def test_a_busy_engine_is_not_taken_for_a_hung_one(tmp_path: Path) -> None:
    number = port()
    watched = probe(number, metrics_url=f"http://127.0.0.1:{number}/metrics")
    with watchdog(tmp_path, {"engine": child("engine", number, tmp_path, probe=watched)}) as dog:
        dog.until("healthy")
        (tmp_path / "engine.busy").touch()  # no answer to the probe, but tokens come for others
        before = asked(tmp_path)
        # The first may have begun before, the last may be under way: two in a row found no token.
        eventually(lambda: asked(tmp_path) >= before + 4, "several probes came to nothing", 15.0)
        assert dog.events("failed") == []
        (tmp_path / "engine.hang").touch()
        (tmp_path / "engine.busy").unlink()
        assert dog.until("failed")["reason"] == "probe"


def test_a_crash_loop_is_given_up_on_loudly_and_the_others_are_stopped(tmp_path: Path) -> None:
    two = {"exporter": child("exporter", port(), tmp_path), "engine": child("engine", 1, tmp_path, "crash")}
    with watchdog(tmp_path, two, most=3, within_s=60) as dog:
        assert dog.exit_code() == 4
        assert len(dog.pids("engine")) == 4  # the first start and 3 restarts
        assert [one["delay_s"] for one in dog.events("restart")] == [0.05, 0.1, 0.2]
        [line] = dog.events("gave_up")
        assert (line["level"], line["child"], line["restarts"]) == ("critical", "engine", 3)
        assert dog.events("failed")[0]["detail"] == "exit status 7"
        dog.none_is_left()


def test_a_slow_start_is_left_alone_and_one_that_never_ends_is_not(tmp_path: Path) -> None:
    slow = child("engine", port(), tmp_path, "slow=1.5")  # two failed checks would be there after 0.2 s
    never = child("gateway", port(), tmp_path, "slow=600", start_timeout_s=1)
    with watchdog(tmp_path, {"engine": slow, "gateway": never}, first_delay_s=10, longest_delay_s=10) as dog:
        dog.until("healthy", child="engine")
        failed = dog.until("failed", child="gateway")
        assert failed["reason"] == "start_timeout"
        assert failed["detail"].startswith("not healthy in 1 s: ")
        assert dog.events("failed", child="engine") == []
        assert len(dog.pids("engine")) == 1


def test_sigterm_stops_the_last_child_first_and_kills_a_deaf_one_within_its_bound(tmp_path: Path) -> None:
    three = {
        "engine": child("engine", port(), tmp_path),
        "exporter": child("exporter", port(), tmp_path, "deaf", stop_timeout_s=0.5),
        "gateway": child("gateway", port(), tmp_path),
    }
    with watchdog(tmp_path, three) as dog:
        dog.until("healthy", 3)
        dog.process.send_signal(signal.SIGTERM)
        assert dog.exit_code() == 0
        assert (tmp_path / "order").read_text().split() == ["gateway", "exporter", "engine"]
        stopped = {one["child"]: one["status"] for one in dog.events("stopped")}
        assert stopped == {"gateway": 0, "exporter": 137, "engine": 0}
        dog.none_is_left()


def test_no_orphan_is_left_when_the_watchdog_is_killed(tmp_path: Path) -> None:
    with watchdog(tmp_path, {"engine": child("engine", port(), tmp_path, "deaf")}) as dog:
        dog.until("healthy")
        dog.process.kill()
        dog.exit_code()
        dog.none_is_left()
        assert len(dog.pids("engine")) == 1


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    with watchdog(tmp_path, {"engine": child("engine", port(), tmp_path, "deaf", stop_timeout_s=60)}) as dog:
        dog.until("healthy")
        dog.process.send_signal(signal.SIGTERM)
        dog.until("stopping")
        dog.process.send_signal(signal.SIGINT)
        assert dog.exit_code() == 128 + signal.SIGINT
        dog.none_is_left()
