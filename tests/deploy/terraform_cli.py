"""Terraform as the tests run it: on a copy, with providers from a folder, without a backend or an account."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROVIDER = Path("registry.terraform.io/hashicorp/aws/5.100.0")
LIMIT_S = 300


def configured_mirrors() -> Iterator[Path]:
    """Mirrors that Terraform's own configuration file names."""
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    file = Path(named) if named else Path.home() / ".terraformrc"
    if file.is_file():
        mirrors = re.findall(r"filesystem_mirror\s*\{[^}]*?\bpath\s*=\s*\"([^\"]+)\"", file.read_text())
        yield from (Path(one) for one in mirrors)


def usual_mirrors() -> Iterator[Path]:
    """The folders that Terraform looks into by itself, and those of add-on software (FHS: /opt)."""
    yield Path.home() / ".terraform.d/plugins"
    data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    homes = [os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share"), *data.split(":")]
    yield from (Path(one) / "terraform/plugins" for one in homes)
    yield from sorted(Path("/opt").glob("*"))


def mirror() -> Path | None:
    """A folder that `terraform providers mirror` could have made and that has our provider, or None."""
    named = os.environ.get("TF_PLUGIN_MIRROR")
    places = [Path(named)] if named else [*configured_mirrors(), *usual_mirrors()]
    return next((one for one in places if (one / PROVIDER).is_dir()), None)


def why_not() -> str | None:
    """Why Terraform cannot run here, or None where it can."""
    if shutil.which("terraform") is None:
        return "terraform is not installed"
    if mirror() is None:
        return (
            f"no folder with {PROVIDER}: make one with `terraform providers mirror FOLDER`"
            " in deploy/terraform/eks and name it in TF_PLUGIN_MIRROR"
        )
    return None


def configuration(folder: Path) -> Path:
    """A CLI configuration in `folder` that takes providers from the mirror alone."""
    file = folder / "terraformrc"
    file.write_text(
        "disable_checkpoint = true\n"
        "provider_installation {\n"
        "  filesystem_mirror {\n"
        f'    path    = "{mirror()}"\n'
        '    include = ["registry.terraform.io/*/*"]\n'
        "  }\n"
        "}\n"
    )
    return file


def copy(folder: Path) -> Path:
    """Copy deploy/terraform and the policies it reads into `folder`; the copy of deploy/terraform."""
    for room in ("terraform", "iam"):
        shutil.copytree(
            ROOT / "deploy" / room,
            folder / room,
            ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfvars", "backend.hcl"),
        )
    configuration(folder)
    return folder / "terraform"


def terraform(module: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`terraform WORDS` in a module of a copy; output and error are one text."""
    env = os.environ | {
        "TF_CLI_CONFIG_FILE": str(module.parents[1] / "terraformrc"),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        # A credential of the machine is of no use to a mock.
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return subprocess.run(
        [shutil.which("terraform") or "terraform", f"-chdir={module}", *words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
