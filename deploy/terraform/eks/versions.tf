# Plain resources instead of the registry's modules: modules could not be fetched where this was written, and
# `terraform validate` and `terraform test` really run over what stands here.
terraform {
  required_version = ">= 1.10" # the state's lock file in S3

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100" # the version at hand, and so the only one this was validated with
    }
  }

  # terraform init -backend-config=backend.hcl, with bucket, key and region: see deploy/guides/eks.md.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = merge(var.tags, { Project = "vllm-slo", Stack = var.name, ManagedBy = "terraform" })
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_availability_zones" "available" {
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition

  # Known before the cluster is: roles that name it need not wait for it.
  cluster_arn = "arn:${local.partition}:eks:${var.region}:${local.account}:cluster/${var.name}"

  iam = "${path.module}/../../iam" # every policy is a file there, and nowhere else
}
