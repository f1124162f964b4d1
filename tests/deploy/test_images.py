"""The container images: linted, cut from the lock, without rights or secrets; run where Docker answers."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy.images.locks import ROOTS, cut, entries
from environments.containers import docker_answers
from tests.environments.census import eventually

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "deploy" / "images"
FILES = sorted(IMAGES.glob("*.Containerfile"))
OURS = [path for path in FILES if path.name != "engine.Containerfile"]
BASE = "local/python-base:3.11"  # deploy/images/README.md says how it is made
FOLDERS = {
    "suite": ("instruments", "environments", "fixtures", "suites", "reports"),
    "load": tuple(f"instruments/{name}" for name in ("arrivals", "remote", "transport")),
    **{name: (f"deploy/{name}",) for name in ("gateway", "exporter", "simulator", "weights")},
}
LOADED_BY_NAME = {"exporter": {"nvidia-ml-py"}}
LOCK = """a==1 \\
    --hash=sha256:aa
    # via top (pyproject.toml)
b==2 ; python_version < '3.12' \\
    --hash=sha256:bb
    # via
    #   a
    #   d
b==3 ; python_version >= '3.12' \\
    --hash=sha256:b3
    # via a
c==4 \\
    --hash=sha256:cc
    # via b
d==5 \\
    --hash=sha256:dd
    # via top (pyproject.toml)
"""


def ids(path: Path) -> str:
    return path.name.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_hadolint_has_nothing_to_say_against_a_containerfile(path: Path) -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_shellcheck_has_nothing_to_say_against_the_build() -> None:
    program = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([program, IMAGES / "build"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", OURS, ids=ids)
def test_an_image_has_no_shell_no_root_and_a_pinned_base(path: Path) -> None:
    text = path.read_text()
    last = text.rpartition("\nFROM ")[2]
    assert last.startswith("scratch\n")
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["/usr/local/bin/python", ', last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last, re.MULTILINE)
    assert re.search(r"^ARG BASE=python:3\.11\.\d+-slim-bookworm$", text, re.MULTILINE)
    assert "--require-hashes" in text


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_an_image_holds_no_secret_and_says_its_version(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"(KEY|TOKEN|SECRET|PASSW\w*)=", text)
    assert ":latest" not in text
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'image.version="{version}"' in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


def test_the_engine_is_the_pinned_vllm() -> None:
    assert "ARG BASE=vllm/vllm-openai:v0.32.0\n" in (IMAGES / "engine.Containerfile").read_text()


def test_a_context_holds_what_is_named_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    named = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word.split("/")[0]
        for path in FILES
        for line in re.findall(r"^COPY (?!--from)(.*)$", path.read_text(), re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert {name.split("/")[0] for name in named} == copied
    assert not named & {".", ".git", "results", "tests", ".venv"}


def test_the_lock_of_an_image_is_its_roots_and_all_that_they_need() -> None:
    assert set(entries(LOCK)) == {"a", "b", "c", "d"}
    found = cut(LOCK, ("a",))
    assert re.findall(r"^\w+==\d", found, re.MULTILINE) == ["a==1", "b==2", "b==3", "c==4"]
    assert "--hash=sha256:b3" in found
    assert "via" not in found
    assert re.findall(r"^\w+==\d", cut(LOCK, ("d",)), re.MULTILINE) == ["b==2", "b==3", "c==4", "d==5"]
    with pytest.raises(KeyError):
        cut(LOCK, ("e",))


def test_the_locks_are_those_that_requirements_lock_gives() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for image, roots in ROOTS.items():
        committed = (IMAGES / "locks" / f"{image}.txt").read_text()
        assert committed == cut(lock, roots), f"{image}: run python -m deploy.images.locks"


@pytest.mark.parametrize("image", ROOTS)
def test_all_that_a_program_imports_is_in_its_images_lock(image: str) -> None:
    locked = set(entries((IMAGES / "locks" / f"{image}.txt").read_text()))
    of = packages_distributions()
    missing = {
        module
        for folder in FOLDERS[image]
        for path in (ROOT / folder).rglob("*.py")
        for module in imported(path)
        if module in of and not {name.lower().replace("_", "-") for name in of[module]} & locked
    }
    assert missing == set()
    assert LOADED_BY_NAME.get(image, set()) <= locked


def imported(path: Path) -> set[str]:
    """The top-level names of modules that a file imports, ours and the standard library's left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"deploy", *FOLDERS["suite"]}


def docker(*words: str | Path, bound_s: float = 240.0) -> str:
    command = ["docker", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=bound_s)
    assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout.strip()


@contextmanager
def built(name: str) -> Iterator[str]:
    """An image of this working tree, removed at the end. Skips where it cannot be built."""
    if shutil.which("docker") is None or not docker_answers():
        pytest.skip("no Docker engine answers")
    if not docker("images", "--quiet", BASE):
        pytest.skip(f"there is no image {BASE}; deploy/images/README.md says how to make it")
    if not any((ROOT / ".cache/images/wheels" / name).glob("*.whl")):
        pytest.skip(f"no wheels for {name}: deploy/images/build --wheels fetches them")
    tag = f"test-{uuid.uuid4().hex[:12]}"
    command = [str(IMAGES / "build"), "--base", BASE, "--tag", tag, name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    try:
        yield f"vllm-slo/{name}:{tag}"
    finally:
        docker("rmi", f"vllm-slo/{name}:{tag}")


@contextmanager
def running(image: str, *words: str | Path) -> Iterator[str]:
    """A container without rights, on a read-only root, removed at the end; its id."""
    hard = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
    container = docker("run", "--detach", "--health-interval", "1s", *hard, *words, image)
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def is_healthy_and_stops(container: str) -> None:
    """Healthy by its own HEALTHCHECK, no process of root, and gone soon after SIGTERM."""

    def state() -> str:
        return docker("inspect", "--format", "{{.State.Health.Status}}", container)

    eventually(lambda: state() == "healthy", "the container is healthy", 40.0)
    assert set(docker("top", container, "-eo", "pid,uid").split()[3::2]) == {"10001"}
    docker("stop", "--time", "20", container)
    ended = json.loads(docker("inspect", "--format", "{{json .State}}", container))
    assert (ended["ExitCode"], ended["OOMKilled"]) == (0, False)


def test_the_exporters_image_runs_without_rights_and_without_a_gpu() -> None:
    with built("exporter") as image, running(image) as container:
        is_healthy_and_stops(container)
        assert "NVML Shared Library Not Found" in docker_logs(container)


def test_the_gateways_image_runs_without_rights_on_settings_from_outside(tmp_path: Path) -> None:
    settings = {
        "listen": {"host": "0.0.0.0", "port": 8080},  # noqa: S104 - a container without a network
        "metrics": {"host": "127.0.0.1", "port": 9180},
        "upstream": {"url": "http://127.0.0.1:8000"},
        "authentication": "off",
    }
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps(settings))
    mount = f"{file}:/etc/vllm-slo/gateway.yaml:ro"
    with built("gateway") as image, running(image, "--volume", mount) as container:
        is_healthy_and_stops(container)


def docker_logs(container: str) -> str:
    command = ["docker", "logs", container]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
