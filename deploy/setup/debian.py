"""Debian's and Ubuntu's packages unpacked in the clone: not installed, no root, no change to the system."""

import shutil
from pathlib import Path

from deploy.setup import clone, step

STATE = clone.CACHE / "apt"
HINT = (
    "look at the network and at apt's sources (`apt-get update`), then run this again; or do without it: "
    "`make smoke PARTS='suite engine model'` scrapes the engine's /metrics directly"
)


def at_hand() -> bool:
    """Whether this machine has the two programs that fetch and unpack packages."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


def update() -> None:
    """Fetch the lists of the system's own sources into the clone.

    apt itself goes on with what it has when a source cannot be reached; `unpack` fails when that mattered.
    """
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (STATE / folder).mkdir(parents=True, exist_ok=True)
    step.run([*_apt(), "update"], log="apt-lists", hint=HINT, limit_s=300)


def has(package: str) -> bool:
    """Whether the lists offer `package`."""
    return bool((step.output([*_apt_cache(), "search", "--names-only", f"^{package}$"]) or "").strip())


def unpack(packages: list[str], into: Path) -> None:
    """Fetch `packages` of the system's own release and unpack them under `into`, which is emptied first."""
    debs = STATE / "debs"
    for old in debs.glob("*.deb"):
        old.unlink()
    # apt-get download writes where it stands, so it is told to stand in our folder.
    argv: step.Words = [
        "sh",
        "-c",
        'cd "$1" && shift && exec "$@"',
        "sh",
        debs,
        *_apt(),
        "download",
        *packages,
    ]
    step.run(argv, log="apt-download", hint=HINT, limit_s=300)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    for deb in sorted(debs.glob("*.deb")):
        step.run(["dpkg", "-x", deb, into], log="dpkg", hint=HINT, limit_s=120)
        deb.unlink()


def _options() -> list[str]:
    settings = {
        "Dir::State::Lists": STATE / "lists",
        "Dir::Cache": STATE / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
        # As root apt would fetch as another user, who may not be allowed into the clone.
        "APT::Sandbox::User": "root",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _apt() -> list[str]:
    return ["apt-get", "--quiet", *_options()]


def _apt_cache() -> list[str]:
    return ["apt-cache", *_options()]
