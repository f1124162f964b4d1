"""Node.js: which one is here, and npm recipes with a lock, each installed into a folder of its own."""

import os
import re
import shutil
from pathlib import Path

from deploy.setup import clone, step
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp

OLDEST = 20
RECIPE_FILES = ("package.json", "package-lock.json", ".npmrc")


def major() -> int | None:
    """The major version of the Node.js on PATH; None where it or npm is missing or does not start."""
    said = step.output(["node", "--version"]) if shutil.which("node") and shutil.which("npm") else None
    found = re.match(r"v(\d+)", said or "")
    return int(found[1]) if found else None


def require(oldest: int, what: str, hint: str) -> None:
    """Raise SetupError where there is no Node.js of at least `oldest`, for `what`."""
    found = major()
    if found is None or found < oldest:
        seen = f"node {found}" if found else f"no working node and npm in PATH={os.environ.get('PATH', '')}"
        raise SetupError(f"node {oldest} or newer with npm, for {what}", seen, hint)


def install(recipe: Path, home: Path, *inputs: Path) -> None:
    """Make `home` what the lock in the folder `recipe` says; nothing to do where its stamp says so."""
    made = stamp(home, [*(recipe / name for name in RECIPE_FILES), *inputs])
    if made.matches:
        print(f"  {clone.shown(home)} is as {clone.shown(recipe / 'package-lock.json')} says")
        return
    with step.step(f"install {clone.shown(recipe / 'package-lock.json')} into {clone.shown(home)}"):
        home.mkdir(parents=True, exist_ok=True)
        for name in RECIPE_FILES:
            shutil.copy(recipe / name, home / name)
        hint = "look at the network and at npm's settings (`npm config list`), then run this again"
        argv: step.Words = ["npm", "ci", "--prefix", home, "--ignore-scripts"]
        step.run(argv, log=f"npm-{home.name}", hint=hint, limit_s=600)
    made.write()
