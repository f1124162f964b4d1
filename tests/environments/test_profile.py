"""Profiles: every one that we ship is good, and what is wrong in one is named with its path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from environments.binaries import ROOT
from environments.profile import IngressProfile, Profile, known_profiles, profile_path
from instruments.catalog import checked, read_yaml
from instruments.errors import ConfigurationError

GOOD: dict[str, Any] = {
    "name": "mine",
    "description": "a place",
    "provider": "local",
    "engine": {"kind": "vllm", "arguments": ["--max-num-seqs", "64"]},
}


def read(path: Path) -> Profile:
    """As the suite reads one."""
    return checked(read_yaml(path), TypeAdapter(Profile), str(path))


def written(folder: Path, document: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("name", known_profiles())
def test_a_profile_that_is_shipped_can_be_read(name: str) -> None:
    assert read(profile_path(name)).name == name


def test_local_and_attach_are_known() -> None:
    assert {"local", "attach"} <= set(known_profiles())


def test_the_good_profile_is_good(tmp_path: Path) -> None:
    found = read(written(tmp_path, GOOD))
    assert found.engine is not None
    assert (found.name, found.engine.kind, found.engine.arguments) == (
        "mine",
        "vllm",
        ("--max-num-seqs", "64"),
    )
    assert found.ports.gateway == 0


def test_an_unknown_environment_lists_the_known() -> None:
    with pytest.raises(ConfigurationError) as error:
        profile_path("lokal")
    assert error.value.message == "unknown environment 'lokal'"
    for name in known_profiles():
        assert name in str(error.value)
    assert ".yaml" in str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("engine.kind", "llama", "'vllm', 'simulator' or 'external'"),
        ("engine.max_model_len", "long", "valid integer"),
        ("engine.arguments", "--flag", "valid tuple"),
        ("engine.ready_timeout_s", "soon", "valid number"),
        ("engine.modell", "tiny", "Unexpected keyword argument"),
        ("gateway.limited_requests", [1], "valid integer"),
        ("gateway.settings", 3, "valid dictionary"),
        ("ports.gateway", 65536, "less than or equal to 65535"),
        ("ports.engine", -1, "greater than or equal to 0"),
        ("ports.grafana", 3000, "Unexpected keyword argument"),
        ("engine.replicas", 0, "greater than or equal to 1"),
        ("ingress.rate", "ten a second", "should match pattern"),
        ("ingress.reject_code", 418, "429 or 503"),
        ("ingress.kind", "apache", "'nginx' or 'none'"),
        ("exporter.kind", "dcgm", "'nvml', 'stub' or 'none'"),
        ("monitoring", "sometimes", "'binaries', 'containers', 'auto' or 'none'"),
        ("limits.ttft-p95-lone-user", "quick", "valid number"),
        ("provider", "cloud", "'local', 'attach', 'running' or 'kubernetes'"),
        ("nmae", "mine", "Unexpected keyword argument"),
    ],
)
def test_a_wrong_field_is_named_with_its_path(tmp_path: Path, path: str, value: object, told: str) -> None:
    document = yaml.safe_load(yaml.safe_dump(GOOD))
    block, (*above, last) = document, path.split(".")
    for name in above:
        block = block.setdefault(name, {})
    block[last] = value
    file = written(tmp_path, document)
    with pytest.raises(ConfigurationError) as error:
        read(file)
    line = next(line for line in str(error.value).splitlines() if str(file) in line)
    assert line.strip().startswith(f"{file}.{path}")
    assert told in line
    assert repr(value) in line


def test_every_wrong_field_is_named_not_the_first_alone(tmp_path: Path) -> None:
    document = {**GOOD, "engine": {"kind": "llama", "max_model_len": "long"}, "monitoring": 1}
    with pytest.raises(ConfigurationError) as error:
        read(written(tmp_path, document))
    for path in (".engine.kind", ".engine.max_model_len", ".monitoring"):
        assert path in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"engine": None}, "a local stack needs an engine"),
        ({"engine": {"kind": "external"}}, "url belongs to an external engine, which needs one"),
        ({"engine": {"kind": "vllm", "url": "http://localhost:1"}}, "url belongs to an external engine"),
        (
            {"engine": {"kind": "external", "url": "http://localhost:1", "replicas": 2}},
            "replicas are engines of ours",
        ),
        (
            {"engine": {"kind": "vllm", "settings": "a.yaml", "arguments": ["--max-num-seqs", "8"]}},
            "settings hold all flags",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read(written(tmp_path, {**GOOD, **change}))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.provider: Field required"):
        read(written(tmp_path, {name: value for name, value in GOOD.items() if name != "provider"}))


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list\n"], ids=["empty", "words", "list"])
def test_a_file_that_holds_no_profile_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"mine\.yaml"):
        read(path)


def test_what_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nengine: [unclosed\nprovider: local\n")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml:3:\d+ is not YAML"):
        read(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigurationError, match=r"cannot read .*mine\.yaml"):
        read(path)


def test_a_missing_file_is_an_unknown_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown environment .*absent\.yaml"):
        profile_path(str(tmp_path / "absent.yaml"))


def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        path = tmp_path / "mine.yaml"  # root may read everything but a folder
        path.mkdir()
        seen = "Is a directory"
    else:
        path = written(tmp_path, GOOD)
        path.chmod(0)
        seen = "Permission denied"
    with pytest.raises(ConfigurationError, match=f"(?s)cannot read .*{seen}"):
        read(path)


def test_the_host_with_two_a6000_promises_what_its_users_are_told() -> None:
    found = read(profile_path("a6000"))
    assert found.engine is not None
    assert found.ingress is not None
    assert (found.engine.gpus, found.accelerator, found.exporter.kind) == (2, "NVIDIA RTX A6000", "nvml")
    limits = found.ingress
    assert (limits.rate, limits.burst, limits.reject_code, limits.streams) == ("10/second", 20, 429, 64)


def test_the_host_with_two_a6000_serves_what_the_engines_settings_say() -> None:
    found = read(profile_path("a6000")).engine
    assert found is not None
    assert found.settings is not None
    said = yaml.safe_load((ROOT / found.settings).read_text())
    assert found.model == said["model"]["served_name"]
    assert str(found.weights) == said["model"]["source"]
    assert found.max_model_len == said["model"]["max_model_len"]
    assert found.gpus == said["hardware"]["count"] == said["tensor_parallel"]


def test_an_ingress_here_waits_between_two_reads_as_one_on_a_host_does() -> None:
    said = (ROOT / "deploy" / "ingress" / "nginx" / "settings.py").read_text()
    (default,) = re.findall(r"^    read_timeout_s: .* = (\d+)", said, re.M)
    assert IngressProfile().read_timeout_s == int(default)
