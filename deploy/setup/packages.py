"""Packages of the operating system: the only thing that the set-up may put outside the clone, said aloud."""

import os
import shutil

from deploy.setup import step
from deploy.setup.errors import SetupError

LIMIT_S = 600.0


def install(names: list[str], *, why: str) -> None:
    """Install `names` with apt-get as root or by password-less sudo; SetupError where neither is at hand."""
    by_hand = f"sudo apt-get install {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise SetupError(
            f"{why}, from the packages called {', '.join(names)} on Debian and Ubuntu",
            "neither it nor apt-get on this machine",
            "install what your system calls them, then run this again",
        )
    prefix = _root_prefix()
    if prefix is None:
        raise SetupError(
            f"{why}, from the packages {', '.join(names)}",
            "they are missing, this is not root, and there is no sudo without a password",
            f"run `{by_hand}`, then run this again",
        )
    argv = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    # Said in capitals, because it is the one change outside the clone.
    print(f"  INSTALLING SYSTEM PACKAGES: {' '.join(names)} ({why})", flush=True)
    with step.step(f"apt-get install {' '.join(names)}"):
        step.run([*argv, "update"], log="apt-update", hint=by_hand, limit_s=LIMIT_S, env=dict(os.environ))
        step.run(
            [*argv, "install", "-y", "--no-install-recommends", *names],
            log="apt-install",
            hint=by_hand,
            limit_s=LIMIT_S,
            env=dict(os.environ),
        )


def _root_prefix() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and step.output(["sudo", "-n", "true"], limit_s=10.0) is not None:
        return ["sudo", "-n"]
    return None
