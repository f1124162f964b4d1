"""Prometheus and Alertmanager: the machine's own when it has them, else Debian's unpacked in the clone."""

import json
import re
import shutil
from pathlib import Path

from deploy.setup import alertmanager, clone, debian, step
from deploy.setup.errors import SetupError
from deploy.setup.stamp import Stamp, stamp

TREE = clone.MONITORING / "root"
DESCRIPTION = clone.MONITORING / "monitoring.json"
# What each program may be called; Debian puts the project's name before some of them.
NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "amtool": ("amtool",),
}
WITHOUT = "do without: `make smoke PARTS='suite engine model'` scrapes the engine's /metrics directly"
Program = dict[str, str | None]


def install() -> None:
    """Write monitoring.json: where each program is, its version, and the folder to start it in."""
    present = {name: found for name, names in NAMES.items() if (found := _on_path(names))}
    made = stamp(
        clone.MONITORING,
        [Path(__file__), Path(alertmanager.__file__), Path(debian.__file__)],
        *(f"{name}={path}" for name, path in present.items()),
    )
    if made.matches and DESCRIPTION.is_file():
        print(f"  {clone.shown(DESCRIPTION)} is complete")
    elif len(present) == len(NAMES):
        _complete(made, {name: _program(name, path, None) for name, path in present.items()})
    elif debian.at_hand():
        _complete(made, _unpacked())
    else:
        print(
            "  neither Prometheus nor apt-get is on this machine: monitoring falls back to containers, and\n"
            "  without a container engine to direct scrapes of the engine's /metrics. This is not an error."
        )


def _on_path(names: tuple[str, ...]) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)


def _unpacked() -> dict[str, Program]:
    with step.step("fetch the package lists of this system's release"):
        debian.update()
    # promtool is inside `prometheus` up to Debian 12, and a package of its own after that.
    packages = ["prometheus", "prometheus-alertmanager"] + (["promtool"] if debian.has("promtool") else [])
    with step.step(f"fetch {', '.join(packages)} and unpack them in {clone.shown(TREE)}"):
        debian.unpack(packages, TREE)
    programs: dict[str, Program] = {}
    for name, names in NAMES.items():
        path = _unpacked_program(names)
        moved = name == "alertmanager" and alertmanager.make_relative(path)
        programs[name] = _program(name, path, TREE if moved else None)
        if name == "alertmanager":
            alertmanager.check_starts(path, TREE)
    return programs


def _unpacked_program(names: tuple[str, ...]) -> Path:
    places = [TREE / "usr" / "bin" / name for name in names]
    for place in places:
        if place.is_file():
            return place
    seen = f"no {' or '.join(clone.shown(place) for place in places)} after unpacking"
    raise SetupError(f"this release's packages to hold {names[0]}", seen, WITHOUT)


def _program(name: str, path: Path, folder: Path | None) -> Program:
    """A program's entry: paths in the clone are relative to its root; start it in `cwd` if there is one."""
    said = step.output([path, "--version"]) or ""
    version = re.search(rf"{name}, version (\S+)", said)
    return {
        "path": clone.shown(path),
        "version": version[1] if version else None,
        "cwd": clone.shown(folder) if folder else None,
    }


def _complete(made: Stamp, programs: dict[str, Program]) -> None:
    clone.MONITORING.mkdir(parents=True, exist_ok=True)
    DESCRIPTION.write_text(json.dumps(programs, indent=2) + "\n")
    for name, program in programs.items():
        print(f"  {name} {program['version']} at {program['path']}")
    made.write()
