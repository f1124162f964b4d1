output "cluster_name" {
  description = "aws eks update-kubeconfig --name THIS --region REGION"
  value       = aws_eks_cluster.this.name
}

output "region" {
  description = "Where it is."
  value       = var.region
}

output "weights_bucket" {
  description = "Bucket of the weights."
  value       = aws_s3_bucket.weights.id
}

output "weights_location" {
  description = "A model NAME lies in THIS/NAME/."
  value       = "s3://${aws_s3_bucket.weights.id}/${var.weights_prefix}"
}

output "engine_role_arn" {
  description = "The role of the engine's pods. With identity = irsa it goes into the ServiceAccount's annotation eks.amazonaws.com/role-arn."
  value       = aws_iam_role.engine.arn
}

output "gate_role_arn" {
  description = "The role that a release gate's CI takes, or null."
  value       = one(aws_iam_role.gate[*].arn)
}

output "nat_addresses" {
  description = "Where requests of the cluster come from."
  value       = [for address in aws_eip.nat : address.public_ip]
}
