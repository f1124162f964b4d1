data "aws_ssm_parameter" "image" {
  name = var.image_parameter
}

locals {
  image = nonsensitive(data.aws_ssm_parameter.image.value) # a public name, which the provider hides by habit

  # Chosen here, so that workers know it before the control plane exists.
  control_plane_address = cidrhost(local.private_subnets[0], 10)

  scripts = ["setup", "prepare", "gpu", "control-plane", "publish-join", "join"]

  settings = {
    KUBERNETES_VERSION    = var.kubernetes_version
    CALICO_VERSION        = var.calico_version
    DRIVER_BRANCH         = var.driver_branch
    POD_CIDR              = var.pod_cidr
    SERVICE_CIDR          = var.service_cidr
    CONTROL_PLANE_ADDRESS = local.control_plane_address
    WORKERS               = length(var.workers)
    JOIN_PARAMETER        = local.join_parameter
    AWS_DEFAULT_REGION    = var.region
  }

  nodes = merge(
    { control-plane = { role = "control-plane", gpu = false } },
    { for name, worker in var.workers : name => { role = "worker", gpu = worker.gpu } },
  )

  # Below EC2's 16 KiB, and without a secret.
  user_data = {
    for name, node in local.nodes : name => join("\n", ["#cloud-config", yamlencode({
      write_files = concat(
        [
          for script in local.scripts : {
            path        = "/usr/local/sbin/vllm-node-${script}"
            permissions = "0755"
            content     = file("${path.module}/node/${script}.sh")
          }
        ],
        [
          { path = "/etc/sysctl.d/90-kubernetes.conf", permissions = "0644", content = file("${path.module}/node/90-kubernetes.conf") },
          { path = "/etc/systemd/system/vllm-node.service", permissions = "0644", content = file("${path.module}/node/vllm-node.service") },
          {
            path        = "/etc/vllm-slo/node.env"
            permissions = "0644"
            content     = join("", [for key, value in merge(local.settings, { ROLE = node.role, GPU = node.gpu }) : "${key}=${value}\n"])
          },
        ],
      )
      runcmd = [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "--no-block", "vllm-node.service"]]
    })])
  }
}

resource "aws_instance" "control_plane" {
  ami                         = local.image
  instance_type               = var.control_plane.instance_type
  subnet_id                   = aws_subnet.private[0].id
  private_ip                  = local.control_plane_address
  associate_public_ip_address = false
  vpc_security_group_ids      = [aws_security_group.node.id]
  iam_instance_profile        = aws_iam_instance_profile.node["control-plane"].name
  source_dest_check           = !local.bare
  user_data                   = local.user_data["control-plane"]
  user_data_replace_on_change = true
  ebs_optimized               = true
  monitoring                  = true
  tags                        = { Name = "${var.name}-control-plane" }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.control_plane.disk_gib
    encrypted   = true
  }

  lifecycle {
    ignore_changes = [ami] # a newer image is no reason to lose etcd
  }

  depends_on = [aws_nat_gateway.this, aws_route_table_association.private, aws_iam_role_policy.join]
}

resource "aws_instance" "worker" {
  for_each = var.workers

  ami                         = local.image
  instance_type               = each.value.instance_type
  subnet_id                   = aws_subnet.private[each.value.zone].id
  associate_public_ip_address = false
  vpc_security_group_ids      = [aws_security_group.node.id]
  iam_instance_profile        = aws_iam_instance_profile.node["worker"].name
  source_dest_check           = !local.bare
  user_data                   = local.user_data[each.key]
  user_data_replace_on_change = true
  ebs_optimized               = true
  monitoring                  = true
  tags                        = { Name = "${var.name}-${each.key}" }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = each.value.disk_gib
    encrypted   = true
  }

  lifecycle {
    ignore_changes = [ami]
  }

  depends_on = [aws_nat_gateway.this, aws_route_table_association.private, aws_iam_role_policy.join]
}
