"""Places: where the clone keeps what the benchmarks install and write, and what machine this is."""

import os
import platform
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".cache" / "benchmarks"
MODEL = ROOT / ".cache" / "models" / "tiny"
ENGINE = ROOT / ".engine"
PYTHON = sys.executable
MODEL_NAME = "tiny"


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def server_cores() -> list[int]:
    """The server's core: the first; none where cores cannot be told apart."""
    return cores()[:1]


def client_cores(processes: int = 1) -> list[int]:
    """The client's cores, one a process: those after the server's, as far as there are any."""
    return cores()[1 : 1 + processes] or cores()[:1]


def pinned(to: list[int], argv: list[str]) -> list[str]:
    """`argv` held to some cores with all its children; unchanged where that cannot be done."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", ",".join(map(str, to)), *argv] if to and taskset else argv


def pinning() -> str:
    """How server and client are kept apart, in words."""
    if shutil.which("taskset") is None or not cores():
        return "NOT PINNED: this machine has no taskset, so server and client share the cores"
    if len(cores()) == 1:
        return f"ONE CORE ONLY ({cores()[0]}): server and client share it, so every error is an upper bound"
    return f"server on core {cores()[0]}, client with all its children on core {cores()[1]}"


def machine() -> dict[str, object]:
    """The machine by what decides a figure: cores, memory, kernel, Python."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(cores()) or os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "python": platform.python_version(),
        "pinning": pinning(),
    }
