variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "The beginning of every name."
  type        = string
  default     = "vllm-kubeadm"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}[a-z0-9]$", var.name))
    error_message = "name: 2 to 21 characters, lower-case letters, digits and hyphens, a letter first, no hyphen last."
  }
}

variable "tags" {
  description = "Further tags for everything."
  type        = map(string)
  default     = {}
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16 to /18; neither pod_cidr nor service_cidr may overlap it."
  type        = string
  default     = "10.10.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && try(tonumber(split("/", var.vpc_cidr)[1]), 0) >= 16 && try(tonumber(split("/", var.vpc_cidr)[1]), 99) <= 18
    error_message = "vpc_cidr: an IPv4 network from /16 to /18."
  }
}

variable "pod_cidr" {
  description = "Addresses of pods."
  type        = string
  default     = "192.168.0.0/16"

  validation {
    condition     = can(cidrhost(var.pod_cidr, 0)) && split(".", var.pod_cidr)[0] != split(".", var.vpc_cidr)[0]
    error_message = "pod_cidr: an IPv4 network that does not begin with the VPC's first number, so that they cannot overlap."
  }
}

variable "service_cidr" {
  description = "Addresses of Services."
  type        = string
  default     = "172.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.service_cidr, 0)) && !contains([split(".", var.vpc_cidr)[0], split(".", var.pod_cidr)[0]], split(".", var.service_cidr)[0])
    error_message = "service_cidr: an IPv4 network that begins with another number than vpc_cidr and pod_cidr."
  }
}

variable "kubernetes_version" {
  description = "Minor version, as pkgs.k8s.io names its folders."
  type        = string
  default     = "1.36"

  validation {
    condition     = contains(["1.35", "1.36"], var.kubernetes_version)
    error_message = "kubernetes_version: 1.35 or 1.36."
  }
}

variable "calico_version" {
  description = "Calico, installed by its operator."
  type        = string
  default     = "3.32.1"

  validation {
    condition     = can(regex("^[0-9]+[.][0-9]+[.][0-9]+$", var.calico_version))
    error_message = "calico_version: a whole version such as 3.32.1."
  }
}

variable "driver_branch" {
  description = "NVIDIA's driver branch. The CUDA 13 images of vLLM need 580 at least."
  type        = number
  default     = 580

  validation {
    condition     = var.driver_branch >= 580
    error_message = "driver_branch: 580 or newer."
  }
}

variable "image_parameter" {
  description = "SSM parameter that names the machine image: Ubuntu 24.04, by its publisher."
  type        = string
  default     = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
}

variable "control_plane" {
  description = "The one control plane. 2 vCPU and 4 GiB are kubeadm's minimum, and no pods of ours run there."
  type = object({
    instance_type = optional(string, "t3.medium")
    disk_gib      = optional(number, 50)
  })
  default = {}
}

variable "workers" {
  description = "Workers by name; zone is 0 to 2. Where two nodes share a zone, pods there talk without encapsulation (see nodes.tf)."
  type = map(object({
    instance_type = string
    zone          = number
    disk_gib      = optional(number, 50)
    gpu           = optional(bool, false)
  }))
  default = {
    general = { instance_type = "t3.large", zone = 1, disk_gib = 100 }
    gpu     = { instance_type = "g4dn.xlarge", zone = 2, disk_gib = 150, gpu = true }
  }

  validation {
    condition     = alltrue([for worker in var.workers : worker.disk_gib >= 100 if worker.gpu])
    error_message = "workers: disk_gib of a GPU node is at least 100; the vLLM image alone is more than 10 GB."
  }

  validation {
    condition     = alltrue([for worker in var.workers : contains([0, 1, 2], worker.zone)])
    error_message = "workers: zone is 0, 1 or 2."
  }
}

variable "ingress_cidrs" {
  description = "Who reaches the ingress on 443, through a network load balancer. Empty: nobody, and no load balancer is made."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.ingress_cidrs : can(cidrhost(cidr, 0))])
    error_message = "ingress_cidrs: IPv4 networks."
  }
}

variable "ingress_node_port" {
  description = "NodePort of the ingress controller's https port."
  type        = number
  default     = 30443

  validation {
    condition     = var.ingress_node_port >= 30000 && var.ingress_node_port <= 32767
    error_message = "ingress_node_port: 30000 to 32767."
  }
}
