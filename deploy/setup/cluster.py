"""What `make test-cluster` needs of the machine beyond the clone: told, and never installed by the set-up."""

import os
import shutil
import subprocess
from pathlib import Path

from deploy.setup import clone
from deploy.setup.kubernetes import TREE

BOUND_S = 20.0
# The names are those of tests/kubernetes/cluster.py.
CONTEXT, SCRIPTS = "KUBE_TEST_CONTEXT", "VLLM_SLO_CLUSTER"


def install() -> None:
    """Print, a line each, where kubectl, a cluster and Docker are, or what to do without them."""
    print(f"  kubectl: {_kubectl()}")
    print(f"  cluster: {_cluster()}")
    print(f"  Docker: {_docker()}")


def _kubectl() -> str:
    found = shutil.which("kubectl", path=f"{os.environ.get('PATH', '')}:{TREE / 'usr' / 'bin'}")
    return found or "none: `make setup PARTS=kubernetes`, or the machine's own package"


def _cluster() -> str:
    if name := os.environ.get(CONTEXT):
        return f"the context {name} ({CONTEXT})"
    scripts = Path(os.environ.get(SCRIPTS) or clone.ROOT.parent / "shared" / "cluster")
    if (scripts / "up").is_file():
        return "brought up by its scripts, as root, and taken down again"
    return f"none: {CONTEXT}=NAME names a context of the kubeconfig, {SCRIPTS}=DIR a folder with scripts"


def _docker() -> str:
    """Of the two uses, images made here need it in any case, a cluster of the scripts for its Pods, too."""
    if shutil.which("docker") is None:
        return "none: images are made with it, and a cluster of the scripts runs on it (Debian: docker.io)"
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=BOUND_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "it does not answer"
    if done.returncode:
        return "there, and not running: a cluster of the scripts starts it"
    return done.stdout.strip()
