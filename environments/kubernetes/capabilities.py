"""Capabilities: what a cluster can do beyond running Pods, as it says itself at the beginning of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.gpus import INSTANCE_TYPE, Gpus, gpus_of

# What a run may make use of, and the group version that says it is there.
EXTENSIONS = {
    "cert-manager": "cert-manager.io/v1",
    "Prometheus operator": "monitoring.coreos.com/v1",
    "Gateway API": "gateway.networking.k8s.io/v1",
    "NGINX Gateway Fabric": "gateway.nginx.org/v1alpha1",
    "KEDA": "keda.sh/v1alpha1",
}
FORBIDDEN = 403
ZONE = "topology.kubernetes.io/zone"
KARPENTER = "karpenter.sh/v1"
METRICS = "metrics.k8s.io/v1beta1"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# DaemonSets of network plugins that keep NetworkPolicies, by a part of their names.
ENFORCERS = {
    "calico-node": "Calico",
    "cilium": "Cilium",
    "antrea-agent": "Antrea",
    "kube-router": "kube-router",
    "weave-net": "Weave Net",
    "canal": "Canal",
}
AWS_NODE = "aws-node"  # keeps them where its agent was told to


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was found. None where it cannot be known from the API server."""

    version: str
    extensions: Mapping[str, bool]  # by the names of EXTENSIONS
    metrics_api: bool  # it is there, and answers
    policy: str | None  # the newest group version of PodDisruptionBudgets …
    autoscaling: str | None  # … and of HorizontalPodAutoscalers
    gpus: Gpus
    nodes: int
    instance_types: Mapping[str, int]  # nodes of each
    zones: int  # that the nodes are in; 0 where they do not say
    storage_classes: tuple[str, ...]
    default_class: str | None
    ingress_classes: tuple[str, ...]
    gateway_classes: tuple[str, ...]
    cloud: str | None  # of the nodes' provider id: aws, gce, azure …
    enforcer: str | None  # of NetworkPolicies
    adds_nodes: str | None  # who does, when a Pod finds none
    dns: str | None  # its address, where it is the Service kube-dns
    hidden: tuple[str, ...] = ()  # kinds that this context may not list: of them nothing is known

    def lines(self) -> list[str]:
        """For a person, at the beginning of a run."""
        there = [name for name, is_there in self.extensions.items() if is_there]
        lacking = [name for name, is_there in self.extensions.items() if not is_there]
        (there if self.metrics_api else lacking).append("metrics API")
        return [
            f"nodes: {_counted(self.instance_types) or self.nodes}; {self.gpus}"
            + (f"; {self.adds_nodes} may add nodes" if self.adds_nodes else ""),
            f"there: {', '.join(there) or 'none of the extensions'}"
            + (f"; not there: {', '.join(lacking)}" if lacking else ""),
            self._classes(),
            self._network(),
            *([f"this context may not list {', '.join(self.hidden)}: unknown"] if self.hidden else []),
        ]

    def notes(self) -> list[str]:
        """What limits the meaning of a run, for its record."""
        if self.enforcer is None:
            return ["NetworkPolicies: nothing here is known to enforce them; what they fence off may be open"]
        return []

    def facts(self) -> dict[str, str]:
        """For the fingerprint: each of them could change a number."""
        found = {f"cluster.{name}": "yes" if value else "no" for name, value in self.extensions.items()}
        return {
            **found,
            "cluster.metrics API": "yes" if self.metrics_api else "no",
            "cluster.nodes": _counted(self.instance_types) or str(self.nodes),
            "cluster.gpus": _counted(self.gpus.products) or str(self.gpus.allocatable),
            "cluster.network policies": self.enforcer or "unknown",
            "cluster.cloud": self.cloud or "none",
        }

    def _balancers(self) -> str:
        return (
            f"plausible ({self.cloud})"
            if self.cloud
            else "no cloud is named by the nodes: one may stay pending"
        )

    def _classes(self) -> str:
        storage = [f"{one} (default)" if one == self.default_class else one for one in self.storage_classes]
        found = {"storage": storage, "ingress": self.ingress_classes, "Gateway": self.gateway_classes}
        return "; ".join(f"{what} classes: {', '.join(names) or 'none'}" for what, names in found.items())

    def _network(self) -> str:
        balancers = (
            f"plausible ({self.cloud})" if self.cloud else "none is plausible, for no node names a cloud"
        )
        enforcer = self.enforcer or "no known enforcer"
        return (
            f"load balancers: {balancers}; NetworkPolicies: {enforcer}; DNS: {self.dns or 'not at kube-dns'}"
        )


def discover(api: Api) -> Capabilities:
    """Ask the API server: a few lists, nothing is created. ApiError where it does not answer."""
    ask, groups = Asking(api), set(api.groups())
    nodes, classes = ask.all("v1", "Node"), ask.all("storage.k8s.io/v1", "StorageClass")
    return Capabilities(
        version=api.version(),
        extensions={name: group in groups for name, group in EXTENSIONS.items()},
        metrics_api=METRICS in groups and ask.answers(METRICS, "NodeMetrics"),
        policy=_newest(api, ("policy/v1", "policy/v1beta1"), "PodDisruptionBudget"),
        autoscaling=_newest(
            api, ("autoscaling/v2", "autoscaling/v2beta2", "autoscaling/v1"), "HorizontalPodAutoscaler"
        ),
        gpus=gpus_of(nodes, ask.all("v1", "Pod")),
        nodes=len(nodes),
        instance_types=Counter(sorted(_labels(nodes, INSTANCE_TYPE))),
        zones=len(set(_labels(nodes, ZONE))),
        storage_classes=tuple(sorted(_names(classes))),
        default_class=next(iter(_names(filter(_is_default, classes))), None),
        ingress_classes=tuple(sorted(_names(ask.all("networking.k8s.io/v1", "IngressClass")))),
        gateway_classes=tuple(sorted(_names(ask.all(EXTENSIONS["Gateway API"], "GatewayClass")))),
        cloud=_cloud(nodes),
        enforcer=_enforcer(ask.all("apps/v1", "DaemonSet")),
        adds_nodes="Karpenter" if KARPENTER in groups else _autoscaler(ask.all("apps/v1", "Deployment")),
        dns=_dns(ask.all("v1", "Service", "kube-system")),
        hidden=tuple(ask.hidden),
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """Lists under the rights of a context: what it may not see is remembered, and is no error."""

    api: Api
    hidden: list[str] = field(default_factory=list)

    def all(self, api_version: str, kind: str, namespace: str | None = None) -> list[Document]:
        try:
            return self.api.all(api_version, kind, namespace)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            self.hidden.append(kind)
            return []

    def answers(self, api_version: str, kind: str) -> bool:
        """Whether a kind's own server answers: a group may be registered and nobody be behind it."""
        try:
            return bool(self.api.all(api_version, kind))
        except ApiError:
            return False


def _names(documents: Iterable[Document]) -> list[str]:
    return [str(one["metadata"]["name"]) for one in documents]


def _newest(api: Api, versions: tuple[str, ...], kind: str) -> str | None:
    return next((one for one in versions if api.resource(one, kind) is not None), None)


def _is_default(storage_class: Document) -> bool:
    return (storage_class["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"


def _labels(nodes: list[Document], label: str) -> Iterator[str]:
    for node in nodes:
        if found := (node["metadata"].get("labels") or {}).get(label):
            yield found


def _cloud(nodes: list[Document]) -> str | None:
    """Of `aws:///us-east-1a/i-0123` the part before the colon. Nodes of a laptop have none, or `kind`."""
    found = {node["spec"].get("providerID", "").partition(":")[0] for node in nodes}
    clouds = sorted(found - {"", "kind", "k3s"})
    return clouds[0] if clouds else None


def _enforcer(daemons: list[Document]) -> str | None:
    for one in daemons:
        name = one["metadata"]["name"]
        for part, plugin in ENFORCERS.items():
            if part in name:
                return plugin
        if name == AWS_NODE and _agent_is_on(one):
            return "VPC CNI"
    return None


def _autoscaler(deployments: list[Document]) -> str | None:
    found = any("cluster-autoscaler" in name for name in _names(deployments))
    return "the Cluster Autoscaler" if found else None


def _agent_is_on(daemon: Document) -> bool:
    """The VPC CNI's agent keeps NetworkPolicies where its container is told to."""
    containers = daemon["spec"]["template"]["spec"]["containers"]
    return any("--enable-network-policy=true" in one.get("args", ()) for one in containers)


def _dns(services: list[Document]) -> str | None:
    """The address of the cluster's DNS, whose Service has one name in all distributions."""
    return next((one["spec"]["clusterIP"] for one in services if one["metadata"]["name"] == "kube-dns"), None)


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {name}" for name, count in found.items())
