"""Terraform's files and the nodes' scripts: nothing hard-coded, nothing open, no token left about."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "deploy/terraform"
NODE = TERRAFORM / "kubeadm/node"
SCRIPTS = sorted(NODE.glob("*.sh"))
SOURCES = sorted(TERRAFORM.glob("*/*.tf"))
TOKEN = "abcdef.0123456789abcdef"


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """(type, body) of each top-level resource."""
    for found in re.finditer(r'^resource "(\w+)" "\w+" \{\n(.*?)^\}', text, re.M | re.S):
        yield found[1], found[2]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_hard_coded(source: Path) -> None:
    text = source.read_text()
    assert not re.search(r"\b\d{12}\b", text), "an account"
    assert not re.search(r"\bami-[0-9a-f]{6,}", text), "an image"
    assert "dynamodb" not in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_internet_stands_in_ways_out_only(source: Path) -> None:
    text = source.read_text()
    for kind, body in blocks(text):
        if "0.0.0.0/0" in body or "::/0" in body:
            assert kind in ("aws_route_table", "aws_vpc_security_group_egress_rule"), body
    assert not re.search(r"^\s*ingress\s*\{", text, re.M), (
        "rules are resources of their own, which the plans' facts list"
    )
    assert not re.search(r"\bport\s*=\s*22\b", text)


def test_a_capacity_block_is_offered_only_where_a_launch_template_names_one() -> None:
    offered = "CAPACITY_BLOCK" in (TERRAFORM / "eks/variables.tf").read_text()
    assert offered == ("capacity_reservation_specification" in (TERRAFORM / "eks/nodes.tf").read_text())


@pytest.mark.parametrize("module", ["eks", "kubeadm"])
def test_state_is_locked_in_s3_and_names_no_bucket(module: str) -> None:
    text = (TERRAFORM / module / "versions.tf").read_text()
    backend = re.search(r'backend "s3" \{\n(.*?)\n  \}', text, re.S)
    assert backend is not None
    settings = dict(re.findall(r"(\w+)\s*=\s*(\S+)", backend[1]))
    assert settings == {"encrypt": "true", "use_lockfile": "true"}
    assert 'required_version = ">= 1.10"' in text


def test_networks_do_not_overlap() -> None:
    text = (TERRAFORM / "kubeadm/variables.tf").read_text()
    defaults = dict(re.findall(r'variable "(\w+_cidr)" \{.*?default\s*=\s*"([0-9./]+)"', text, re.S))
    assert defaults == {
        "vpc_cidr": "10.10.0.0/16",
        "pod_cidr": "192.168.0.0/16",
        "service_cidr": "172.20.0.0/16",
    }
    networks = [ipaddress.ip_network(one) for one in defaults.values()]
    assert not any(one.overlaps(other) for one in networks for other in networks if one is not other)


def test_the_sysctl_file_has_no_comment_behind_a_value() -> None:
    lines = (NODE / "90-kubernetes.conf").read_text().splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert len(settings) == 3
    for line in settings:
        assert re.fullmatch(r"net[.][a-z0-9._-]+ = 1", line), line


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    program = shutil.which("shellcheck", path=str(ROOT / ".venv/bin"))
    assert program is not None
    done = subprocess.run([program, script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "set -euo pipefail" in script.read_text()


def test_every_script_is_carried_to_the_nodes() -> None:
    named = re.search(r"scripts = \[(.*?)\]", (TERRAFORM / "kubeadm/nodes.tf").read_text())
    assert named is not None
    assert sorted(re.findall(r'"([a-z-]+)"', named[1])) == [script.stem for script in SCRIPTS]
    called = {
        name
        for script in SCRIPTS
        for name in re.findall(r"/usr/local/sbin/vllm-node-([a-z-]+)", script.read_text())
    }
    assert called == {script.stem for script in SCRIPTS} - {"setup"}


def heredoc(script: str, mark: str, **values: str) -> list[dict[str, object]]:
    """The YAML documents that a script writes between <<MARK and MARK, variables put in."""
    found = re.search(rf"<<{mark}\n(.*?)\n{mark}$", (NODE / script).read_text(), re.S | re.M)
    assert found is not None
    return list(yaml.safe_load_all(string.Template(found[1]).substitute(values)))


def test_kubeadm_is_told_the_networks_and_one_short_token() -> None:
    init, cluster, kubelet = heredoc(
        "control-plane.sh",
        "CONFIG",
        CONTROL_PLANE_ADDRESS="10.10.128.10",
        KUBERNETES_VERSION="1.36",
        POD_CIDR="192.168.0.0/16",
        SERVICE_CIDR="172.20.0.0/16",
    )
    assert init["bootstrapTokens"] == [
        {
            "ttl": "1m0s",
            "groups": ["system:bootstrappers:kubeadm:default-node-token"],
            "usages": ["signing", "authentication"],
        }
    ]
    assert cluster["networking"] == {"podSubnet": "192.168.0.0/16", "serviceSubnet": "172.20.0.0/16"}
    assert cluster["controlPlaneEndpoint"] == "10.10.128.10:6443"
    assert kubelet["cgroupDriver"] == "systemd"


def test_calico_runs_vxlan_across_subnets_without_bgp() -> None:
    (installation,) = heredoc("control-plane.sh", "CALICO", POD_CIDR="192.168.0.0/16")
    assert installation["spec"] == {
        "calicoNetwork": {
            "bgp": "Disabled",
            "ipPools": [
                {
                    "name": "default-ipv4-ippool",
                    "cidr": "192.168.0.0/16",
                    "encapsulation": "VXLANCrossSubnet",
                    "natOutgoing": "Enabled",
                    "nodeSelector": "all()",
                }
            ],
        }
    }


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for programs that stand in for those of a node; each notes its arguments in calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def program(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f'#!/bin/bash\necho "{name} $*" >>"{folder}/calls"\n{body}\n')
    file.chmod(0o755)


def run(script: str, folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "JOIN_PARAMETER": "/vllm-kubeadm/join",
        "TMPDIR": str(folder),
    }
    env |= {"AWS_DEFAULT_REGION": "us-east-1", "CONTROL_PLANE_ADDRESS": "10.10.128.10", **settings}
    return subprocess.run(
        ["/bin/bash", NODE / script, *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def stage_control_plane(folder: Path, nodes: str) -> None:
    program(folder, "kubeadm", f'[[ "$*" != "token create --ttl 1h" ]] || echo {TOKEN}')
    program(folder, "openssl", '[[ $1 != dgst ]] || echo "SHA2-256(stdin)= feed"')
    program(folder, "aws", f'[[ $2 != put-parameter ]] || cat >"{folder}/published"')
    program(folder, "kubectl", f"printf '{nodes}'")
    program(folder, "sleep", "")


def test_the_token_is_published_in_no_argument_and_withdrawn_when_all_have_joined(programs: Path) -> None:
    stage_control_plane(programs, "one Ready\\ntwo Ready\\n")
    done = run("publish-join.sh", programs, "2")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((programs / "published").read_text()) == {
        "Name": "/vllm-kubeadm/join",
        "Type": "SecureString",
        "Overwrite": True,
        "Value": f"{TOKEN} sha256:feed",
    }
    calls = (programs / "calls").read_text()
    assert "0123456789abcdef" not in calls + done.stdout + done.stderr
    assert calls.splitlines()[-2:] == [
        "kubeadm token delete abcdef",
        "aws ssm delete-parameter --name /vllm-kubeadm/join",
    ]


def test_a_worker_that_never_comes_ends_the_hand_over_with_an_error(programs: Path) -> None:
    stage_control_plane(programs, "one Ready\\n")
    done = run("publish-join.sh", programs, "2", JOIN_TRIES="3")
    assert done.returncode == 1
    assert "only 1 of 2 workers" in done.stderr
    calls = (programs / "calls").read_text()
    assert calls.count("kubectl get nodes") == calls.count("sleep 10") == 3
    assert calls.count("delete-parameter") == 1


@pytest.mark.parametrize(
    ("gpu", "labels", "taints"),
    [
        ("false", "vllm-slo/role=general", []),
        (
            "true",
            "vllm-slo/role=gpu,nvidia.com/gpu.present=true",
            [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}],
        ),
    ],
)
def test_a_worker_joins_from_a_file_of_its_own(
    programs: Path, gpu: str, labels: str, taints: list[dict[str, str]]
) -> None:
    # The first time there is no parameter yet, and the first join fails.
    program(
        programs,
        "aws",
        f'[[ -e "{programs}/asked" ]] || {{ touch "{programs}/asked"; exit 254; }}\n'
        f'echo "{TOKEN} sha256:feed"',
    )
    program(
        programs,
        "kubeadm",
        f'[[ $1 == join ]] || exit 0\nstat -c %a "$3" >"{programs}/mode"\ncp "$3" "{programs}/config"\n'
        f'[[ -e "{programs}/failed" ]] || {{ touch "{programs}/failed"; exit 1; }}',
    )
    program(programs, "sleep", "")
    done = run("join.sh", programs, GPU=gpu)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((programs / "config").read_text())
    assert config["discovery"]["bootstrapToken"] == {
        "apiServerEndpoint": "10.10.128.10:6443",
        "token": TOKEN,
        "caCertHashes": ["sha256:feed"],
    }
    assert config["nodeRegistration"]["kubeletExtraArgs"] == [{"name": "node-labels", "value": labels}]
    assert config["nodeRegistration"]["taints"] == taints
    assert (programs / "mode").read_text().strip() == "600"
    calls = (programs / "calls").read_text()
    assert TOKEN not in calls
    assert calls.count("kubeadm reset --force") == 1
    assert not list(programs.glob("tmp.*")), "the file with the token is left behind"
