"""Compose: what it mounts is there, what it starts parses, what must not be reached is not published."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.engine import flags
from deploy.engine.configuration import load as load_engine
from deploy.gateway.settings import load as load_gateway
from environments.binaries import ROOT
from tests.deploy.vllm_parser import rejections

FOLDER = ROOT / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = dict(
    line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if line[:1].isalpha()
)
A6000 = ROOT / "deploy" / "engine" / "settings" / "a6000.yaml"
MODEL = "/models/llama-3.1-70b-instruct-awq"


def filled(text: str) -> str:
    """Variables as .env.example has them; a default that is another one would be a trap."""

    def value(found: re.Match[str]) -> str:
        assert EXAMPLE[found[1]] == found[2], f"{found[1]} differs from .env.example"
        return EXAMPLE[found[1]]

    return re.sub(r"\$\{(\w+):-([^}]*)\}", value, text)


def test_every_variable_is_explained_in_the_example_and_is_no_secret() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text()))
    assert asked == EXAMPLE.keys()
    assert not [name for name in EXAMPLE if re.search("PASSWORD|KEY|TOKEN|SECRET$", name)]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_mounts_from_the_repository_is_there(name: str) -> None:
    volumes = COMPOSE["volumes"]
    for mount in SERVICES[name].get("volumes", []):
        source = filled(mount).split(":")[0]
        if source in volumes or source.startswith("/"):
            continue
        assert (FOLDER / source).exists(), source
        assert mount.endswith(":ro"), mount


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_image_is_pinned_and_its_powers_are_few(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+(-slim)?$", service["image"]), service["image"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
    assert service.get("read_only") or name == "engine"
    assert "healthcheck" in service or name == "exporter"  # that image has one of its own
    assert not {"privileged", "network_mode", "pid"} & service.keys()


def test_only_nginx_is_published_and_grafana_to_this_host_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.keys() == {"nginx", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_the_engine_is_reached_by_the_gateway_and_prometheus_only() -> None:
    assert [name for name, service in SERVICES.items() if "engines" in service["networks"]] == [
        "engine",
        "gateway",
        "prometheus",
    ]
    assert SERVICES["engine"]["networks"] == ["engines"]
    assert all(COMPOSE["networks"][name].get("internal") for name in ("inner", "engines", "monitoring"))


def test_secrets_are_files_outside_the_repository_and_each_is_used() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == COMPOSE["secrets"].keys()
    assert all(filled(one["file"]).startswith("./secrets/") for one in COMPOSE["secrets"].values())
    assert "/secrets/" in (FOLDER / ".gitignore").read_text()
    told = (FOLDER / "README.md").read_text()
    assert not [one for one in COMPOSE["secrets"].values() if Path(one["file"]).name not in told]


def test_no_environment_holds_a_secret() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY|TOKEN", key) or value.startswith("/run/secrets/"), (name, key)
    assert (
        SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
        == "/run/secrets/grafana_password"
    )


def test_the_engines_flags_are_those_of_its_settings() -> None:
    expected = flags.args(load_engine(A6000))
    expected[0] = MODEL
    expected[expected.index("--host") + 1] = "0.0.0.0"  # noqa: S104 - inside an internal network
    assert SERVICES["engine"]["command"] == expected
    assert SERVICES["engine"]["environment"] == flags.environment(load_engine(A6000))


def test_the_pinned_vllm_takes_the_engines_flags() -> None:
    assert rejections([SERVICES["engine"]["command"]]) == [None]


def test_grace_is_longer_than_what_ends_in_it() -> None:
    def seconds(words: str) -> int:
        return int(words.removesuffix("s"))

    command = SERVICES["engine"]["command"]
    shutdown_s = int(command[command.index("--shutdown-timeout") + 1])
    assert seconds(SERVICES["engine"]["stop_grace_period"]) > shutdown_s
    gateway = load_gateway(FOLDER / "gateway.yaml")
    assert seconds(SERVICES["gateway"]["stop_grace_period"]) > gateway.drain_timeout_s


def test_the_gateway_believes_nginx_alone() -> None:
    gateway = yaml.safe_load((FOLDER / "gateway.yaml").read_text())
    at = SERVICES["nginx"]["networks"]["inner"]["ipv4_address"]
    assert gateway["trusted_proxies"] == [f"{at}/32"]
    assert gateway["upstream"]["url"] == "http://engine:8000"


def test_nginxs_configuration_is_rendered_from_its_settings(tmp_path: Path) -> None:
    made = tmp_path / "nginx.conf"
    settings = FOLDER / "nginx.yaml"
    words = ["-m", "deploy.ingress.nginx", "render", "--settings", str(settings), "--output", str(made)]
    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, timeout=60)
    assert (FOLDER / "nginx.conf").read_text() == made.read_text(), f"render {settings} again"


def test_prometheus_has_a_file_of_targets_for_each_job() -> None:
    jobs = yaml.safe_load((ROOT / "deploy/monitoring/prometheus/prometheus.yml").read_text())[
        "scrape_configs"
    ]
    asked = {name for job in jobs for one in job["file_sd_configs"] for name in one["files"]}
    assert asked | {"targets/alertmanager.yml"} == {
        f"targets/{p.name}" for p in (FOLDER / "targets").glob("*.yml")
    }
    for path in (FOLDER / "targets").glob("*.yml"):
        for entry in yaml.safe_load(path.read_text()):
            for target in entry["targets"]:
                assert target.split(":")[0] in {*SERVICES, "localhost"}, target


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    version = docker and subprocess.run(
        [docker, "compose", "version"], capture_output=True, check=False, timeout=60
    )
    if not docker or not version or version.returncode:
        pytest.skip("no `docker compose` on this machine")
    subprocess.run([docker, "compose", "config", "--quiet"], cwd=FOLDER, check=True, timeout=60)
