"""closure.py IMAGE: copies what Python needs to run into the folder IMAGE, the root of an image from scratch.

The interpreter, the standard library, the shared libraries that any of it or of IMAGE/app/site loads,
certificates, and a user 10001. No shell, no package manager, no other program. Run while an image is built,
by that image's Python. `closure.py --compile FOLDER` compiles what was added to IMAGE/app later.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

USER = 10001
# Parts of the standard library that a server has no use for.
UNUSED = (
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "pydoc_data", "distutils",
    "site-packages", "dist-packages", "config-*", "__pycache__",
)  # fmt: skip
FILES = ("/etc/ld.so.cache", "/etc/ssl/certs/ca-certificates.crt", "/etc/mime.types")
DLOPENED = ("libgcc_s.so.1",)  # by the C library, when a thread ends


def main() -> None:
    """Fill the folder."""
    if sys.argv[1] == "--compile":
        _compile(Path(sys.argv[2]), skip=re.compile("/app/site/"))  # done before
        return
    image = Path(sys.argv[1])
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library, image / library.relative_to("/"), ignore=shutil.ignore_patterns(*UNUSED),
        ignore_dangling_symlinks=True, dirs_exist_ok=True,
    )  # fmt: skip
    _copy(interpreter, image)
    python = image / "usr/local/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    if not python.exists():
        python.symlink_to(interpreter)
    for file in {*_libraries(interpreter, library, image / "app"), *map(Path, FILES)}:
        if file.exists():
            _copy(file, image)
    _identity(image)
    _compile(image)


def _compile(folder: Path, skip: re.Pattern[str] | None = None) -> None:
    """A read-only image could not keep bytecode at its first start. Not by time: copied files have any."""
    compileall.compile_dir(
        folder, quiet=2, workers=0, rx=skip, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )


def _libraries(interpreter: Path, *folders: Path) -> Iterator[Path]:
    """The shared libraries outside `folders` that the interpreter and all modules in `folders` load."""
    modules = [interpreter, *(path for folder in folders for path in folder.rglob("*.so*") if path.is_file())]
    done = subprocess.run(["ldd", *map(str, modules)], capture_output=True, text=True, check=False)  # noqa: S607
    for word in re.findall(r"(?:=> |^\t)(/\S+) \(0x", done.stdout, re.MULTILINE):
        if not any(Path(word).is_relative_to(folder) for folder in folders):
            yield Path(word)
            yield from (Path(word).with_name(name) for name in DLOPENED)


def _copy(file: Path, image: Path) -> None:
    target = image / file.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target)


def _identity(image: Path) -> None:
    """A user, a resolver's order, a folder for temporary files."""
    (image / "etc").mkdir(exist_ok=True)
    (image / "etc/passwd").write_text(f"app:x:{USER}:{USER}::/tmp:/nonexistent\n")
    (image / "etc/group").write_text(f"app:x:{USER}:\n")
    (image / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (image / "tmp").mkdir(exist_ok=True)
    os.chmod(image / "tmp", 0o1777)  # noqa: S103, PTH101 - as /tmp is everywhere


if __name__ == "__main__":
    main()
