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

  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-of-the-publisher" }
  }

  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/net/mock/0123456789abcdef", dns_name = "mock.elb.example" }
  }

  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/mock/0123456789abcdef" }
  }
}

run "as_it_comes" {
  command = apply

  assert {
    condition     = aws_vpc.this.cidr_block == "10.10.0.0/16" && aws_subnet.public[*].cidr_block == ["10.10.0.0/20", "10.10.16.0/20", "10.10.32.0/20"] && aws_subnet.private[*].cidr_block == ["10.10.128.0/20", "10.10.144.0/20", "10.10.160.0/20"]
    error_message = "the networks of the published stack"
  }

  assert {
    condition     = aws_instance.control_plane.private_ip == "10.10.128.10" && aws_instance.control_plane.instance_type == "t3.medium"
    error_message = "one control plane, at an address known beforehand"
  }

  assert {
    condition     = { for name, node in aws_instance.worker : name => node.instance_type } == { general = "t3.large", gpu = "g4dn.xlarge" }
    error_message = "two workers, one with a T4"
  }

  assert {
    condition     = alltrue([for node in concat([aws_instance.control_plane], values(aws_instance.worker)) : node.ami == "ami-of-the-publisher" && !node.associate_public_ip_address])
    error_message = "the publisher's image, no public address"
  }

  assert {
    condition     = alltrue([for node in concat([aws_instance.control_plane], values(aws_instance.worker)) : one(node.metadata_options).http_tokens == "required" && one(node.metadata_options).http_put_response_hop_limit == 1])
    error_message = "IMDSv2 only, one hop"
  }

  assert {
    condition     = alltrue([for node in concat([aws_instance.control_plane], values(aws_instance.worker)) : one(node.root_block_device).encrypted && one(node.root_block_device).volume_type == "gp3"]) && one(aws_instance.worker["gpu"].root_block_device).volume_size >= 100
    error_message = "roots are encrypted gp3, at least 100 GiB with a GPU"
  }

  assert {
    condition = { for name, rule in aws_vpc_security_group_ingress_rule.between_nodes : name => "${rule.ip_protocol} ${rule.from_port}-${rule.to_port}" } == {
      vxlan = "udp 4789-4789", typha = "tcp 5473-5473", kubelet = "tcp 10250-10250", api = "tcp 6443-6443", node-exporter = "tcp 9100-9100"
    }
    error_message = "what nodes ask of each other, and nothing else"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.between_nodes : rule.cidr_ipv4 == null && rule.referenced_security_group_id == aws_security_group.node.id])
    error_message = "nodes are asked by nodes alone"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.bare_pods) == 0 && alltrue([for node in concat([aws_instance.control_plane], values(aws_instance.worker)) : node.source_dest_check])
    error_message = "a node a subnet: every pod's packet is in VXLAN, the source check stays on"
  }

  assert {
    condition     = length(aws_lb.this) + length(aws_vpc_security_group_ingress_rule.balancer) + length(aws_vpc_security_group_ingress_rule.from_balancer) == 0 && output.ingress_host == null
    error_message = "nothing is open to anybody by default"
  }

  assert {
    condition     = alltrue([for data in local.user_data : length(data) < 16384 && startswith(data, "#cloud-config\n")])
    error_message = "user data fits EC2's 16 KiB"
  }

  assert {
    condition     = alltrue([for data in local.user_data : length(regexall("[a-z0-9]{6}[.][a-z0-9]{16}", data)) == 0])
    error_message = "no join token in user data"
  }

  assert {
    condition     = jsonencode({ for name, data in local.user_data : name => regexall("(?:ROLE|GPU)=[a-z-]+", one([for file in yamldecode(data).write_files : file.content if endswith(file.path, "/node.env")])) }) == jsonencode({ control-plane = ["GPU=false", "ROLE=control-plane"], general = ["GPU=false", "ROLE=worker"], gpu = ["GPU=true", "ROLE=worker"] })
    error_message = "each node knows what it is"
  }

  assert {
    condition     = { for name, policy in aws_iam_role_policy.join : name => [jsondecode(policy.policy).Statement[0].Action, jsondecode(policy.policy).Statement[0].Resource] } == { control-plane = [["ssm:PutParameter", "ssm:DeleteParameter"], "arn:aws:ssm:us-east-1:111122223333:parameter/vllm-kubeadm/join"], worker = ["ssm:GetParameter", "arn:aws:ssm:us-east-1:111122223333:parameter/vllm-kubeadm/join"] }
    error_message = "the control plane writes the one parameter, workers read it"
  }
}

run "balanced_and_crowded" {
  command = apply

  variables {
    name          = "the-longest-name-of21"
    ingress_cidrs = ["203.0.113.0/24"]
    workers = {
      one = { instance_type = "t3.large", zone = 0 }
      gpu = { instance_type = "g4dn.xlarge", zone = 1, disk_gib = 100, gpu = true }
    }
  }

  assert {
    condition     = aws_lb.this[0].load_balancer_type == "network" && aws_lb_listener.ingress[0].port == 443 && output.ingress_host == "mock.elb.example"
    error_message = "a network load balancer on 443"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.balancer : "${rule.cidr_ipv4} ${rule.from_port}"] == ["203.0.113.0/24 443"] && aws_vpc_security_group_ingress_rule.from_balancer[0].from_port == 30443
    error_message = "443 for the named network, the NodePort for the load balancer"
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.bare_pods) == 1 && !aws_instance.control_plane.source_dest_check && !aws_instance.worker["gpu"].source_dest_check
    error_message = "two nodes in one subnet: bare packets of pods, so no source check and pods' ports open among nodes"
  }
}

run "refusals" {
  command = plan

  variables {
    name               = "ends-in-a-hyphen-"
    kubernetes_version = "1.29"
    pod_cidr           = "10.10.128.0/20"
    driver_branch      = 535
    calico_version     = "latest"
    ingress_node_port  = 443
    workers            = { gpu = { instance_type = "g4dn.xlarge", zone = 0, disk_gib = 30, gpu = true } }
  }

  expect_failures = [
    var.name, var.kubernetes_version, var.pod_cidr, var.driver_branch, var.calico_version,
    var.ingress_node_port, var.workers,
  ]
}

# A validation that reads another variable is not asked while that one is wrong: a run of its own.
run "refuses_services_in_the_vpc" {
  command = plan

  variables {
    service_cidr = "10.96.0.0/12"
  }

  expect_failures = [var.service_cidr]
}
