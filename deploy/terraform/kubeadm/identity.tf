# The join token: made on the control plane, handed over in a SecureString parameter, dead within the hour. Terraform
# knows the parameter's name and never its value, so no token is in a state, a plan or user data. Only these nodes'
# roles may touch the parameter, and pods cannot take a role: the metadata service answers within one hop.
locals {
  join_parameter     = "/${var.name}/join"
  join_parameter_arn = "arn:${local.partition}:ssm:${var.region}:${local.account}:parameter${local.join_parameter}"

  roles = {
    control-plane = { policy = "join-publish" }
    worker        = { policy = "join-read" }
  }
}

resource "aws_iam_role" "node" {
  for_each = local.roles

  name_prefix        = "${var.name}-${each.key}-"
  assume_role_policy = templatefile("${local.iam}/service-trust.json", { service = "ec2.amazonaws.com" })
}

# Not AmazonSSMManagedInstanceCore: that one lets a node read every parameter of the account.
resource "aws_iam_role_policy" "session_manager" {
  for_each = local.roles

  name   = "session-manager"
  role   = aws_iam_role.node[each.key].id
  policy = templatefile("${local.iam}/session-manager.json", {})
}

resource "aws_iam_role_policy" "join" {
  for_each = local.roles

  name   = each.value.policy
  role   = aws_iam_role.node[each.key].id
  policy = templatefile("${local.iam}/${each.value.policy}.json", { parameter_arn = local.join_parameter_arn })
}

resource "aws_iam_instance_profile" "node" {
  for_each = local.roles

  name_prefix = "${var.name}-${each.key}-"
  role        = aws_iam_role.node[each.key].name
}
