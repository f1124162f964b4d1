"""The clone: where each part lies in it, and the environment that keeps caches inside it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from deploy.setup.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
CACHE = ROOT / ".cache"
SUITE = ROOT / ".venv"
ENGINE = ROOT / ".engine"
MONITORING = CACHE / "monitoring"
MODEL = CACHE / "models" / "tiny"
OTHER_SETUP_LIMIT_S = 3600.0


def shown(path: Path) -> str:
    """`path` as a person in the clone would write it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def environment() -> dict[str, str]:
    """The caller's environment, with every cache and every temporary file moved into the clone."""
    scratch = CACHE / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    moved = {
        "UV_CACHE_DIR": CACHE / "uv",
        "UV_PYTHON_INSTALL_DIR": TOOLS / "python",
        "PIP_CACHE_DIR": CACHE / "pip",
        "npm_config_cache": CACHE / "npm",
        "XDG_CACHE_HOME": CACHE / "xdg",
        "TMPDIR": scratch,
    }
    fixed = {
        "UV_PYTHON_INSTALL_BIN": "0",  # else uv links python3.11 into the user's own bin folder
        "UV_NO_CONFIG": "1",  # a uv.toml of the machine's must not change what a lock means
        "UV_NO_PROGRESS": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    # An activated environment of the caller's would otherwise be taken for the one to install into.
    kept = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}}
    return kept | {k: str(v) for k, v in moved.items()} | fixed


@contextmanager
def sole_setup() -> Iterator[None]:
    """Keep a second set-up of the same clone waiting until this one is through."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        if not _taken(lock):
            print("another set-up works on this clone; waiting for it to end ...", flush=True)
            until = time.monotonic() + OTHER_SETUP_LIMIT_S
            while not _taken(lock):
                if time.monotonic() > until:
                    seen = f"it still runs after {OTHER_SETUP_LIMIT_S:.0f} s"
                    raise SetupError(
                        "another set-up of this clone to end", seen, "end it, then run this again"
                    )
                time.sleep(0.2)
        yield


def _taken(lock: IO[str]) -> bool:
    """Whether this process now holds `lock`; the system takes it back when the process ends, in any way."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
