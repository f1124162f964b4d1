"""Guides: every command, path, option, variable, port and name in them exists in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache

import pytest

from tests.deploy import guide_claims
from tests.deploy.guide_claims import ROOT, Guide

STACKS = ("eks", "minikube", "a6000", "kubeadm", "rtx3090")
FOLDER = ROOT / "deploy/guides"
TEXT = {
    ".py",
    ".yaml",
    ".yml",
    ".tf",
    ".hcl",
    ".sh",
    ".service",
    ".target",
    ".timer",
    ".conf",
    ".json",
    ".md",
    ".toml",
    ".Containerfile",
    "",
}

# Programs' own names, of which nothing stands in this repository.
OTHERS_NAMES = {
    "ingress-nginx",
    "ingress-nginx-controller",
    "kube-prometheus-stack-grafana",
    "cert-manager",
    "keda",
    "nginx-gateway",
}
OTHERS_VARIABLES = {"CUDA_VISIBLE_DEVICES", "AWS_REGION", "GF_SERVER_HTTP_ADDR"}
# pytest's and other programs' options that stand alone in a sentence.
OTHERS_OPTIONS = {"--gpus"}


def guides() -> list[Guide]:
    return [Guide(file.stem, file.read_text()) for file in sorted(FOLDER.glob("*.md"))]


@pytest.fixture(params=guides(), ids=lambda guide: guide.name)
def guide(request: pytest.FixtureRequest) -> Guide:
    found = request.param
    assert isinstance(found, Guide)
    return found


def pages() -> list[Guide]:
    """The guides, and the pages from which people copy commands."""
    names = ["README.md", *(f"{room}/README.md" for room in ("benchmarks", "deploy", "reports", "suites"))]
    names += [".github/CONTRIBUTING.md", ".github/workflows/README.md"]
    return [*guides(), *(Guide(name, (ROOT / name).read_text()) for name in names)]


@pytest.fixture(params=pages(), ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Guide:
    found = request.param
    assert isinstance(found, Guide)
    return found


@cache
def corpus(*rooms: str) -> str:
    """All text of these rooms, guides left out: a guide is no evidence for a guide."""
    files = [
        file
        for room in rooms
        for file in ([ROOT / room] if (ROOT / room).is_file() else (ROOT / room).rglob("*"))
    ]
    return "\n".join(
        file.read_text(errors="replace")
        for file in files
        if file.is_file()
        and file.suffix in TEXT
        and FOLDER not in file.parents
        and "__pycache__" not in file.parts
    )


def unknown(names: Iterable[str], text: str) -> list[str]:
    return sorted(name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


def source(module: str) -> str:
    """The text of a module's package, or an assertion that there is none."""
    place = ROOT.joinpath(*module.split("."))
    if place.with_suffix(".py").is_file():
        return place.with_suffix(".py").read_text()
    assert (place / "__main__.py").is_file(), f"python -m {module}"
    return "\n".join(file.read_text() for file in place.rglob("*.py"))


def test_each_stack_has_a_page() -> None:
    assert {*STACKS, "cost"} <= {guide.name for guide in guides()}


@pytest.mark.parametrize("stack", STACKS)
def test_a_page_says_what_was_promised_and_what_was_not_run(stack: str) -> None:
    text = (FOLDER / f"{stack}.md").read_text()
    assert "## What the published stack promised, and what this one does\n" in text
    assert "## What was not run here\n" in text
    assert re.search(r"pytest -m smoke --env attach --base-url \S+ --api-key-env \w+", text)


def test_every_path_exists(guide: Guide) -> None:
    missing = [one for one in sorted(guide_claims.paths(guide)) if not any(ROOT.glob(one.rstrip("/")))]
    assert missing == []


def test_every_target_and_part_exists(page: Guide) -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert guide_claims.targets(page) - known == set()
    assert unknown(guide_claims.parts(page), source("deploy.setup")) == []


def test_every_module_exists_and_knows_its_options(page: Guide) -> None:
    for module, options in guide_claims.modules(page):
        if module != "pytest":
            assert unknown(options, source(module)) == [], module


def test_every_option_of_pytest_is_ours(guide: Guide) -> None:
    options = guide_claims.pytest_options(guide) - OTHERS_OPTIONS
    assert unknown(options, corpus("fixtures", "deploy")) == []


def test_every_variable_is_read_by_something(guide: Guide) -> None:
    own = guide_claims.assigned(guide)
    code = guide.code
    for name in own - OTHERS_VARIABLES:
        used = len(re.findall(rf"\b{name}\b", code)) > 1
        assert used or not unknown([name], corpus("deploy", "environments")), (
            f"{name} is set, and nothing reads it"
        )
    others = guide_claims.variables(guide) - own - OTHERS_VARIABLES
    assert unknown(others, corpus("deploy", "environments", "fixtures", "Makefile")) == []


def test_every_port_stands_in_the_repository(guide: Guide) -> None:
    assert unknown(guide_claims.ports(guide), corpus("deploy")) == []


def test_every_name_of_kubernetes_is_in_its_manifests(guide: Guide) -> None:
    for folder in guide_claims.kustomizations(guide):
        assert (ROOT / folder / "kustomization.yaml").is_file(), folder
    names = guide_claims.kubernetes_names(guide) - OTHERS_NAMES
    assert unknown(names, corpus("deploy/kubernetes")) == []


def test_every_unit_exists(guide: Guide) -> None:
    missing = [unit for unit in guide_claims.units(guide) if not any((ROOT / "deploy").rglob(unit))]
    assert missing == []


def test_every_place_on_a_host_is_one_that_the_units_or_settings_know(guide: Guide) -> None:
    assert unknown(guide_claims.host_places(guide), corpus("deploy")) == []


def test_a_host_starts_its_units_when_all_that_they_need_is_there() -> None:
    text = (FOLDER / "a6000.md").read_text()
    start = text.index("systemctl enable --now vllm-slo.target")
    for needed in (
        "/srv/vllm-slo/models/llama",
        "/etc/vllm-slo/keys.yaml",
        "apt-get install -y prometheus prometheus-alertmanager",
        "deploy/systemd/README.md",  # which puts what Prometheus reads where it is read
        "nginx -t",
    ):
        assert text.index(needed) < start, needed


def test_every_output_and_variable_of_terraform_exists(guide: Guide) -> None:
    module = ROOT / "deploy/terraform" / guide.name
    text = "\n".join(file.read_text() for file in module.glob("*.tf"))
    for kind, named in (
        ("output", guide_claims.terraform_outputs(guide)),
        ("variable", guide_claims.terraform_variables(guide)),
    ):
        assert named - set(re.findall(rf'^{kind} "(\w+)"', text, re.M)) == set()


@pytest.mark.parametrize(
    "command", sorted({" ".join(words) for guide in guides() for words in guide_claims.harmless(guide)})
)
def test_what_only_prints_really_does(command: str) -> None:
    argv = [sys.executable, "-m", *command.split()]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 1


WRONG = Guide(
    "eks",
    """
Look into `deploy/nowhere/x.yaml`; unit `vllm-nothing.service`.
It reads `/etc/vllm-slo/nothing.yaml`.

```sh
make nothing PARTS=nothing
export NOBODY_READS=1
.venv/bin/python -m deploy.cost --nothing 3
.venv/bin/pytest -m smoke --nothing --api-key-env \\
  NOBODY_SETS
kubectl -n nothing port-forward service/vllm-nothing 8081:18089
terraform apply -var 'nothing=1' && terraform output -raw nothing
```
""",
)


def test_what_does_not_exist_is_seen() -> None:
    """The reading itself, on a page that is wrong in every way."""
    assert guide_claims.paths(WRONG) == {"deploy/nowhere/x.yaml"}
    assert guide_claims.targets(WRONG) == {"nothing"}
    assert guide_claims.parts(WRONG) == {"nothing"}
    assert list(guide_claims.modules(WRONG)) == [("deploy.cost", ["--nothing"])]
    assert guide_claims.pytest_options(WRONG) == {"--nothing", "--api-key-env"}
    assert guide_claims.assigned(WRONG) == {"NOBODY_READS"}
    assert guide_claims.variables(WRONG) == {"NOBODY_READS", "NOBODY_SETS"}
    assert guide_claims.ports(WRONG) == {"18089"}
    assert guide_claims.kubernetes_names(WRONG) == {"nothing", "vllm-nothing"}
    assert guide_claims.host_places(WRONG) == {"/etc/vllm-slo/nothing.yaml"}
    assert guide_claims.units(WRONG) == {"vllm-nothing.service"}
    assert guide_claims.terraform_outputs(WRONG) == {"nothing"}
    assert guide_claims.terraform_variables(WRONG) == {"nothing"}
    for check in (
        test_every_path_exists,
        test_every_target_and_part_exists,
        test_every_module_exists_and_knows_its_options,
        test_every_option_of_pytest_is_ours,
        test_every_variable_is_read_by_something,
        test_every_port_stands_in_the_repository,
        test_every_name_of_kubernetes_is_in_its_manifests,
        test_every_unit_exists,
        test_every_place_on_a_host_is_one_that_the_units_or_settings_know,
        test_every_output_and_variable_of_terraform_exists,
    ):
        with pytest.raises(AssertionError):
            check(WRONG)
