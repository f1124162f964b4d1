"""kubectl and kustomize in .cache/kubernetes, from Debian's newest release: older ones have old ones."""

import gzip
import re
import shutil
from pathlib import Path

from deploy.setup import clone, debian, step
from deploy.setup.stamp import stamp

HOME = clone.CACHE / "kubernetes"
TREE = HOME / "root"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "sid"  # it moves: the versions that came are printed, and lie in VERSIONS
VERSIONS = HOME / "versions.txt"
PROGRAMS = ("kubectl", "kustomize")


def install() -> None:
    """Unpack both; nothing to do where the stamp says that they are there."""
    made = stamp(HOME, [Path(__file__), Path(debian.__file__)])
    if made.matches:
        print(f"  {clone.shown(HOME)} is complete: {VERSIONS.read_text().strip()}")
        return
    mirror = _mirror() if debian.at_hand() and KEYRING.is_file() else None
    if mirror is None:
        print(
            "  no Debian mirror is known to apt here: kubectl and kustomize are not fetched, and the tests\n"
            "  that need them skip and say so. This is not an error."
        )
        return
    other = debian.State(HOME / "apt", f"deb [signed-by={KEYRING}] {mirror} {RELEASE} main")
    with step.step(f"fetch the package lists of Debian {RELEASE}"):
        debian.update(other)
    with step.step(f"fetch {', '.join(PROGRAMS)} and unpack them in {clone.shown(TREE)}"):
        # With the release: a newer kubectl of another origin may be installed, and apt would ask for that.
        debian.unpack([f"{name}/{RELEASE}" for name in PROGRAMS], TREE, other)
    shutil.rmtree(other.folder, ignore_errors=True)  # lists of 60 MB, needed for this alone
    VERSIONS.write_text(", ".join(f"{name} {_version(name)}" for name in PROGRAMS) + "\n")
    print(f"  {VERSIONS.read_text().strip()}")
    made.write()


def _mirror() -> str | None:
    """The address of Debian's archive, as the system's own sources name it."""
    said = step.output(["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]) or ""
    return next((line for line in said.splitlines() if re.search(r"/debian/?$", line)), None)


def _version(name: str) -> str:
    """The version of the package: kustomize as Debian builds it does not say its own."""
    changes = TREE / "usr" / "share" / "doc" / name / "changelog.Debian.gz"
    found = re.search(
        r"\((?:\d+:)?(\d+(?:\.\d+)+)", gzip.decompress(changes.read_bytes()).decode(errors="replace")
    )
    return found[1] if found else "of an unknown version"
