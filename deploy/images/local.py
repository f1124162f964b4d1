"""python -m deploy.images.local PROGRAM...: images for a cluster on this machine, without a registry.

Prints name and image of each as JSON: {"gateway": "vllm-slo/gateway:cluster-..."}. They are made from this
machine's own Python and our environment, have the layout of deploy/images (Python at /usr/local/bin/python,
user 10001, no shell), hold copies of this machine's libraries, and are made in seconds; the tag is a hash of
what goes in, so none is outdated.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
BOUND_S = 240.0
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "dist-packages"}
LIBRARY = re.compile(r"(?:=>\s*)?(/\S+) \(0x")
FILES = {
    "etc/passwd": "app:x:10001:10001::/tmp:/sbin/nologin\n",
    "etc/group": "app:x:10001:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
}


def built(program: str) -> str:
    """The image of a program of deploy/ (`gateway`, `simulator`): made unless it is there. Returns its name.

    Raises CalledProcessError where Docker does not take it.
    """
    sources = sorted(
        one for one in (ROOT / "deploy" / program).rglob("*") if one.is_file() and one.suffix != ".pyc"
    )
    packages = sorted(_closure(_imported(sources)))
    name = f"vllm-slo/{program}:cluster-{_digest(sources, packages)}"
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0:  # noqa: S607
        return name
    changes = [
        f'ENTRYPOINT ["/usr/local/bin/python", "-m", "deploy.{program}"]',
        f"ENV PYTHONHOME={sys.base_prefix} PYTHONPATH=/app:/app/site PYTHONDONTWRITEBYTECODE=1 HOME=/tmp",
        "WORKDIR /app",
        "USER 10001:10001",
    ]
    flags = [word for change in changes for word in ("--change", change)]
    subprocess.run(
        ["docker", "import", *flags, "-", name],  # noqa: S607
        input=_archive(sources, packages),
        check=True,
        capture_output=True,
        timeout=BOUND_S,
    )
    _remove_others(name)
    return name


def _remove_others(name: str) -> None:
    """Images of the program's earlier states: a machine has room for one cluster, and it is ours now."""
    program = name.partition(":")[0]
    listed = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{program}:cluster-*"]
    said = subprocess.run(listed, capture_output=True, text=True, check=True, timeout=60).stdout
    if others := [one for one in said.split() if one != name]:
        subprocess.run(["docker", "image", "rm", *others], capture_output=True, check=False, timeout=60)  # noqa: S607


def _imported(sources: list[Path]) -> set[str]:
    """Names of the distributions that these modules import."""
    tops: set[str] = set()
    for source in (one for one in sources if one.suffix == ".py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            tops.update(name.split(".")[0] for name in names)
            # A namespace's distributions share the first part of their modules' names.
            tops.update(name for name in names if name.startswith("opentelemetry."))
    known = importlib.metadata.packages_distributions()
    return {name for top in tops for name in known.get(top, [])}


def _closure(names: set[str]) -> set[str]:
    """These distributions and all that they need here."""
    found: set[str] = set()
    waiting = [_plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        read = [Requirement(need) for need in needs]
        waiting += [_plain(r.name) for r in read if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _digest(sources: list[Path], packages: list[str]) -> str:
    made = hashlib.sha256(sys.version.encode())
    made.update(Path(__file__).read_bytes())
    for source in sources:
        made.update(str(source.relative_to(ROOT)).encode() + b"\0" + source.read_bytes())
    for package in packages:
        made.update(f"{package}=={importlib.metadata.version(package)}".encode())
    return made.hexdigest()[:16]


def _archive(sources: list[Path], packages: list[str]) -> bytes:
    """The whole file system as a tar archive."""
    places = dict(_python())
    places |= {f"app/site/{name}": path for package in packages for name, path in _files(package)}
    places |= _libraries(list(places.values()))
    places |= {f"app/{source.relative_to(ROOT)}": source for source in sources}
    places["app/deploy/__init__.py"] = ROOT / "deploy" / "__init__.py"
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", dereference=True) as archive:
        for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
        for name, text in FILES.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(text), 0o644
            archive.addfile(file, io.BytesIO(text.encode()))
        for name, path in sorted(places.items()):
            archive.add(path, name, recursive=False, filter=_everyones)
    return made.getvalue()


def _everyones(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and for all to read: what it is on this machine says nothing about user 10001."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o555 if entry.mode & 0o100 else 0o444
    return entry


def _python() -> Iterator[tuple[str, Path]]:
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    yield "usr/local/bin/python", executable
    library = Path(sysconfig.get_path("stdlib"))
    for folder, below, names in os.walk(library):
        below[:] = [one for one in below if one not in LEFT_OUT and not one.startswith("config-")]
        yield from ((str(Path(folder, name))[1:], Path(folder, name)) for name in names)


def _files(package: str) -> Iterator[tuple[str, Path]]:
    for file in importlib.metadata.files(package) or []:
        path = Path(str(file.locate()))
        if ".." not in file.parts and "__pycache__" not in file.parts and path.is_file():
            yield str(file), path


def _libraries(files: list[Path]) -> dict[str, Path]:
    """The system's libraries that these need, by the loader's own account."""
    loadable = [str(file) for file in files if ".so" in file.name or file.name.startswith("python3")]
    said = subprocess.run(["ldd", *loadable], capture_output=True, text=True, check=False, timeout=60).stdout  # noqa: S607
    found = {Path(path) for path in LIBRARY.findall(said)}
    return {str(path)[1:]: path for path in found if "site-packages" not in path.parts}


def main(programs: list[str]) -> int:
    """Make those that are not there yet."""
    try:
        print(json.dumps({program: built(program) for program in programs}))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"docker: {(error.stderr or b'').decode(errors='replace').strip()}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
