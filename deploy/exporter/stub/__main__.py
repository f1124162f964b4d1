"""`python -m deploy.exporter.stub [--out FOLDER]`: compiles the NVML stub; prints the path of the library.

With the standard library only, so that the set-up can run it. Done again only when the source changed.
Exit status: 0 it is there, 1 it does not compile, 2 there is no C compiler (stderr says what to install).
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_stub.c")
OUT = Path(".cache/nvml-stub")
NAME = "libnvidia-ml.so.1"
FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC", f"-Wl,-soname,{NAME}")
COMPILERS = ("cc", "gcc", "clang")
BOUND_S = 120.0


def main() -> int:
    """Compile unless it is done already."""
    parser = argparse.ArgumentParser(prog="python -m deploy.exporter.stub", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER", help=f"default {OUT}")
    library = parser.parse_args().out / NAME
    mark = library.with_name("source.sha256")
    digest = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()
    if not (library.is_file() and mark.is_file() and mark.read_text() == digest):
        compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
        if compiler is None:
            print(f"stub: expected a C compiler ({', '.join(COMPILERS)}); install gcc", file=sys.stderr)
            return 2
        if not _compiled(compiler, library):
            return 1
        mark.write_text(digest)
    print(library)
    return 0


def _compiled(compiler: str, library: Path) -> bool:
    """Put the library in place whole: another process may be loading the one that is there."""
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        fresh = Path(folder) / NAME
        done = subprocess.run([compiler, *FLAGS, "-o", fresh, SOURCE], timeout=BOUND_S, check=False)
        if done.returncode == 0:
            fresh.replace(library)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
