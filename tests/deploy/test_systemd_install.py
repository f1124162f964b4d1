"""The README's commands, run into a folder: what the units then name is there, and their programs take it."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy.engine.configuration import load as load_engine
from deploy.gateway.keys import KeyRing
from deploy.gateway.settings import load as load_gateway
from deploy.watchdog.settings import load as load_checks
from tests.deploy.alerting import tool

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
README = (UNITS / "README.md").read_text()
# Of the machine, not of a folder: their names are kept, their work is not done.
STUBS = ("systemctl", "systemd-sysusers")
PLACES = re.compile(r"(?<![\w.-])/(etc|opt|srv)/")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host's root after the commands under "Install"."""
    root = tmp_path_factory.mktemp("root")
    for name in STUBS:
        (root / "bin").mkdir(exist_ok=True)
        (root / "bin" / name).symlink_to("/bin/true")
    [block] = re.findall(r"^## Install\n.*?^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    users = set(re.findall(r"^u +(\S+)", (UNITS / "vllm-slo.sysusers.conf").read_text(), re.MULTILINE))
    assert set(re.findall(r" -g (\S+)", block)) <= users
    # What is written into a file is for the host; where it is written to is here.
    script = "".join(
        line if "sed " in line else PLACES.sub(rf"{root}/\1/", line) for line in block.splitlines(True)
    )
    script = re.sub(r"^(sed .*>)(/etc/)", rf"\1{root}\2", script, flags=re.MULTILINE)
    script = re.sub(r" -g \S+", "", script).replace(".venv/bin/python", sys.executable)
    (root / "etc/sysusers.d").mkdir(parents=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    environment = {**os.environ, "PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


def variables(host: Path) -> dict[str, str]:
    """What systemd puts into the environment of the engine and of the gateway."""
    lines = (host / "etc/vllm-slo/engine.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def units(host: Path) -> dict[str, str]:
    return {
        path.name: path.read_text() for path in (host / "etc/systemd/system").glob("*.*") if path.is_file()
    }


def test_every_unit_is_installed_and_every_file_that_one_names_is_there(host: Path) -> None:
    found = units(host)
    kinds = (".service", ".timer", ".target")
    assert found.keys() == {path.name for path in UNITS.iterdir() if path.suffix in kinds}
    assert (host / "etc/systemd/system/nginx.service.d/vllm-slo.conf").is_file()
    for name, text in found.items():
        settings = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        named = set(re.findall(r"(?<![\w/])/etc/vllm-slo[\w./-]*", settings))
        named |= set(re.findall(r"^BindPaths=[^:]+:(\S+)$", settings, re.MULTILINE))
        assert {path for path in named if not (host / path[1:]).exists()} == set(), name


def test_the_target_wants_every_unit_that_stays_and_the_timer(host: Path) -> None:
    wanted = set(
        re.findall(r"\S+", " ".join(re.findall(r"^Wants=(.*)$", units(host)["vllm-slo.target"], re.M)))
    )
    assert wanted == {name for name, text in units(host).items() if "WantedBy=vllm-slo.target" in text}


def test_the_gateway_has_the_keys_that_it_asks_for(host: Path, tmp_path: Path) -> None:
    settings = load_gateway(host / "etc/vllm-slo/gateway.yaml")
    assert {settings.upstream.api_key_env} <= variables(host).keys()
    assert str(settings.keys_file) == "/etc/vllm-slo/keys.yaml"
    assert [str(one) for one in settings.trusted_proxies] == ["127.0.0.1/32", "::1/128"]
    document = yaml.safe_load((host / "etc/vllm-slo/gateway.yaml").read_text())
    here = tmp_path / "gateway.yaml"
    here.write_text(yaml.safe_dump({**document, "keys_file": str(host / "etc/vllm-slo/keys.yaml")}))
    assert KeyRing(load_gateway(here), {}).names == ("suite",)


def test_engine_and_checks_have_settings_that_can_be_used(host: Path) -> None:
    assert load_engine(host / "etc/vllm-slo/engine.yaml").listen.port == 8000
    checks = load_checks(host / "etc/vllm-slo/checks.yaml", variables(host))
    assert checks.children.keys() == {"engine", "gateway"}


def test_prometheus_and_alertmanager_take_what_was_installed(host: Path) -> None:
    folder = host / "etc/vllm-slo"
    said = tool("promtool", "check", "config", folder / "prometheus/prometheus.yml")
    assert "rule files found" in said
    assert "SUCCESS" in tool("amtool", "check-config", folder / "alertmanager.yml")


def test_alerts_go_to_the_receiver_of_this_host_with_the_token_that_it_asks_for(host: Path) -> None:
    unit = units(host)["vllm-alert-receiver.service"]
    [port], [token] = re.findall(r"--port (\d+)", unit), re.findall(r"--token-file (\S+)", unit)
    config = yaml.safe_load((host / "etc/vllm-slo/alertmanager.yml").read_text())
    webhooks = [one for receiver in config["receivers"] for one in receiver["webhook_configs"]]
    assert {one["url"] for one in webhooks} == {f"http://127.0.0.1:{port}/alerts"}
    assert {one["http_config"]["authorization"]["credentials_file"] for one in webhooks} == {token}
    assert len((host / token[1:]).read_text().strip()) == 64


def test_secrets_are_not_for_everybody_to_read_and_settings_are(host: Path) -> None:
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (host / "etc/vllm-slo").iterdir()
        if path.is_file()
    }
    secret = {"engine.env": 0o600, "alert_token": 0o640, "keys.yaml": 0o640}
    assert modes == {**dict.fromkeys(modes, 0o644), **secret}
