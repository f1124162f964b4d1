"""NGINX and Redis: the machine's own when it has them, else Debian's unpacked in the clone."""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import clone, debian, step
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp


@dataclass(frozen=True)
class Server:
    """A server program: its packages (each with its libraries where they are needed), and who needs it."""

    part: str
    program: str
    packages: tuple[str, ...]
    place: str  # in the packages
    version: str  # the pattern of its version in what `program -v` says
    needed_by: str

    @property
    def home(self) -> Path:
        """Its folder in the clone."""
        return clone.CACHE / self.part


NGINX = Server(
    "nginx", "nginx", ("nginx",), "usr/sbin/nginx", r"nginx/(\S+)", "`make stack` and the ingress's tests"
)
# Debian's redis-server is a link into redis-tools.
REDIS = Server(
    "redis",
    "redis-server",
    ("redis-server", "redis-tools"),
    "usr/bin/redis-server",
    r"v=(\S+)",
    "the tests of limits that several gateways share",
)


def install_nginx() -> None:
    """Write .cache/nginx/programs.json: where nginx is, its version, where its libraries lie."""
    _install(NGINX)


def install_redis() -> None:
    """Write .cache/redis/programs.json, likewise."""
    _install(REDIS)


def _install(server: Server) -> None:
    description = server.home / "programs.json"
    own = shutil.which(server.program)
    made = stamp(server.home, [Path(__file__), Path(debian.__file__)], f"{server.program}={own}")
    if made.matches and description.is_file():
        print(f"  {clone.shown(description)} is complete")
        return
    if own:
        entry = _entry(server, Path(own), [])
    elif debian.at_hand():
        entry = _unpacked(server)
    else:
        print(
            f"  neither {server.program} nor apt-get is on this machine: {server.needed_by}\n"
            "  do without it, or skip and say so. This is not an error."
        )
        return
    if entry is None:
        raise SetupError(
            f"{server.program} to start", "it does not, with its own libraries either", debian.HINT
        )
    server.home.mkdir(parents=True, exist_ok=True)
    description.write_text(json.dumps({server.program: entry}, indent=2) + "\n")
    print(f"  {server.program} {entry['version']} at {entry['path']}")
    made.write()


def _unpacked(server: Server) -> dict[str, object] | None:
    """Unpack it, and its libraries too where this system has them not."""
    with step.step("fetch the package lists of this system's release"):
        debian.update()
    tree = server.home / "root"
    with step.step(f"fetch {', '.join(server.packages)} and unpack it in {clone.shown(tree)}"):
        debian.unpack([*server.packages], tree)
    if entry := _entry(server, tree / server.place, []):
        return entry
    libraries = sorted({name for package in server.packages for name in debian.libraries_of(package)})
    with step.step(f"fetch {', '.join(libraries)} as well"):
        debian.unpack([*server.packages, *libraries], tree)
    folders = sorted({path.parent for path in tree.rglob("*.so*")})
    return _entry(server, tree / server.place, folders)


def _entry(server: Server, program: Path, libraries: list[Path]) -> dict[str, object] | None:
    """The program's entry, or None where it does not start; paths in the clone are relative to its root."""
    extra = {"LD_LIBRARY_PATH": ":".join(map(str, libraries))} if libraries else {}
    said = step.output(["sh", "-c", 'exec "$0" -v 2>&1', program], extra=extra)
    if said is None:
        return None
    version = re.search(server.version, said)
    return {
        "path": clone.shown(program),
        "version": version[1] if version else None,
        "libraries": [clone.shown(folder) for folder in libraries],
    }
