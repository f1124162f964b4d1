"""IAM policies: what each allows and what it does not, by an evaluator; and that nothing else is in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

import pytest

from tests.deploy.iam_decision import allowed, listed

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "deploy/iam"
BUCKET = "arn:aws:s3:::weights-1"
CLUSTER = "arn:aws:eks:us-east-1:111122223333:cluster/vllm-slo"
ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/0123"
PARAMETER = "arn:aws:ssm:us-east-1:111122223333:parameter/vllm-kubeadm/join"
SUBJECT = {"namespace": "vllm", "service_account": "vllm-engine"}

# Every wildcard there is, with what makes it bearable.
WILDCARD_ACTIONS = {
    "weights-bucket.json": {"s3:*"},  # in Deny alone
    # The account's administrators, as in every key; the service's, as its guide lists them.
    "logs-key.json": {
        "kms:*",
        "kms:Encrypt*",
        "kms:Decrypt*",
        "kms:ReEncrypt*",
        "kms:GenerateDataKey*",
        "kms:Describe*",
    },
}
WILDCARD_RESOURCES = {
    "weights-read.json": {"${bucket_arn}/${prefix}/*"},
    "weights-bucket.json": {"${bucket_arn}/*"},  # in Deny alone
    "logs-key.json": {"*"},  # in a key's own policy: this key
    "session-manager.json": {"*"},  # these five actions know no resources
    "flow-logs.json": {"${log_group_arn}:*"},  # the group's streams
}


def policy(name: str, **values: str) -> Any:
    """A policy as Terraform's templatefile renders it: `${name}` and nothing cleverer."""
    return json.loads(Template((POLICIES / f"{name}.json").read_text()).substitute(values))


def weights() -> list[Any]:
    return [policy("weights-read", bucket_arn=BUCKET, prefix="models")]


@pytest.mark.parametrize("key", ["models/tiny/config.json", "models/a/b/model-00001-of-00002.safetensors"])
def test_an_engine_gets_what_lies_below_the_prefix(key: str) -> None:
    assert allowed(weights(), "s3:GetObject", f"{BUCKET}/{key}")


@pytest.mark.parametrize(
    "resource",
    [
        f"{BUCKET}/secrets/key.pem",
        f"{BUCKET}/models",
        f"{BUCKET}/modelsx/config.json",
        f"{BUCKET}/x/models/config.json",
        "arn:aws:s3:::weights-2/models/tiny/config.json",
        BUCKET,
    ],
)
def test_and_nothing_else(resource: str) -> None:
    assert not allowed(weights(), "s3:GetObject", resource)


def test_it_lists_below_the_prefix_only() -> None:
    for prefix in ("models/", "models/tiny/"):
        assert allowed(weights(), "s3:ListBucket", BUCKET, {"s3:prefix": prefix})
    for context in ({}, {"s3:prefix": ""}, {"s3:prefix": "secrets/"}, {"s3:prefix": "models"}):
        assert not allowed(weights(), "s3:ListBucket", BUCKET, context)
    assert not allowed(weights(), "s3:ListBucket", f"{BUCKET}/models/x", {"s3:prefix": "models/"})


@pytest.mark.parametrize(
    "action",
    ["s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion", "s3:GetBucketPolicy", "s3:ListAllMyBuckets"],
)
def test_it_changes_nothing(action: str) -> None:
    for resource in (BUCKET, f"{BUCKET}/models/tiny/config.json"):
        assert not allowed(weights(), action, resource, {"s3:prefix": "models/"})


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}, True),
        ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.2"}, True),
        ({"aws:SecureTransport": "true", "s3:TlsVersion": "1.1"}, False),
        ({"aws:SecureTransport": "false"}, False),
    ],
)
def test_the_bucket_speaks_tls_of_today(context: dict[str, str], answer: bool) -> None:
    both = [*weights(), policy("weights-bucket", bucket_arn=BUCKET)]
    assert allowed(both, "s3:GetObject", f"{BUCKET}/models/tiny/config.json", context) is answer


def pod(**changed: str) -> dict[str, str]:
    """The session tags that EKS sends, by their names in conditions."""
    tags = {
        "eks-cluster-arn": CLUSTER,
        "kubernetes-namespace": "vllm",
        "kubernetes-service-account": "vllm-engine",
    }
    return {f"aws:RequestTag/{name}": value for name, value in (tags | changed).items()}


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:TagSession"])
def test_pod_identity_trusts_one_service_account_of_one_cluster(action: str) -> None:
    trust = [policy("pod-identity-trust", cluster_arn=CLUSTER, **SUBJECT)]
    service = "pods.eks.amazonaws.com"
    assert allowed(trust, action, context=pod(), principal=service)
    assert not allowed(trust, action, context=pod(), principal="ec2.amazonaws.com")
    assert not allowed(trust, action, context={}, principal=service)
    for tag in ("eks-cluster-arn", "kubernetes-namespace", "kubernetes-service-account"):
        assert not allowed(trust, action, context=pod(**{tag: "another"}), principal=service)


@pytest.mark.parametrize(
    ("name", "values", "subject", "issuer"),
    [
        ("irsa-trust", SUBJECT, "system:serviceaccount:vllm:vllm-engine", ISSUER),
        (
            "gate-trust",
            {"subject": "repo:o/n:environment:gate"},
            "repo:o/n:environment:gate",
            "token.example",
        ),
    ],
)
def test_a_web_identity_needs_its_audience_and_its_subject(
    name: str, values: dict[str, str], subject: str, issuer: str
) -> None:
    provider = f"arn:aws:iam::111122223333:oidc-provider/{issuer}"
    trust = [policy(name, oidc_provider_arn=provider, oidc_issuer=issuer, **values)]
    right = {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": subject}
    action = "sts:AssumeRoleWithWebIdentity"
    assert allowed(trust, action, context=right, principal=provider)
    assert not allowed(trust, action, context=right, principal=f"{provider}x")
    assert not allowed(trust, "sts:AssumeRole", context=right, principal=provider)
    for key in right:
        assert not allowed(trust, action, context=right | {key: f"{right[key]}x"}, principal=provider)
        assert not allowed(trust, action, context={key: right[key]}, principal=provider)


def test_flow_logs_are_written_to_one_group() -> None:
    group = "arn:aws:logs:us-east-1:111122223333:log-group:/aws/vpc/vllm-slo/flow"
    writes = [policy("flow-logs", log_group_arn=group)]
    needed = ("CreateLogStream", "PutLogEvents", "DescribeLogGroups", "DescribeLogStreams")
    for action in needed:  # the user guide's list, but for CreateLogGroup: Terraform makes it
        assert allowed(writes, f"logs:{action}", f"{group}:log-stream:eni-1")
        assert not allowed(writes, f"logs:{action}", f"{group}-2:log-stream:eni-1")
    assert not allowed(writes, "logs:CreateLogGroup", f"{group}:*")


def test_the_gate_finds_its_cluster_and_can_do_nothing_more() -> None:
    gate = [policy("gate-read", cluster_arn=CLUSTER)]
    assert allowed(gate, "eks:DescribeCluster", CLUSTER)
    assert not allowed(gate, "eks:DescribeCluster", f"{CLUSTER}-2")
    for action in ("eks:ListClusters", "eks:UpdateClusterConfig", "eks:CreateAccessEntry", "s3:GetObject"):
        assert not allowed(gate, action, CLUSTER)


def test_the_join_token_is_written_by_one_role_and_read_by_the_other() -> None:
    writes, reads = ([policy(f"join-{name}", parameter_arn=PARAMETER)] for name in ("publish", "read"))
    for action in ("ssm:PutParameter", "ssm:DeleteParameter"):
        assert allowed(writes, action, PARAMETER)
        assert not allowed(reads, action, PARAMETER)
    assert allowed(reads, "ssm:GetParameter", PARAMETER)
    assert not allowed(writes, "ssm:GetParameter", PARAMETER)
    for policies, action in ((writes, "ssm:PutParameter"), (reads, "ssm:GetParameter")):
        assert not allowed(policies, action, PARAMETER.replace("join", "other"))
    sessions = [policy("session-manager")]
    assert allowed(sessions, "ssmmessages:OpenDataChannel")
    assert not allowed(sessions, "ssm:GetParameter", PARAMETER)


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.json")), ids=lambda path: path.name)
def test_no_wildcard_but_those_that_are_listed(file: Path) -> None:
    statements = json.loads(file.read_text())["Statement"]
    actions = {one for statement in statements for one in listed(statement["Action"])}
    resources = {one for statement in statements for one in listed(statement.get("Resource", []))}
    assert {one for one in actions if "*" in one} == WILDCARD_ACTIONS.get(file.name, set())
    assert {one for one in resources if "*" in one} == WILDCARD_RESOURCES.get(file.name, set())
    for statement in statements:
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement)
        if statement.get("Principal") == "*":
            assert statement["Effect"] == "Deny"


def test_terraform_reads_every_policy_here_and_writes_none_itself() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "deploy/terraform").glob("*/*.tf"))
    named = set(re.findall(r"local\.iam\}/([a-z-]+)\.json", sources)) | set(
        re.findall(r'policy = "([a-z-]+)"', sources)
    )
    assert named == {path.stem for path in POLICIES.glob("*.json")}
    assert "aws_iam_policy_document" not in sources
    assert not re.search(r"(?:policy|assume_role_policy)\s*=\s*jsonencode", sources)
