"""AWS beside a cluster: whether its engines may read their weights, and what only AWS itself can tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence

from environments.kubernetes.api import Document
from environments.kubernetes.check import Check

ASK_BOUND_S = 20.0
EKS = re.compile(r"arn:aws[\w-]*:eks:(?P<region>[\w-]+):\d+:cluster/(?P<name>[\w-]+)")
GPU_QUOTA = "L-DB2E81BA"  # Running On-Demand G and VT instances, in vCPUs


def quota(cloud: str | None) -> Iterator[Check]:
    """A hint: the API server knows nothing of what EC2 would still give."""
    if cloud != "aws":
        return
    asked = f"aws service-quotas get-service-quota --service-code ec2 --quota-code {GPU_QUOTA}"
    yield Check("EC2 quota", None, "only AWS knows it; it matters where nodes have to be added", asked)


def pod_identity(cluster_arn: str, namespace: str | None, documents: Sequence[Document]) -> Iterator[Check]:
    """Whether the engine's account has a role in this namespace. None where `aws` cannot be asked."""
    account = _account(documents)
    if account is None:
        return
    what = f"Pod Identity of {account}"
    if namespace is None:
        hint = "cluster.namespace in the profile: the one that the association names"
        yield Check(what, False, "a role is tied to a namespace's name, and the run's is new", hint)
        return
    found = EKS.search(cluster_arn)
    hint = (
        f"deploy/terraform/eks makes it for {namespace}/{account} (engine_subject), or: "
        f"aws eks create-pod-identity-association --namespace {namespace} --service-account {account} …"
    )
    if found is None:
        yield Check(what, None, f"{cluster_arn} is no EKS cluster's name: not asked", hint)
        return
    accounts = _associated(found["name"], found["region"], namespace)
    if accounts is None:
        yield Check(what, None, "`aws eks list-pod-identity-associations` did not answer", hint)
        return
    yield Check(
        what, account in accounts, f"associated in {namespace}: {', '.join(accounts) or 'nobody'}", hint
    )


def _account(documents: Sequence[Document]) -> str | None:
    """The account of the Pods that fetch from a bucket."""
    for one in documents:
        if one["kind"] == "Deployment" and "s3://" in json.dumps(one):
            return str(one["spec"]["template"]["spec"].get("serviceAccountName", "default"))
    return None


def _associated(name: str, region: str, namespace: str) -> list[str] | None:
    program = shutil.which("aws")
    if program is None:
        return None
    asked = [program, "eks", "list-pod-identity-associations", "--cluster-name", name, "--region", region]
    asked += ["--namespace", namespace, "--output", "json"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=ASK_BOUND_S, check=True)
        return sorted(one["serviceAccount"] for one in json.loads(done.stdout)["associations"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
