# Passes TLS on as it comes: the certificate is the ingress's. Made only where somebody may reach it.
locals {
  balanced = length(var.ingress_cidrs) > 0
}

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:a network load balancer logs TLS listeners only, and this one passes TLS on
  #checkov:skip=CKV_AWS_150:a test cluster must come down with one command
  count = local.balanced ? 1 : 0

  name                             = var.name
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = aws_subnet.public[*].id
  security_groups                  = aws_security_group.balancer[*].id
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "ingress" {
  count = local.balanced ? 1 : 0

  name_prefix          = "vllm-"
  port                 = var.ingress_node_port
  protocol             = "TCP"
  vpc_id               = aws_vpc.this.id
  preserve_client_ip   = true # the ingress limits by address
  deregistration_delay = 300

  health_check {
    protocol = "TCP"
  }
}

resource "aws_lb_listener" "ingress" {
  count = local.balanced ? 1 : 0

  load_balancer_arn = aws_lb.this[0].arn
  port              = 443
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.ingress[0].arn
  }
}

resource "aws_lb_target_group_attachment" "ingress" {
  for_each = { for name, node in aws_instance.worker : name => node.id if local.balanced }

  target_group_arn = aws_lb_target_group.ingress[0].arn
  target_id        = each.value
}
