"""pip-audit and zizmor in .tools/audit: what `make audit` and `make workflows` ask; installed for these."""

import sys
from pathlib import Path

from deploy.setup import clone, step, uv
from deploy.setup.stamp import stamp

HOME = clone.TOOLS / "audit"
REQUIREMENT = Path(__file__).with_name("audit.in")
LOCK = Path(__file__).with_name("audit.lock")


def install() -> None:
    """Make .tools/audit what its lock says; nothing to do where its stamp says that it is."""
    made = stamp(HOME, [LOCK, Path(__file__), Path(uv.__file__)])
    usable = uv.usable(HOME)
    if made.matches and usable:
        print(f"  {clone.shown(HOME)} is as {LOCK.name} says")
        return
    uv.ensure()
    with step.step(f"install {LOCK.name} into {clone.shown(HOME)}"):
        if not usable:
            uv.make_environment(HOME, sys.executable)
        uv.sync(HOME, LOCK, limit_s=300)
    made.write()
