"""Debian's and Ubuntu's packages unpacked in the clone: not installed, no root, no change to the system."""

import re
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.setup import clone, step


@dataclass(frozen=True)
class State:
    """apt's lists and caches in a folder of their own; `source` instead of the system's sources, if given."""

    folder: Path
    source: str | None = None


OWN = State(clone.CACHE / "apt")
HINT = (
    "look at the network and at apt's sources (`apt-get update`), then run this again; or do without it: "
    "`make smoke PARTS='suite engine model'` scrapes the engine's /metrics directly"
)
LOADED_ALIKE = re.compile(
    r"^lib(c6|gcc-s1|stdc\+\+6)$"
)  # a second one beside the system's own would break it


def at_hand() -> bool:
    """Whether this machine has the two programs that fetch and unpack packages."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


@cache
def update(state: State = OWN) -> None:
    """Fetch the lists of the sources into the clone, once for all parts of a set-up.

    apt itself goes on with what it has when a source cannot be reached; `unpack` fails when that mattered.
    """
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (state.folder / folder).mkdir(parents=True, exist_ok=True)
    if state.source:
        (state.folder / "sources.list").write_text(f"{state.source}\n")
    step.run([*_apt(state), "update"], log="apt-lists", hint=HINT, limit_s=300)


def has(package: str) -> bool:
    """Whether the lists offer `package`."""
    return bool((step.output([*_apt_cache(), "search", "--names-only", f"^{package}$"]) or "").strip())


def libraries_of(package: str) -> list[str]:
    """The libraries that `package` depends on directly, less those that every system has."""
    said = step.output([*_apt_cache(), "depends", "--no-recommends", "--no-suggests", package]) or ""
    names = re.findall(r"^\s+\|?(?:Pre-)?Depends: ((?:lib|zlib)\S+)$", said, re.MULTILINE)
    return sorted({name for name in names if not LOADED_ALIKE.match(name)})


def unpack(packages: list[str], into: Path, state: State = OWN) -> None:
    """Fetch `packages` and unpack them under `into`, which is emptied first."""
    debs = state.folder / "debs"
    for old in debs.glob("*.deb"):
        old.unlink()
    # apt-get download writes where it stands, so it is told to stand in our folder.
    argv: step.Words = [
        "sh",
        "-c",
        'cd "$1" && shift && exec "$@"',
        "sh",
        debs,
        *_apt(state),
        "download",
        *packages,
    ]
    step.run(argv, log="apt-download", hint=HINT, limit_s=300)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for deb in sorted(debs.glob("*.deb")):
        step.run(["dpkg", "-x", deb, into], log="dpkg", hint=HINT, limit_s=120)
        deb.unlink()


def _options(state: State) -> list[str]:
    settings: dict[str, object] = {
        "Dir::State::Lists": state.folder / "lists",
        "Dir::Cache": state.folder / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
        # As root apt would fetch as another user, who may not be allowed into the clone.
        "APT::Sandbox::User": "root",
    }
    if state.source:
        settings |= {
            "Dir::Etc::SourceList": state.folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
        }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _apt(state: State) -> list[str]:
    return ["apt-get", "--quiet", *_options(state)]


def _apt_cache() -> list[str]:
    return ["apt-cache", *_options(OWN)]
