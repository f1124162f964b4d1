"""Cluster: a real API server and node, started from scripts or named by a context, and kubectl for it.

Environment variables that the tests of a cluster read:
    KUBE_TEST_CONTEXT           a context of the kubeconfig (KUBECONFIG, else ~/.kube/config): used as it is
    VLLM_SLO_CLUSTER            the folder with the scripts `up` and `down`, where no context is named
                                (default: shared/cluster beside the clone)
    VLLM_SLO_CLUSTER_REQUIRED   set by `make test-cluster`: without a cluster the session fails, and `up` may
                                install what it lacks (docker.io, from the machine's own Debian)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER_VARIABLE = "VLLM_SLO_CLUSTER"
CONTEXT_VARIABLE = "KUBE_TEST_CONTEXT"
REQUIRED_VARIABLE = "VLLM_SLO_CLUSTER_REQUIRED"  # a proof that did not take place is no proof
NODE_ADDRESS = ("10.250.0.1", 6443)  # the scripts' default; a machine has room for one
GPUS = 4
UP_BOUND_S = 300.0  # the first time it installs packages and unpacks the programs
DOWN_BOUND_S = 400.0
BOUND_S = 120.0


def is_required() -> bool:
    """Whether this session has to have a cluster and to use it."""
    return os.environ.get(REQUIRED_VARIABLE, "") not in ("", "0")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl with the arguments that lead to one cluster."""

    arguments: tuple[str, ...]

    def __call__(self, *words: str, text: str | None = None, bound_s: float = BOUND_S) -> str:
        """What it prints. Fails the test with its complaint where it ends with another status than 0."""
        done = self.attempt(*words, text=text, bound_s=bound_s)
        if done.returncode:
            pytest.fail(f"kubectl {' '.join(words)}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def attempt(
        self, *words: str, text: str | None = None, bound_s: float = BOUND_S
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever its status."""
        return subprocess.run(
            ["kubectl", *self.arguments, *words],  # noqa: S607
            input=text,
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )

    def read(self, *words: str) -> Any:
        """An object or a list of them."""
        return json.loads(self("get", *words, "-o", "json"))

    def wait_until(self, what: str, holds: Callable[[], bool], bound_s: float = BOUND_S) -> float:
        """Seconds until `holds`. Fails the test with the Pods' state when `bound_s` is over."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > bound_s:
                pods = self.attempt("get", "pods,events", "-A").stdout
                pytest.fail(f"expected within {bound_s:g} s: {what}; seen\n{pods}")
            time.sleep(0.3)
        return time.monotonic() - began


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Kubectl]:
    """A cluster for the tests, taken down after them; skips with the reason where there can be none."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH")
    if context := os.environ.get(CONTEXT_VARIABLE):
        named = Kubectl(("--context", context))
        named("get", "--raw=/version")  # one that does not answer fails here, with kubectl's own words
        yield named
        return
    scripts = Path(os.environ.get(FOLDER_VARIABLE, ROOT.parent / "shared" / "cluster"))
    if reason := _why_not(scripts):
        pytest.skip(reason)
    variables = {
        **os.environ,
        "CLUSTER_DIR": str(folder / "cluster"),
        "KUBECONFIG": str(folder / "kubeconfig"),
        "CLUSTER_EXTENDED_RESOURCES": f"nvidia.com/gpu={GPUS}",
    }
    docker_was_up = _docker_answers()
    with taken_down(scripts / "down", folder, variables):
        _up(scripts / "up", folder, variables)
        yield Kubectl(("--kubeconfig", str(folder / "kubeconfig")))
    if _docker_answers() != docker_was_up:
        pytest.fail("a Docker that was started for the cluster still runs, or one that was there does not")


def why_no_overlay(kubectl: Kubectl) -> str | None:
    """Why the local overlay is not applied to this cluster under its own names; None where it is."""
    if "policy/v1beta1" not in kubectl("api-versions").split():
        return "does not fit: the local overlay is for the API of Kubernetes 1.20"
    if kubectl.attempt("get", "namespace", "vllm").returncode == 0:
        return "the namespace vllm is there already, and it may be somebody's"
    return None


# What it reads ends when the tests let go, or are no more; it waits while another script is at work.
WARDEN = """cat >/dev/null; for _ in $(seq 60); do "$0" && exit; sleep 5; done; exit 1"""


@contextlib.contextmanager
def taken_down(down: Path, folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run the script `down` at the end, however this process ends. Fails the test where it fails."""
    log = folder / "down.log"
    with log.open("w") as output:
        warden = subprocess.Popen(
            ["bash", "-c", WARDEN, str(down)],  # noqa: S607
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        warden.communicate(timeout=DOWN_BOUND_S)
        if warden.returncode:
            pytest.fail(f"{down.name} did not succeed\n{log.read_text()[-4000:]}")


def _why_not(scripts: Path) -> str | None:
    if not (scripts / "up").is_file():
        return f"no cluster: no scripts in {FOLDER_VARIABLE}, and {CONTEXT_VARIABLE} names no context"
    if sys.platform != "linux" or os.geteuid() != 0:
        return "no cluster: its scripts need root on Linux"
    if shutil.which("dockerd") is None and not (is_required() and shutil.which("apt-get")):
        return "no cluster: no Docker on this machine, and a test does not install one"
    if _is_up():
        return (
            f"no cluster: another one is up on this machine (at {NODE_ADDRESS[0]}), and there is room for one"
        )
    return None


def _docker_answers() -> bool:
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, timeout=30, check=False).returncode == 0


def _is_up() -> bool:
    """Whether this machine has the node's address, and an API server behind it."""
    with socket.socket() as asking:
        try:
            # Elsewhere on the network the address may be somebody's, too.
            asking.bind((NODE_ADDRESS[0], 0))
        except OSError:
            return False
        asking.settimeout(1)
        return asking.connect_ex(NODE_ADDRESS) == 0


def _up(script: Path, folder: Path, variables: Mapping[str, str]) -> None:
    # Into a file: what it starts keeps its output open, and a pipe would never end.
    log = folder / "up.log"
    with log.open("w") as output:
        done = subprocess.run(
            [str(script)],
            env=dict(variables),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            timeout=UP_BOUND_S,
            check=False,
        )
    if done.returncode:
        pytest.fail(f"{script.name} ended with {done.returncode}\n{log.read_text()[-4000:]}")
