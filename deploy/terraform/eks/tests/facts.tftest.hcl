# What the plan must say, without an account: every value that AWS would give is made up by the mock.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"] }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mock", id = "mock", name = "mock" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:111122223333:key/mock" }
  }

  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:mock" }
  }

  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::mock-weights", id = "mock-weights", bucket = "mock-weights" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }

  mock_resource "aws_eks_cluster" {
    defaults = {
      identity = [{ oidc = [{ issuer = "https://oidc.example/id/0123" }] }]
    }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/0123" }
  }
}

variables {
  admin_principal_arns = ["arn:aws:iam::111122223333:role/admins"]
}

run "pod_identity" {
  command = apply

  assert {
    condition = jsonencode([local.public_subnets, local.private_subnets]) == jsonencode([
      { us-east-1a = "10.20.0.0/20", us-east-1b = "10.20.16.0/20", us-east-1c = "10.20.32.0/20" },
      { us-east-1a = "10.20.128.0/20", us-east-1b = "10.20.144.0/20", us-east-1c = "10.20.160.0/20" },
    ])
    error_message = "subnets: sixteenths 0-2 public, 8-10 private"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "one NAT gateway, and no public address by itself"
  }

  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && length(aws_vpc_endpoint.s3.route_table_ids) == 3
    error_message = "weights come through a gateway endpoint, from every private subnet"
  }

  assert {
    condition     = aws_eks_cluster.this.version == "1.36" && one(aws_eks_cluster.this.vpc_config).endpoint_private_access && !one(aws_eks_cluster.this.vpc_config).endpoint_public_access
    error_message = "the API server is private unless networks are named"
  }

  assert {
    condition     = one(one(aws_eks_cluster.this.encryption_config).provider).key_arn == aws_kms_key.this.arn && one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"]) && aws_kms_key.this.enable_key_rotation
    error_message = "secrets are encrypted with a key of ours that rotates"
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5
    error_message = "all five logs of the control plane"
  }

  assert {
    condition     = one(aws_eks_cluster.this.access_config).authentication_mode == "API" && !one(aws_eks_cluster.this.access_config).bootstrap_cluster_creator_admin_permissions
    error_message = "access entries only; who runs terraform is no admin by itself"
  }

  assert {
    condition     = aws_eks_node_group.gpu.ami_type == "AL2023_x86_64_NVIDIA" && aws_eks_node_group.gpu.instance_types == tolist(["g5.xlarge"])
    error_message = "GPU nodes: the AL2023 image with NVIDIA's driver"
  }

  assert {
    condition     = [for taint in aws_eks_node_group.gpu.taint : "${taint.key}=${taint.value}:${taint.effect}"] == ["nvidia.com/gpu=true:NO_SCHEDULE"]
    error_message = "GPU nodes are tainted nvidia.com/gpu"
  }

  assert {
    condition     = aws_eks_node_group.gpu.version == "1.36" && aws_eks_node_group.general.version == "1.36"
    error_message = "nodes are upgraded with their cluster"
  }

  assert {
    condition     = aws_eks_node_group.general.ami_type == "AL2023_x86_64_STANDARD" && length(aws_eks_node_group.general.taint) == 0
    error_message = "general nodes take every pod"
  }

  assert {
    condition = alltrue([
      for template in aws_launch_template.node :
      one(template.metadata_options).http_tokens == "required" && one(template.metadata_options).http_put_response_hop_limit == 1
    ])
    error_message = "IMDSv2 only, one hop"
  }

  assert {
    condition = alltrue([
      for template in aws_launch_template.node :
      one(one(template.block_device_mappings).ebs).encrypted == "true" && one(one(template.block_device_mappings).ebs).volume_type == "gp3"
    ])
    error_message = "roots are encrypted gp3"
  }

  assert {
    condition     = one(one(aws_launch_template.node["gpu"].block_device_mappings).ebs).volume_size >= 100
    error_message = "at least 100 GiB on GPU nodes"
  }

  assert {
    condition = toset(concat(keys(aws_eks_addon.before_nodes), [aws_eks_addon.coredns.addon_name, aws_eks_addon.volumes.addon_name])) == toset([
      "vpc-cni", "kube-proxy", "eks-pod-identity-agent", "coredns", "aws-ebs-csi-driver",
    ])
    error_message = "the add-ons"
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "NetworkPolicies are enforced"
  }

  assert {
    condition     = aws_eks_pod_identity_association.engine[0].namespace == "vllm" && aws_eks_pod_identity_association.engine[0].service_account == "vllm-engine"
    error_message = "the association is for vllm-engine in namespace vllm"
  }

  assert {
    condition = jsondecode(aws_iam_role.engine.assume_role_policy).Statement[0].Condition.StringEquals == {
      "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:us-east-1:111122223333:cluster/vllm-slo"
      "aws:RequestTag/kubernetes-namespace"       = "vllm"
      "aws:RequestTag/kubernetes-service-account" = "vllm-engine"
    }
    error_message = "the role is for that ServiceAccount of this cluster alone"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.engine.policy).Statement[1].Resource == "arn:aws:s3:::mock-weights/models/*"
    error_message = "the engine reads models/ of the bucket"
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.weights.block_public_acls, aws_s3_bucket_public_access_block.weights.block_public_policy,
      aws_s3_bucket_public_access_block.weights.ignore_public_acls, aws_s3_bucket_public_access_block.weights.restrict_public_buckets,
    ])
    error_message = "the bucket is closed to the public in all four ways"
  }

  assert {
    condition     = one(aws_s3_bucket_versioning.weights.versioning_configuration).status == "Enabled" && one(one(aws_s3_bucket_server_side_encryption_configuration.weights.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "the bucket is versioned and encrypted"
  }

  assert {
    condition     = [for statement in jsondecode(aws_s3_bucket_policy.weights.policy).Statement : "${statement.Effect} ${statement.Sid}"] == ["Deny RefusePlainHttp", "Deny RefuseOldTls"]
    error_message = "the bucket speaks TLS only"
  }

  assert {
    condition     = length(aws_iam_role.gate) == 0 && output.gate_role_arn == null
    error_message = "no role for a CI that nobody named"
  }
}

run "irsa_and_a_gate" {
  command = apply

  variables {
    name                = "the-longest-name-of-28-bytes"
    identity            = "irsa"
    nat_per_zone        = true
    zones               = 2
    public_access_cidrs = ["203.0.113.0/24"]
    gate = {
      oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com"
      subject           = "repo:example/vllm-slo:environment:gate"
    }
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.engine) == 0 && aws_iam_openid_connect_provider.cluster[0].url == "https://oidc.example/id/0123"
    error_message = "irsa takes the place of Pod Identity"
  }

  assert {
    condition = jsondecode(aws_iam_role.engine.assume_role_policy).Statement[0].Condition.StringEquals == {
      "oidc.example/id/0123:aud" = "sts.amazonaws.com"
      "oidc.example/id/0123:sub" = "system:serviceaccount:vllm:vllm-engine"
    }
    error_message = "irsa: audience and subject, both exact"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 2 && one(aws_eks_cluster.this.vpc_config).public_access_cidrs == toset(["203.0.113.0/24"])
    error_message = "a NAT gateway per zone; the API server open to the named network alone"
  }

  assert {
    condition     = endswith(aws_eks_access_policy_association.gate[0].policy_arn, "/AmazonEKSViewPolicy") && one(aws_eks_access_policy_association.gate[0].access_scope).namespaces == toset(["vllm"])
    error_message = "the gate looks, in one namespace"
  }

  assert {
    condition     = jsondecode(aws_iam_role.gate[0].assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == "repo:example/vllm-slo:environment:gate"
    error_message = "one subject of the CI"
  }
}

run "refusals" {
  command = plan

  variables {
    name                 = "a-name-that-is-just-too-long1"
    kubernetes_version   = "1.29"
    public_access_cidrs  = ["0.0.0.0/0"]
    admin_principal_arns = []
    weights_prefix       = "*"
    identity             = "keys"
    zones                = 1
    vpc_cidr             = "10.20.0.0/24"
    gpu                  = { disk_gib = 30, instance_types = ["m7i.large"] }
    gate                 = { oidc_provider_arn = "arn", subject = "repo:example/*" }
  }

  expect_failures = [
    var.name, var.kubernetes_version, var.public_access_cidrs, var.admin_principal_arns, var.weights_prefix,
    var.identity, var.zones, var.vpc_cidr, var.gpu, var.gate,
  ]
}
