"""Terraform: formatted, valid by the provider's own schema, and its plans say what is promised."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import terraform_cli
from tests.deploy.terraform_cli import ROOT, terraform

MODULES = ("eks", "kubeadm")
SCANNER = ROOT / ".tools/checkov/bin/checkov"

needs_terraform = pytest.mark.skipif(
    terraform_cli.why_not() is not None, reason=terraform_cli.why_not() or "it is here"
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/terraform, each module initialised without its backend."""
    copied = terraform_cli.copy(tmp_path_factory.mktemp("deploy"))
    for name in MODULES:
        done = terraform(copied / name, "init", "-backend=false", "-input=false", "-lockfile=readonly")
        assert done.returncode == 0, done.stdout
    return copied


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_every_file_is_formatted() -> None:
    done = terraform(ROOT / "deploy/terraform", "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout


@needs_terraform
@pytest.mark.parametrize("module", MODULES)
def test_the_provider_finds_it_valid(tree: Path, module: str) -> None:
    done = terraform(tree / module, "validate", "-json")
    said = json.loads(done.stdout)
    assert said["valid"], done.stdout
    assert said["warning_count"] == 0, done.stdout


@needs_terraform
@pytest.mark.parametrize("module", MODULES)
def test_its_plans_say_what_is_promised(tree: Path, module: str) -> None:
    """The facts are in tests/facts.tftest.hcl of each module; the provider is mocked, its schema is not."""
    done = terraform(tree / module, "test", "-no-color")
    assert done.returncode == 0, done.stdout
    assert ", 0 failed." in done.stdout


@pytest.mark.skipif(not SCANNER.exists(), reason="no policy scanner: make setup PARTS=checkov")
def test_the_policy_scan_finds_nothing_that_is_not_accepted() -> None:
    argv = [
        str(SCANNER),
        "--skip-download",
        "--config-file",
        ".checkov.yaml",
        "--directory",
        ".",
        "--output",
        "json",
    ]
    done = subprocess.run(
        argv,
        cwd=ROOT / "deploy/terraform",
        capture_output=True,
        text=True,
        timeout=terraform_cli.LIMIT_S,
        check=False,
    )
    said = json.loads(done.stdout)
    findings = [f"{one['check_id']} {one['resource']}" for one in said["results"]["failed_checks"]]
    assert findings == []
    assert said["summary"]["passed"] > 150
    assert said["summary"]["parsing_errors"] == 0
