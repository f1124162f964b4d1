"""The GPU exporter of a local stack: on NVML, or on a stub of it whose readings the profile dictates."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from environments.binaries import ROOT
from environments.ports import take_port
from environments.process import Process
from environments.profile import ExporterProfile, PortProfile
from environments.provider import MissingBinary

STUB = ROOT / ".cache" / "nvml-stub" / "libnvidia-ml.so.1"
READINGS = ROOT / "deploy" / "exporter" / "stub" / "a6000.state"
STUB_NOTE = "the GPU readings are a stub's: they say nothing about any GPU"


@dataclass(frozen=True, slots=True)
class Exporter:
    """A started exporter. `readings` is the file that dictates a stub's values; null where they are real."""

    metrics_url: str
    process: Process
    readings: Path | None


def start_exporter(
    profile: ExporterProfile, ports: PortProfile, private: Path, logs: Path
) -> Exporter | None:
    """Start it, or None where the profile wants none. MissingBinary where the stub was not compiled."""
    if profile.kind == "none":
        return None
    port = take_port(ports.exporter, "GPU exporter")
    readings = _dictated(profile, private) if profile.kind == "stub" else None
    program = profile.program or (sys.executable, "-m", "deploy.exporter")
    stubbed = {"LD_LIBRARY_PATH": str(STUB.parent), "NVML_STUB_STATE": str(readings)} if readings else {}
    process = Process.start(
        "exporter",
        [*program, "--port", str(port), *profile.arguments],
        log=logs / "exporter.log",
        cwd=ROOT,
        environment=stubbed,
    )
    return Exporter(f"http://127.0.0.1:{port}/metrics", process, readings)


def _dictated(profile: ExporterProfile, private: Path) -> Path:
    if not STUB.is_file():
        raise MissingBinary(
            "the stub of NVML is not there",
            expected=str(STUB.relative_to(ROOT)),
            hint="`make setup PARTS=stub` compiles it with gcc; or `exporter: {kind: none}` in the profile",
        )
    path = private / "nvml.state"
    kept = [line for line in READINGS.read_text().splitlines() if line.split(" ")[0] not in profile.readings]
    path.write_text(
        "\n".join([*kept, *(f"{name} {value}" for name, value in profile.readings.items())]) + "\n"
    )
    return path
