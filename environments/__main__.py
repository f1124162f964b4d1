"""`python -m environments up|down|status|which`: the stack of `make stack`, kept up in the background;
`reap|preflight`: a cluster, before a run and after one that was killed.

    up [--env host] [--engine simulator]   stand it up, return when it is ready, say where it is
    down                                   take it down
    status                                 what is up
    which                                  `running` where one is up, else `local`: what `make smoke` uses
    reap --context NAME [--dry-run]        remove what killed runs left in a cluster (reap --help)
    preflight --env NAME [--context NAME]  what a place in a cluster lacks (preflight --help)

Exit status: 0 done, 1 it did not come up, or another stack is up, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from environments.binaries import ROOT
from environments.handoff import profile_in, read_handoff, remove_left, stack_place, started_at
from environments.holding import hold, holder_of, is_held
from environments.kubernetes.command import add_commands
from environments.profile import Profile, profile_path, read_profile
from instruments.errors import ConfigurationError, SloError

AROUND_THE_ENGINE_S = 120.0  # for all that starts beside it
DOWN_BOUND_S = 60.0
POLL_EVERY_S = 0.1


def main() -> int:
    """Do what the command says."""
    given = _arguments()
    place = stack_place()
    try:
        if given.command == "up":
            return _up(given.env, given.engine, place)
        if given.command == "hold":
            return hold(_profile(given.env, given.engine), place)
        if given.command in ("reap", "preflight"):
            return _in_cluster(given)
        return {"down": _down, "status": _status, "which": _which}[given.command](place)
    except SloError as error:
        name = given.command if given.command in ("reap", "preflight") else "stack"
        _complain(f"{name}: {error}")
    except OSError as error:
        _complain(
            f"stack: {error}\n  expected: room on the disk, and the right to write in {place}\n"
            "  try:      free some space, or name another folder in VLLM_SLO_STACK"
        )
    return 1


def _in_cluster(given: argparse.Namespace) -> int:
    from environments.kubernetes.command import preflight_command, reap_command  # for who has a cluster

    try:
        return reap_command(given) if given.command == "reap" else preflight_command(given)
    except ConfigurationError as error:
        _complain(f"{given.command}: {error}")
        return 2


def _up(env: str, engine: Literal["vllm", "simulator"] | None, place: Path) -> int:
    profile = _profile(env, engine)
    if profile.provider != "local" or profile.engine is None:
        raise ConfigurationError(f"the environment {profile.name} starts nothing", expected="host or local")
    if profile.engine.interposer:
        raise ConfigurationError(f"the environment {profile.name} has a fault planted: it is for tests alone")
    with _sole_up(place):
        if is_held(place):
            return _up_already(profile, place)
        _say(f"stack: {profile.name} is coming up")
        bound_s = profile.engine.ready_timeout_s + AROUND_THE_ENGINE_S
        return _shown(place) if _come_up(env, engine, place, bound_s) else 1


@contextlib.contextmanager
def _sole_up(place: Path) -> Iterator[None]:
    """One `up` at a time: a second one would write over the first one's log, and remove its hand-off."""
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    with (place / "coming-up").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                "another `make stack` is at work",
                expected="one at a time",
                hint="wait for it, or make stack-down",
            ) from None
        yield


def _up_already(profile: Profile, place: Path) -> int:
    if not (place / "stack.json").exists():
        raise ConfigurationError(
            "a stack is coming up or going down",
            expected="none, or one that is up",
            hint="again in a moment; or make stack-down",
        )
    if profile_in(read_handoff(place)) != profile:
        raise ConfigurationError(
            f"another stack is up, and it is not {profile.name} as you ask for it",
            hint="make stack-down, then again",
        )
    _say("stack: it is up already")
    return _shown(place)


def _come_up(env: str, engine: str | None, place: Path, bound_s: float) -> bool:
    """Start the holder and show what it says until the stack is up; killed before, we take it along."""
    command = [sys.executable, "-m", "environments", "hold", "--env", env]
    command += ["--engine", engine] if engine else []
    log = place / "hold.log"
    with log.open("w") as output:
        holder = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        if _wait(holder, log, time.monotonic() + bound_s):
            return True
    except KeyboardInterrupt:
        _complain("\nstack: given up; taking down what was started")
    else:
        _complain(f"stack: it did not come up; its logs are in {_short(place / 'logs')}")
    _end(holder, place)
    return False


def _wait(holder: subprocess.Popen[bytes], log: Path, bound_s: float) -> bool:
    """Show each line of the holder's log, until it says `up`, ends, or the bound is reached."""
    shown = 0
    while True:
        ended = holder.poll() is not None  # asked first: what it wrote last is read after
        lines = log.read_text().splitlines()
        up = "up" in lines
        for line in lines[shown : lines.index("up") if up else len(lines)]:
            _say(f"  {line}")
        shown = len(lines)
        if up or ended or time.monotonic() > bound_s:
            return up and not ended
        time.sleep(POLL_EVERY_S)


def _end(holder: subprocess.Popen[bytes], place: Path) -> None:
    holder.terminate()
    try:
        holder.wait(DOWN_BOUND_S)
    except subprocess.TimeoutExpired:
        holder.kill()  # the wardens take down the rest
        holder.wait()
    if not is_held(place):
        remove_left(place)


def _down(place: Path) -> int:
    pid = holder_of(place)
    if pid is None:
        stale = remove_left(place)
        _say(
            "stack: none was up" + (" (its holder had been killed; what it left is removed)" if stale else "")
        )
        return 0
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself since
        os.kill(pid, signal.SIGTERM)
    bound = time.monotonic() + DOWN_BOUND_S
    while is_held(place) and time.monotonic() < bound:
        time.sleep(POLL_EVERY_S)
    if is_held(place):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # the wardens take down the rest
        remove_left(place)
        _complain(f"stack: it did not end within {DOWN_BOUND_S:g} s and was killed")
        return 1
    _say(f"stack: down; its logs stay in {_short(place / 'logs')}")
    return 0


def _status(place: Path) -> int:
    if is_held(place):
        if (place / "stack.json").exists():
            return _shown(place)
        _say("stack: one is coming up or going down")
    elif (place / "stack.json").exists():
        _say("stack: none is up; the one before was killed (`make stack-down` removes what it left)")
    elif (place / "ended").exists():
        _say(f"stack: none is up; the one before ended by itself: {(place / 'ended').read_text().strip()}")
    else:
        _say("stack: none is up")
    return 0


def _which(place: Path) -> int:
    """The word goes to standard output, which `make smoke` reads; what it means to whoever looks on."""
    up = is_held(place) and (place / "stack.json").exists()
    if up:
        document = read_handoff(place)
        through = "through NGINX" if document["ingress_url"] else "through its gateway"
        where = f"{document['environment']}, {document['base_url']}"
        _complain(
            f"smoke: against the stack that is up ({where}), {through}; "
            "`make smoke ARGS='--env local'` stands one up for itself"
        )
    elif is_held(place):
        _complain("smoke: a stack is coming up or going down; this run stands one up for itself")
    elif (place / "stack.json").exists():
        _complain("smoke: the stack that was up was killed; this run stands one up for itself")
    _say("running" if up else "local")
    return 0


def _shown(place: Path) -> int:
    document = read_handoff(place)
    watching = {
        "Prometheus": document["prometheus_url"],
        "Alertmanager": document["alertmanager_url"],
        "GPU exporter": document["exporter_url"],
    }
    key, authority = _short(place / "authorization"), _short(place / "ca.pem")
    for line in [
        f"stack: {document['environment']} is up{_took(document)}",
        f"  clients   {document['base_url']}",
        f"  key       {key} (mode 0600; curl takes it as it is)",
        f"  CA        {authority}",
        *(f"  watching  {name} {url}" for name, url in watching.items() if url),
        f"  try       curl --cacert {authority} -H @{key} {document['base_url']}/v1/models",
        "  smoke     make smoke, which runs against this stack while it is up",
        "  stop      make stack-down",
        *(f"  note      {note}" for note in document["notes"]),
        *(
            f"  DIED      {one['name']}: {one['log']}"
            for one in document["watchers"]
            if one["pid"] is not None and started_at(one["pid"]) != one["began"]
        ),
    ]:
        _say(line)
    return 0


def _took(document: dict[str, Any]) -> str:
    seconds = max(document["startup_s"].values(), default=None)
    return f" after {seconds:.1f} s" if seconds is not None else ""


def _profile(env: str, engine: Literal["vllm", "simulator"] | None) -> Profile:
    found = read_profile(profile_path(env))
    if engine is None or found.engine is None:
        return found
    return replace(found, engine=replace(found.engine, kind=engine, url=None))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m environments",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "hold"):
        one = commands.add_parser(name)
        one.add_argument("--env", default="host", metavar="NAME", help="profile: host (default), or a .yaml")
        one.add_argument("--engine", choices=("vllm", "simulator"), help="another engine than the profile's")
    for name in ("down", "status", "which"):
        commands.add_parser(name)
    add_commands(commands)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
