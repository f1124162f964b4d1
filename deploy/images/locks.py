"""`python -m deploy.images.locks [--check]`: cuts each image's lock out of requirements.lock, hashes and all.

What an image needs beyond its own roots is read from the lock's `# via` lines, so that nothing is resolved
anew and no index is asked. Exit status: 0 written, or with --check none would change; 1 one would.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
FOLDER = Path(__file__).with_name("locks")
# What each image's programs import, by the names of the lock.
ROOTS = {
    "exporter": ("nvidia-ml-py", "prometheus-client"),
    "gateway": (
        "fastapi",
        "httptools",
        "limits",
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-sdk",
        "orjson",
        "prometheus-client",
        "pydantic",
        "pyyaml",
        "redis",
        "requests",
        "structlog",
        "uvicorn",
        "uvloop",
    ),
    "load": ("orjson",),
    "simulator": ("prometheus-client",),
    "weights": ("boto3", "httpx", "huggingface-hub"),
    "suite": (
        "allure-pytest",
        "httpx",
        "jinja2",
        "kubernetes",
        "matplotlib",
        "nvidia-ml-py",
        "numpy",
        "orjson",
        "pandas",
        "prometheus-api-client",
        "prometheus-client",
        "pyarrow",
        "pydantic",
        "pytest",
        "pytest-asyncio",
        "pyyaml",
        "rich",
        "testcontainers",
        "trustme",
    ),
}
_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.MULTILINE)


def entries(lock: str) -> dict[str, list[str]]:
    """The lock's text by package: one for each of its versions (a lock may have one a Python)."""
    starts = [match.start() for match in _NAME.finditer(lock)]
    found: dict[str, list[str]] = {}
    for start, end in zip(starts, [*starts[1:], len(lock)], strict=True):
        text = lock[start:end]
        found.setdefault(text.partition("==")[0], []).append(text)
    return found


def needed_by(text: str) -> set[str]:
    """Who needs a package: the names in its `# via` lines."""
    lines = [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]
    words = " ".join(line.removeprefix("#").strip().removeprefix("via") for line in lines).split()
    return {word for word in words if re.fullmatch(r"[a-z0-9][a-z0-9._-]*", word)}


def cut(lock: str, roots: tuple[str, ...]) -> str:
    """The lock of `roots` and all that they need. Raises KeyError for a root that the lock does not have."""
    packages = entries(lock)
    wanted = {root for root in roots if packages[root]}
    while more := {
        name
        for name, texts in packages.items()
        if name not in wanted and any(needed_by(text) & wanted for text in texts)
    }:
        wanted |= more
    kept = [text for name in sorted(wanted) for text in packages[name]]
    bare = ["\n".join(line for line in text.splitlines() if "#" not in line.lstrip()[:1]) for text in kept]
    head = "# Cut out of requirements.lock by `python -m deploy.images.locks`; do not edit.\n"
    return head + "".join(f"{text}\n" for text in bare)


def main() -> int:
    """Write or compare all of them."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images.locks", description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    lock = LOCK.read_text(encoding="utf-8")
    stale = []
    for image, roots in ROOTS.items():
        path, text = FOLDER / f"{image}.txt", cut(lock, roots)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if not check:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
