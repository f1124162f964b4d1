"""The stub of NVML in .cache/nvml-stub, compiled on the spot: GPU readings where there is no GPU."""

import shutil
import sys
from pathlib import Path

from deploy.setup import clone, step
from deploy.setup.stamp import stamp

HOME = clone.CACHE / "nvml-stub"
SOURCE = clone.ROOT / "deploy" / "exporter" / "stub"


def install() -> None:
    """Compile it; nothing to do where its stamp says that the source is the same."""
    made = stamp(HOME, [SOURCE / "nvml_stub.c", SOURCE / "__main__.py", Path(__file__)])
    if made.matches:
        print(f"  {clone.shown(HOME)} is complete")
        return
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        print(
            "  no C compiler (cc, gcc or clang) is on this machine: there is no stub of NVML, and what\n"
            "  needs it skips and says so. This is not an error."
        )
        return
    with step.step(f"compile the stub of NVML into {clone.shown(HOME)}"):
        argv: step.Words = [sys.executable, "-B", "-m", "deploy.exporter.stub", "--out", HOME]
        step.run(
            argv, log="nvml-stub", hint="read the log; a C compiler with its headers is needed", limit_s=180
        )
    made.write()
