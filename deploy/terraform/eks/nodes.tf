locals {
  # No image is named: EKS takes the newest of the type that fits the cluster's version.
  groups = {
    general = merge(var.general, {
      ami_type      = "AL2023_x86_64_STANDARD"
      capacity_type = "ON_DEMAND"
      labels        = { "vllm-slo/role" = "general" }
      taints        = []
    })
    gpu = merge(var.gpu, {
      ami_type = "AL2023_x86_64_NVIDIA" # driver and container toolkit included, the device plugin is not
      labels   = { "vllm-slo/role" = "gpu", "nvidia.com/gpu.present" = "true" }
      taints   = [{ key = "nvidia.com/gpu", value = "true", effect = "NO_SCHEDULE" }]
    })
  }

  node_policies = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy"]
}

resource "aws_iam_role" "node" {
  name_prefix        = "${var.name}-node-"
  assume_role_policy = templatefile("${local.iam}/service-trust.json", { service = "ec2.amazonaws.com" })
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(local.node_policies)

  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

resource "aws_launch_template" "node" {
  for_each = local.groups

  name_prefix            = "${var.name}-${each.key}-"
  update_default_version = true

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # One hop: a pod cannot take the node's role.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-${each.key}" }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "${var.name}-${each.key}" }
  }
}

resource "aws_eks_node_group" "general" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "general"
  version         = aws_eks_cluster.this.version # so that an upgrade of the cluster takes its nodes along
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  ami_type        = local.groups.general.ami_type
  capacity_type   = local.groups.general.capacity_type
  instance_types  = local.groups.general.instance_types
  labels          = local.groups.general.labels

  scaling_config {
    min_size     = local.groups.general.min
    desired_size = local.groups.general.min
    max_size     = local.groups.general.max
  }

  launch_template {
    id      = aws_launch_template.node["general"].id
    version = aws_launch_template.node["general"].latest_version
  }

  update_config {
    max_unavailable = 1
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size] # an autoscaler's business
  }

  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes]
}

resource "aws_eks_node_group" "gpu" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "gpu"
  version         = aws_eks_cluster.this.version
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  ami_type        = local.groups.gpu.ami_type
  capacity_type   = local.groups.gpu.capacity_type
  instance_types  = local.groups.gpu.instance_types
  labels          = local.groups.gpu.labels

  dynamic "taint" {
    for_each = local.groups.gpu.taints

    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  scaling_config {
    min_size     = local.groups.gpu.min
    desired_size = local.groups.gpu.min
    max_size     = local.groups.gpu.max
  }

  launch_template {
    id      = aws_launch_template.node["gpu"].id
    version = aws_launch_template.node["gpu"].latest_version
  }

  update_config {
    max_unavailable = 1
  }

  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_iam_role_policy_attachment.node, aws_eks_addon.before_nodes]
}
