output "control_plane_instance" {
  description = "aws ssm start-session --target THIS"
  value       = aws_instance.control_plane.id
}

output "control_plane_address" {
  description = "The API server's address inside the VPC, port 6443."
  value       = local.control_plane_address
}

output "worker_instances" {
  description = "Workers by name."
  value       = { for name, node in aws_instance.worker : name => node.id }
}

output "join_parameter" {
  description = "The parameter through which workers get their token; gone when all have joined."
  value       = local.join_parameter
}

output "ingress_host" {
  description = "The load balancer's name, or null."
  value       = one(aws_lb.this[*].dns_name)
}

output "nat_address" {
  description = "Where requests of the nodes come from."
  value       = aws_eip.nat.public_ip
}
