"""The suite's own environment, .venv: what pytest runs in. The project itself is not installed into it."""

import sys
from pathlib import Path

from deploy.setup import clone, step, uv
from deploy.setup.stamp import stamp

LOCK = clone.ROOT / "requirements.lock"


def inputs() -> list[Path]:
    """The files that .venv is made from."""
    return [LOCK, Path(__file__), Path(uv.__file__)]


def install() -> None:
    """Make .venv what requirements.lock says; nothing to do where its stamp says that it is."""
    made = stamp(clone.SUITE, inputs())
    usable = uv.usable(clone.SUITE)
    if made.matches and usable:
        print(f"  {clone.shown(clone.SUITE)} is as {LOCK.name} says")
        return
    uv.ensure()
    with step.step(f"install {LOCK.name} into {clone.shown(clone.SUITE)}"):
        if not usable:
            uv.make_environment(clone.SUITE, sys.executable)
        uv.sync(clone.SUITE, LOCK, limit_s=900)
    made.write()
