variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Name of the cluster, and the beginning of every other name."
  type        = string
  default     = "vllm-slo"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,26}[a-z0-9]$", var.name)) # with what is put behind it, IAM takes 38 and S3 37
    error_message = "name: 2 to 28 characters, lower-case letters, digits and hyphens, a letter first, no hyphen last."
  }
}

variable "tags" {
  description = "Further tags for everything."
  type        = map(string)
  default     = {}
}

variable "kubernetes_version" {
  description = "A version in standard support: extended support costs six times as much an hour."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.34", "1.35", "1.36"], var.kubernetes_version)
    error_message = "kubernetes_version: 1.34, 1.35 or 1.36."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16 to /18."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]), 0) >= 16 && try(tonumber(split("/", var.vpc_cidr)[1]), 99) <= 18
    error_message = "vpc_cidr: an IPv4 network from /16 to /18."
  }
}

variable "zones" {
  description = "How many availability zones. GPUs are not sold in all of them."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3], var.zones)
    error_message = "zones: 2 or 3; EKS asks for two at least."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone (survives the loss of one) instead of a single one (cheaper)."
  type        = bool
  default     = false
}

variable "public_access_cidrs" {
  description = "Who reaches the API server from outside the VPC. Empty: nobody, the endpoint is private only."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]), 0) >= 8])
    error_message = "public_access_cidrs: networks of /8 or narrower; the whole internet is refused."
  }
}

variable "admin_principal_arns" {
  description = "IAM roles or users that administer the cluster. Whoever runs terraform is none of its own accord."
  type        = list(string)

  validation {
    condition     = length(var.admin_principal_arns) > 0 && alltrue([for arn in var.admin_principal_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/.+$", arn))])
    error_message = "admin_principal_arns: at least one ARN of an IAM role or user; without one nobody could enter."
  }
}

variable "general" {
  description = "Nodes for gateway, monitoring and the cluster's own pods."
  type = object({
    instance_types = optional(list(string), ["m7i.large"])
    min            = optional(number, 2)
    max            = optional(number, 4)
    disk_gib       = optional(number, 50)
  })
  default = {}
}

variable "gpu" {
  description = "Nodes for engines. min = 0 lets the group shrink to nothing."
  type = object({
    instance_types = optional(list(string), ["g5.xlarge"])
    capacity_type  = optional(string, "ON_DEMAND")
    min            = optional(number, 1)
    max            = optional(number, 2)
    disk_gib       = optional(number, 150)
  })
  default = {}

  validation {
    condition     = var.gpu.disk_gib >= 100
    error_message = "gpu.disk_gib: at least 100; the vLLM image alone is more than 10 GB, and weights come beside it."
  }

  validation {
    condition     = contains(["ON_DEMAND", "SPOT"], var.gpu.capacity_type) # a capacity block is named in the launch template
    error_message = "gpu.capacity_type: ON_DEMAND or SPOT."
  }

  validation {
    condition     = alltrue([for type in var.gpu.instance_types : can(regex("^(g4dn|g5|g6|g6e|g7e|p4d|p4de|p5|p5e|p5en|p6[a-z0-9-]*)\\.", type))])
    error_message = "gpu.instance_types: families with an NVIDIA GPU that the AL2023 NVIDIA image drives (g4dn, g5, g6, g6e, g7e, p4 to p6)."
  }
}

variable "identity" {
  description = "How the engine's pod becomes an IAM role: pod-identity (preferred), or irsa where the agent cannot run."
  type        = string
  default     = "pod-identity"

  validation {
    condition     = contains(["pod-identity", "irsa"], var.identity)
    error_message = "identity: pod-identity or irsa."
  }
}

variable "engine_subject" {
  description = "The pods that read weights."
  type = object({
    namespace       = optional(string, "vllm")
    service_account = optional(string, "vllm-engine")
  })
  default = {}
}

variable "weights_prefix" {
  description = "Folder of the bucket that holds models: s3://BUCKET/PREFIX/NAME/."
  type        = string
  default     = "models"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9/_.-]*[A-Za-z0-9]$", var.weights_prefix))
    error_message = "weights_prefix: letters, digits and / _ . -, no slash or wildcard at its ends."
  }
}

variable "gate" {
  description = "The CI that runs release gates, by OIDC: its provider's ARN, its issuer without https://, the one subject. Null: none."
  type = object({
    oidc_provider_arn = string
    oidc_issuer       = optional(string, "token.actions.githubusercontent.com")
    subject           = string
  })
  default = null

  validation {
    condition     = try(!strcontains(var.gate.subject, "*") && !strcontains(var.gate.subject, "?"), true)
    error_message = "gate.subject: one exact subject, such as repo:OWNER/NAME:environment:gate."
  }
}

variable "log_retention_days" {
  description = "How long control plane and flow logs stay."
  type        = number
  default     = 365
}
