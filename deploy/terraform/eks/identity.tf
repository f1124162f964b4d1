# The engine's pods: Pod Identity, or IRSA by var.identity. Both end in the same role with the same two permissions.
locals {
  irsa        = var.identity == "irsa"
  oidc_issuer = try(trimprefix(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://"), "")
}

resource "aws_iam_openid_connect_provider" "cluster" {
  count = local.irsa ? 1 : 0

  url            = "https://${local.oidc_issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "engine" {
  name_prefix = "${var.name}-engine-"
  assume_role_policy = local.irsa ? templatefile("${local.iam}/irsa-trust.json", {
    oidc_provider_arn = one(aws_iam_openid_connect_provider.cluster[*].arn)
    oidc_issuer       = local.oidc_issuer
    namespace         = var.engine_subject.namespace
    service_account   = var.engine_subject.service_account
    }) : templatefile("${local.iam}/pod-identity-trust.json", {
    cluster_arn     = local.cluster_arn
    namespace       = var.engine_subject.namespace
    service_account = var.engine_subject.service_account
  })
}

resource "aws_iam_role_policy" "engine" {
  name = "weights-read"
  role = aws_iam_role.engine.id
  policy = templatefile("${local.iam}/weights-read.json", {
    bucket_arn = aws_s3_bucket.weights.arn, prefix = var.weights_prefix
  })
}

resource "aws_eks_pod_identity_association" "engine" {
  count = local.irsa ? 0 : 1

  cluster_name    = aws_eks_cluster.this.name
  namespace       = var.engine_subject.namespace
  service_account = var.engine_subject.service_account
  role_arn        = aws_iam_role.engine.arn
}

# The release gate's CI: finds the cluster, looks at namespace vllm, changes nothing, reads no Secret.
resource "aws_iam_role" "gate" {
  count = var.gate == null ? 0 : 1

  name_prefix          = "${var.name}-gate-"
  max_session_duration = 7200 # a gate of an hour, and its set-up
  assume_role_policy = templatefile("${local.iam}/gate-trust.json", {
    oidc_provider_arn = var.gate.oidc_provider_arn
    oidc_issuer       = var.gate.oidc_issuer
    subject           = var.gate.subject
  })
}

resource "aws_iam_role_policy" "gate" {
  count = var.gate == null ? 0 : 1

  name   = "gate-read"
  role   = aws_iam_role.gate[0].id
  policy = templatefile("${local.iam}/gate-read.json", { cluster_arn = local.cluster_arn })
}

resource "aws_eks_access_entry" "gate" {
  count = var.gate == null ? 0 : 1

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_iam_role.gate[0].arn
}

resource "aws_eks_access_policy_association" "gate" {
  count = var.gate == null ? 0 : 1

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.gate[0].principal_arn
  policy_arn    = "arn:${local.partition}:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"

  access_scope {
    type       = "namespace"
    namespaces = [var.engine_subject.namespace]
  }
}
