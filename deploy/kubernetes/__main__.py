"""python -m deploy.kubernetes [--check]

Makes the generated files of this folder: rules and dashboards out of deploy/monitoring, the engine's
arguments out of deploy/engine/settings, the gateway's settings of each place, and what plain NGINX,
Prometheus and Alertmanager are given where no controller makes it. Run it after a change there.
With --check nothing is written; exit code 1 says that a file is not what would be made, and which.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.generated import (
    NOTE,
    dashboards_text,
    engine_patch_text,
    gateway_settings_text,
    rules_text,
)
from deploy.kubernetes.plain import (
    alertmanager_text,
    nginx_settings_text,
    prometheus_text,
    rules_file_text,
)

HERE = Path(__file__).parent
DEPLOY = HERE.parent
MONITORING = DEPLOY / "monitoring"
COMPONENTS = HERE / "components"
LAUNCH_BOUND_S = 60.0


def main(argv: list[str]) -> int:
    """Write the files, or say which differ."""
    parser = argparse.ArgumentParser(prog="python -m deploy.kubernetes", description="Makes generated/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    check = parser.parse_args(argv).check
    stale = [(file, text) for file, text in wanted() if not file.is_file() or file.read_text() != text]
    for file, text in stale:
        print(f"{'differs' if check else 'written'}: {file.relative_to(HERE)}")
        if not check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    return 1 if check and stale else 0


def wanted() -> Iterator[tuple[Path, str]]:
    """Every generated file and what it should hold."""
    monitoring = COMPONENTS / "monitoring" / "generated"
    yield monitoring / "rules.yaml", rules_text(sorted((MONITORING / "rules").glob("*.yml")))
    yield monitoring / "dashboards.yaml", dashboards_text(sorted((MONITORING / "dashboards").glob("*.json")))
    yield from _plain_monitoring(COMPONENTS / "prometheus" / "generated")
    for name, place in yaml.safe_load((HERE / "environments.yaml").read_text()).items():
        if place["way_in"] == "nginx":
            nginx = COMPONENTS / "nginx"
            settings = nginx_settings_text(nginx / "settings.yaml", place)
            yield nginx / "generated" / "nginx.conf", nginx_text(settings)
        folder = HERE / "overlays" / name / "generated"
        yield folder / "gateway.yaml", gateway_settings_text(HERE / "base" / "gateway-settings.yaml", place)
        if place["engine_settings"]:
            yield folder / "engine.yaml", engine_patch_text(place, launch(place), place["weights"])


def _plain_monitoring(folder: Path) -> Iterator[tuple[Path, str]]:
    yield (
        folder / "prometheus.yml",
        prometheus_text(MONITORING / "prometheus" / "prometheus.yml"),
    )
    yield (
        folder / "alertmanager.yml",
        alertmanager_text(MONITORING / "alertmanager" / "alertmanager.yml"),
    )
    for file in sorted((MONITORING / "rules").glob("*.yml")):
        yield folder / file.name, rules_file_text(file)


def nginx_text(settings: str) -> str:
    """What deploy.ingress.nginx makes of settings, for Debian 12's nginx. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "settings.yaml")
        file.write_text(settings)
        command = [sys.executable, "-m", "deploy.ingress.nginx", "render", "--settings", str(file)]
        done = subprocess.run(
            command, cwd=DEPLOY.parent, check=True, stdout=subprocess.PIPE, text=True, timeout=LAUNCH_BOUND_S
        )
    return NOTE.format(sources="components/nginx/settings.yaml and environments.yaml") + done.stdout


def launch(place: Mapping[str, Any]) -> dict[str, Any]:
    """What deploy.engine makes of a settings file: `args` and `environment`. Raises CalledProcessError."""
    file = DEPLOY / "engine" / "settings" / place["engine_settings"]
    command = [sys.executable, "-m", "deploy.engine.launch", "--settings", str(file), "--print-json"]
    done = subprocess.run(
        command, cwd=DEPLOY.parent, check=True, stdout=subprocess.PIPE, timeout=LAUNCH_BOUND_S
    )
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
