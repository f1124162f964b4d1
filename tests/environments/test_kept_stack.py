"""`make stack`: it comes up in the background, serves sessions of suites, leaves nobody, however it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from environments.binaries import ROOT
from environments.provider import StackDied
from environments.running import running_profile, running_stack
from instruments.errors import ConfigurationError
from tests.environments.census import alive, all_gone, children_of, command_lines, eventually
from tests.environments.kept_stack import NEVER, QUICK, Kept, require_parts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc, as the warden does")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One stack for those who do it no harm."""
    require_parts()
    kept = Kept(tmp_path_factory.mktemp("kept"))
    done = kept.run("up", "--env", kept.profile(QUICK))
    assert done.returncode == 0, done.stdout + done.stderr
    (kept.folder / "said").write_text(done.stdout)
    yield kept
    kept.end()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """A folder for a stack of the test's own."""
    found = Kept(tmp_path)
    yield found
    found.end()


def test_it_says_where_it_is_where_the_key_lies_and_how_to_stop_it(up: Kept) -> None:
    said, document = (up.folder / "said").read_text(), up.document()
    for words in (
        document["base_url"],
        "authorization",
        "ca.pem",
        "make stack-down",
        "make smoke",
        "SIMULATED",
    ):
        assert words in said
    assert document["base_url"] == document["ingress_url"]


def test_what_it_prints_is_enough_to_ask_it_something(up: Kept) -> None:
    name, _, value = (up.place / "authorization").read_text().strip().partition(": ")
    trusting = ssl.create_default_context(cafile=str(up.place / "ca.pem"))
    with httpx.Client(verify=trusting, headers={name: value}, trust_env=False) as client:
        assert client.get(f"{up.document()['base_url']}/v1/models").status_code == 200


def test_keys_are_in_files_of_their_owner_alone_and_nowhere_else(up: Kept) -> None:
    for name in ("stack.json", "authorization"):
        assert stat.S_IMODE((up.place / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(up.place.stat().st_mode) == 0o700
    lines = "\n".join(line for _, line in command_lines())
    logs = "\n".join(path.read_text() for path in (up.place / "logs").glob("*.log"))
    for key in up.document()["keys"].values():
        for text in (lines, logs, (up.folder / "said").read_text(), (up.place / "hold.log").read_text()):
            assert key not in text


def test_a_session_gets_the_whole_stack(up: Kept) -> None:
    with running_stack(lambda _: None, up.place) as stack:
        assert stack.base_url.startswith("https://localhost:")
        assert stack.ingress_url == stack.base_url != stack.gateway_url
        assert {part.name for part in stack.components} == {"engine", "gateway", "ingress"}
        assert [part.name for part in stack.watchers] == ["exporter"]
        assert set(stack.missing) == {"prometheus", "alertmanager"}
        assert stack.limited_key == ("limited", 10, 2)
        assert stack.fingerprint["stack.commit"] == up.document()["fingerprint"]["client.commit"]
        assert (stack.limiter_code, stack.simulated, stack.model) == (429, True, "tiny")
        assert "up since" in stack.notes[0]
        stack.check()
        with httpx.Client(verify=stack.tls(), headers=stack.headers(), trust_env=False) as client:
            assert client.get(f"{stack.base_url}/v1/models").status_code == 200
            assert "gpu_utilization_percent" in client.get(str(stack.exporter_url)).text
    assert running_profile(up.place).name == "quick"


def test_two_sessions_at_once_know_that_the_counters_are_not_theirs_alone(up: Kept) -> None:
    with running_stack(lambda _: None, up.place) as first, running_stack(lambda _: None, up.place) as second:
        assert "exclusive" not in first.missing
        assert "another session" in second.missing["exclusive"]


def test_suites_run_against_it_through_the_ingress(up: Kept) -> None:
    before = (up.place / "logs" / "ingress-access.jsonl").read_text().count("\n")
    done = up.pytest("--env", "running", "-k", "models or tls or key or limit")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "15 passed" in done.stdout
    assert f"stack ready at {up.document()['base_url']}" in done.stdout
    assert (up.place / "logs" / "ingress-access.jsonl").read_text().count("\n") - before > 60


def test_another_engine_is_not_to_be_had_of_it(up: Kept) -> None:
    done = up.pytest("--env", "running", "--engine", "simulator")
    assert done.returncode == 4
    assert "has its engine already" in done.stderr


def test_smoke_is_told_to_use_it_and_says_so(up: Kept) -> None:
    done = up.run("which")
    assert done.stdout == "running\n"
    assert "through NGINX" in done.stderr
    assert up.document()["base_url"] in done.stderr


def test_up_again_says_that_it_is_up_and_starts_nothing(up: Kept) -> None:
    before = up.pids()
    done = up.run("up", "--env", up.profile(QUICK))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "stack: it is up already")
    assert up.pids() == before


def test_another_stack_is_refused_while_it_is_up(up: Kept) -> None:
    done = up.run("up", "--env", "host", "--engine", "simulator")
    assert done.returncode == 1
    assert "another stack is up" in done.stderr
    assert "make stack-down" in done.stderr


def test_down_sends_nobody_there_any_more_and_leaves_nobody_and_nothing_but_logs(kept: Kept) -> None:
    """The engine's warden is stopped for a while, so that going down takes its time."""
    require_parts()
    assert kept.run("up", "--env", kept.profile(QUICK)).returncode == 0
    pids = kept.pids()
    assert {"engine", "gateway", "ingress", "exporter"} <= set(pids)
    os.kill(pids["warden of engine"], signal.SIGSTOP)
    with subprocess.Popen(
        kept.command("down"), cwd=ROOT, env=kept.environment, stderr=subprocess.PIPE, text=True
    ) as down:
        try:
            eventually(lambda: not (kept.place / "stack.json").exists(), "it is not named any more")
            assert alive(pids["engine"])
            told, again = kept.run("which"), kept.run("up", "--env", kept.profile(QUICK))
        finally:
            os.kill(pids["warden of engine"], signal.SIGCONT)
        assert (down.communicate(timeout=60)[1], down.returncode) == ("", 0)
    assert (told.stdout, "going down" in told.stderr) == ("local\n", True)
    assert (again.returncode, "coming up or going down" in again.stderr) == (1, True)
    all_gone(pids)
    assert {path.name for path in kept.place.iterdir()} == {"holder", "hold.log", "coming-up", "logs"}
    assert kept.run("which").stdout == "local\n"
    assert kept.run("down").stdout == "stack: none was up\n"


def test_a_killed_holder_leaves_nobody_and_what_it_left_is_known_to_be_stale(kept: Kept) -> None:
    require_parts()
    assert kept.run("up", "--env", kept.profile(QUICK)).returncode == 0
    pids = kept.pids()
    kept.kill_holder()
    all_gone(pids)
    assert (kept.place / "stack.json").exists()
    assert "was killed" in kept.run("status").stdout
    told = kept.run("which")
    assert told.stdout == "local\n"
    assert "was killed" in told.stderr
    with pytest.raises(ConfigurationError, match="no stack is up") as error:
        running_profile(kept.place)
    assert "of one that was killed" in str(error.value)
    assert list((kept.place / "stack").rglob("*.key"))  # of the killed one, for its owner alone
    before = kept.document()["keys"]
    assert kept.run("up", "--env", kept.profile(QUICK)).returncode == 0  # over what the killed one left
    assert kept.document()["keys"] != before


def test_what_a_killed_one_left_is_removed_by_down(kept: Kept) -> None:
    (kept.place / "stack" / "tls").mkdir(parents=True)
    (kept.place / "stack" / "tls" / "server.key").write_text("a private key")
    # `.stack.json.7` is what a holder leaves that is killed while it writes: keys are in it.
    for name in ("stack.json", "authorization", "ca.pem", ".stack.json.7", ".authorization.7"):
        (kept.place / name).write_text("{}")
    assert "removed" in kept.run("down").stdout
    assert list(kept.place.iterdir()) == []


def test_the_death_of_a_part_that_serves_takes_the_rest_down_and_is_told(kept: Kept) -> None:
    """Here that of NGINX's warden, whose workers nobody else would end."""
    require_parts()
    assert kept.run("up", "--env", kept.profile(QUICK)).returncode == 0
    pids = kept.pids() | {f"worker {pid}": pid for pid in children_of(kept.pids()["ingress"])}
    assert len(pids) > 9
    os.kill(pids["exporter"], signal.SIGKILL)  # it only watches: that is told, and the rest goes on
    eventually(lambda: not alive(pids["exporter"]), "the exporter is gone")
    assert "DIED      exporter" in kept.run("status").stdout
    with running_stack(lambda _: None, kept.place) as stack:
        os.kill(pids["warden of ingress"], signal.SIGKILL)
        eventually(lambda: _is_dead(stack.check), "the death is seen")
        eventually(lambda: not (kept.place / "stack.json").exists(), "nobody is sent there any more")
    all_gone(pids)
    said = kept.run("status").stdout
    assert "ingress died: its warden was killed by signal 9" in said


def test_a_second_up_while_the_first_waits_is_refused_and_does_the_first_no_harm(kept: Kept) -> None:
    with kept.coming_up(NEVER) as first:
        kept.started("gateway")
        log = (kept.place / "hold.log").read_text()
        second = kept.run("up", "--env", kept.profile(NEVER))
        assert second.returncode == 1
        assert "another `make stack` is at work" in second.stderr
        assert (kept.place / "hold.log").read_text().startswith(log)
        assert first.poll() is None


def test_a_process_that_has_an_earlier_holders_number_is_never_signalled(kept: Kept) -> None:
    """The holder has its lock and has not written its name yet: what stands there is another's."""
    kept.place.mkdir()
    asleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(asleep) as innocent, (kept.place / "holder").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(f"{innocent.pid} 1")
            lock.flush()
            done = kept.run("down")
            assert done.returncode == 1
            assert "nobody who names himself" in done.stderr
            assert innocent.poll() is None
        finally:
            innocent.kill()


def _is_dead(check: object) -> bool:
    try:
        check()  # type: ignore[operator]
    except StackDied:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_who_gives_up_waiting_leaves_nobody(kept: Kept, number: signal.Signals) -> None:
    with kept.coming_up(NEVER) as process:
        pids = kept.started("gateway")
        os.killpg(process.pid, number)
        process.wait(30)
        all_gone(pids)
    assert not (kept.place / "stack.json").exists()
    if number == signal.SIGINT:
        assert process.returncode == 1


def test_what_does_not_come_up_is_said_with_the_reason(kept: Kept) -> None:
    broken = QUICK.replace(
        "engine: {kind: simulator", "engine: {simulator_arguments: [--wrong], kind: simulator"
    )
    done = kept.run("up", "--env", kept.profile(broken))
    assert done.returncode == 1
    assert "engine died" in done.stdout + done.stderr
    assert "--wrong" in done.stdout + done.stderr
    assert "its logs are in" in done.stderr
    assert "Fatal" not in done.stdout + (kept.place / "hold.log").read_text()


def test_a_profile_for_other_hardware_is_refused_before_anything_starts(kept: Kept) -> None:
    done = kept.run("up", "--env", "a6000")
    if done.returncode == 0:
        pytest.skip("this machine has two RTX A6000")
    assert "2 × NVIDIA RTX A6000" in done.stdout + done.stderr
    assert not list((kept.place / "logs").glob("*.pid"))


@pytest.mark.parametrize("env", ["attach", "running"])
def test_what_starts_nothing_cannot_be_kept_up(kept: Kept, env: str) -> None:
    done = kept.run("up", "--env", env)
    assert done.returncode == 1
    assert "starts nothing" in done.stderr


def test_no_stack_is_no_error_of_the_suite_but_a_wrong_call(kept: Kept) -> None:
    done = kept.pytest("--env", "running")
    assert done.returncode == 4
    assert "no stack is up" in done.stderr
    assert "make stack" in done.stderr
