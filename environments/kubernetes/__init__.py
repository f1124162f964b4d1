"""A stack in a Kubernetes cluster: applied in a namespace of its own, waited for, reached, taken down."""
