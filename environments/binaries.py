"""Programs that are not ours: where `make setup` put them, or where the machine has them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from environments.provider import MissingBinary

ROOT = Path(__file__).resolve().parent.parent
MONITORING = ROOT / ".cache" / "monitoring" / "monitoring.json"
ENGINE = ROOT / ".engine" / "engine.json"
MODELS = ROOT / ".cache" / "models"
NGINX = ROOT / ".cache" / "nginx" / "programs.json"
REDIS = ROOT / ".cache" / "redis" / "programs.json"


@dataclass(frozen=True, slots=True)
class Binary:
    """A program, its version, the folder that it must be started in, if any, and where its libraries lie."""

    path: Path
    version: str
    cwd: Path | None = None
    libraries: str | None = None  # for LD_LIBRARY_PATH

    @property
    def environment(self) -> dict[str, str]:
        """What it must be started with."""
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


@dataclass(frozen=True, slots=True)
class EngineEnvironment:
    """The environment that holds vLLM."""

    python: Path
    pythonpath: tuple[Path, ...]
    version: str
    device: str  # "cpu" or "cuda"


def find_monitoring(name: str, *aliases: str) -> Binary | None:
    """A monitoring program that set-up unpacked, or one on PATH; None when there is neither."""
    return _found(MONITORING, name, *aliases)


def find_nginx() -> Binary | None:
    """NGINX as set-up unpacked it, or the machine's; None when there is neither."""
    return _found(NGINX, "nginx")


def find_redis() -> Binary | None:
    """redis-server as set-up unpacked it, or the machine's; None when there is neither."""
    return _found(REDIS, "redis-server")


def _found(description: Path, name: str, *aliases: str) -> Binary | None:
    try:
        entry = json.loads(description.read_text()).get(name)
    except (OSError, ValueError):
        entry = None
    if entry and (ROOT / entry["path"]).is_file():
        cwd = ROOT / entry["cwd"] if entry.get("cwd") else None
        places = ":".join(str(ROOT / place) for place in entry.get("libraries", ()))
        return Binary(ROOT / entry["path"], entry["version"] or "unknown", cwd, places or None)
    found = next((path for one in (name, *aliases) if (path := shutil.which(one))), None)
    return Binary(Path(found), "unknown") if found else None


def find_engine() -> EngineEnvironment:
    """The environment that `make setup` made for vLLM; MissingBinary without it."""
    try:
        entry = json.loads(ENGINE.read_text())
        python = ROOT / entry["python"]
        if not python.exists():
            raise FileNotFoundError(python)
    except (OSError, ValueError, KeyError) as error:
        raise MissingBinary(
            "vLLM is not installed for this suite",
            expected=".engine/ as `make setup` makes it",
            seen=f"{type(error).__name__}: {error}",
            hint="`make setup`; on a platform without vLLM `--engine simulator` (never enough for --gate)",
        ) from None
    paths = tuple(ROOT / path for path in entry.get("pythonpath", ()))
    return EngineEnvironment(python, paths, entry["vllm"], entry["device"])


def find_model(name: str) -> Path:
    """The folder of a model that set-up made; MissingBinary without it."""
    path = MODELS / name
    if not (path / "config.json").is_file():
        raise MissingBinary(
            f"the model {name!r} is not there",
            expected=f"{path.relative_to(ROOT)}/config.json",
            hint="`make setup` makes it on the spot, without a download",
        )
    return path
