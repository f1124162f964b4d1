"""`python -m deploy.setup.advisories`: known vulnerabilities of every package that a lock here names.

Asks PyPI's and npm's own advisories, so it needs the network. Exit status: 0 none is known, 1 one is known
or a package could not be looked up, 2 the tools are not installed.
"""

import re
import subprocess
import sys
from pathlib import Path

from deploy.setup import audit, checkov, checks, clone, node, suite, uv
from deploy.setup.engine import CPU, CUDA

PROGRAM = audit.HOME / "bin" / "pip-audit"
LOCKS = (suite.LOCK, CPU.lock, CUDA.lock, checkov.LOCK, audit.LOCK, uv.REQUIREMENT)
RECIPES = (clone.ROOT / "reports" / "allure", checks.RECIPE)
PINNED = re.compile(r"^([A-Za-z0-9._-]+(?:\[[^]]*\])?)==([^\s;\\+]+)", re.M)
LIMIT_S = 600.0


def main() -> int:
    """Ask for each lock; all of them, whatever one says."""
    if not PROGRAM.exists():
        print(f"expected: {clone.shown(PROGRAM)}\ntry:      make audit", file=sys.stderr)
        return 2
    lists = clone.CACHE / "audit"
    lists.mkdir(parents=True, exist_ok=True)
    codes = [_ask(clone.shown(lock), _python(lock, lists)) for lock in LOCKS]
    codes += [_npm(recipe) for recipe in RECIPES]
    return 1 if any(codes) else 0


def pinned(lock: str) -> list[str]:
    """`name==version` of each package in the text of a lock, once.

    Without hashes, of which an advisory says nothing, and without local versions (`+cpu`): builds of the
    same source that PyPI does not know by that name.
    """
    return sorted({f"{name.partition('[')[0]}=={version}" for name, version in PINNED.findall(lock)})


def _python(lock: Path, lists: Path) -> list[str]:
    # A universal lock names two versions of a package where Pythons differ; pip-audit takes one a file.
    rest = pinned(lock.read_text())
    files: list[str] = []
    while rest:
        once = {line.partition("==")[0]: line for line in reversed(rest)}
        part = lists / f"{lock.stem}-{len(files)}.txt"
        part.write_text("".join(f"{line}\n" for line in sorted(once.values())))
        files += ["--requirement", str(part)]
        rest = [line for line in rest if line not in once.values()]
    flags = ["--no-deps", "--disable-pip", "--strict", "--progress-spinner", "off"]
    return [str(PROGRAM), *flags, *files]


def _npm(recipe: Path) -> int:
    name = clone.shown(recipe / "package-lock.json")
    if node.major() is None:
        print(f"{name}:\n  not looked up: there is no Node.js with npm here", file=sys.stderr, flush=True)
        return 1
    return _ask(name, ["npm", "audit", "--prefix", str(recipe), "--package-lock-only"])


def _ask(name: str, argv: list[str]) -> int:
    print(f"{name}:", flush=True)
    try:
        return subprocess.run(
            argv, cwd=clone.ROOT, env=uv.environment(), timeout=LIMIT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        print(f"  no answer after {LIMIT_S:.0f} s", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
