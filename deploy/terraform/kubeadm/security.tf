# Nothing is open to the internet but 443 of the load balancer, where one is made. There is no 22: Session Manager
# brings shells, and the API server's port, through the instance's own way out.
resource "aws_security_group" "node" {
  name_prefix = "${var.name}-node-"
  description = "Nodes among themselves"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-node" }

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # What one node asks of another. Not here, as they stay on one machine with a single control plane: etcd
  # (2379-2380), controller manager (10257), scheduler (10259); kube-proxy's health (10256), which only a cloud's
  # load balancer would ask; BGP (179) and IP-in-IP, as Calico runs VXLAN without BGP.
  between_nodes = {
    vxlan         = { protocol = "udp", port = 4789, why = "Calico: pods across subnets" }
    typha         = { protocol = "tcp", port = 5473, why = "Calico: Typha" }
    kubelet       = { protocol = "tcp", port = 10250, why = "API server, metrics-server and Prometheus to kubelets" }
    api           = { protocol = "tcp", port = 6443, why = "API server" }
    node-exporter = { protocol = "tcp", port = 9100, why = "Prometheus to node exporters" }
  }

  # Pods in one subnet talk with their own addresses (VXLANCrossSubnet). With a node a subnet there are none.
  placed = concat([0], [for worker in var.workers : worker.zone])
  bare   = length(distinct(local.placed)) < length(local.placed)
}

resource "aws_vpc_security_group_ingress_rule" "between_nodes" {
  for_each = local.between_nodes

  security_group_id            = aws_security_group.node.id
  referenced_security_group_id = aws_security_group.node.id
  description                  = each.value.why
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "bare_pods" {
  count = local.bare ? 1 : 0

  security_group_id            = aws_security_group.node.id
  referenced_security_group_id = aws_security_group.node.id
  description                  = "Pods of one subnet, not encapsulated"
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "between_nodes" {
  security_group_id            = aws_security_group.node.id
  referenced_security_group_id = aws_security_group.node.id
  description                  = "Nodes among themselves"
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "web" {
  for_each = { http = 80, https = 443 }

  security_group_id = aws_security_group.node.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Packages, images, weights, Session Manager"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_security_group" "balancer" {
  count = local.balanced ? 1 : 0

  name_prefix = "${var.name}-balancer-"
  description = "The load balancer before the ingress"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-balancer" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = toset(var.ingress_cidrs)

  security_group_id = aws_security_group.balancer[0].id
  cidr_ipv4         = each.value
  description       = "Clients"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  count = local.balanced ? 1 : 0

  security_group_id            = aws_security_group.balancer[0].id
  referenced_security_group_id = aws_security_group.node.id
  description                  = "To the ingress"
  ip_protocol                  = "tcp"
  from_port                    = var.ingress_node_port
  to_port                      = var.ingress_node_port
}

resource "aws_vpc_security_group_ingress_rule" "from_balancer" {
  count = local.balanced ? 1 : 0

  security_group_id            = aws_security_group.node.id
  referenced_security_group_id = aws_security_group.balancer[0].id
  description                  = "The ingress, from the load balancer"
  ip_protocol                  = "tcp"
  from_port                    = var.ingress_node_port
  to_port                      = var.ingress_node_port
}
