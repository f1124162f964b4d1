"""The plan: from the basis, by formulas that stand here, what very many concurrent streams take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

STREAMS = (100_000, 1_000_000)
# Decided, not measured.
CORE_SHARE = 0.60  # of its core that a load Pod is planned to use
NODE_CORES, SYSTEM_CORES = 16, 1  # of a node; those that are left to the system
PODS_A_NODE = NODE_CORES - SYSTEM_CORES
ANSWER_TOKENS = 256
RUN_S = 300.0
# Known, not measured: Linux' default range of local ports, for one source and one destination; and the ports
# among which its NAT chooses, likewise, for a source port that is not a privileged one.
PORTS = 60_999 - 32_768 + 1
NAT_PORTS = 65_535 - 1_024 + 1
# Around a token in a packet of its own: Ethernet with preamble, gap and checksum 38, IP 20, TCP with its time
# stamp 32, a TLS record 22, HTTP's chunk 6.
WIRE_BYTES = 38 + 20 + 32 + 22 + 6
# Assumed, since nothing here measures them.
COLLECTED_MB_S = 50.0  # of journals through one API server, all Pods together
MERGER_GB = 64.0  # memory of the machine that merges
NODE_GBIT = 10.0  # a node's network
PATIENCE_MIN = 30.0  # for collecting


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many streams of one rate take. Units are in the names; a GB is 10⁹ bytes."""

    streams: int
    rate: float
    core_a_stream: float
    streams_a_pod: int
    busy_cores: float
    pods: int
    nodes: int
    pod_mib: float
    pod_descriptors: int
    node_destinations: int  # addresses that a node's streams need where all its Pods leave by its own address
    nat_pairs: int  # pairs of source and destination address where all streams leave through one NAT
    gbit_s: float
    requests: float
    journal_gb: float
    collect_min: float
    merge_min: float
    merge_gb: float


def planned(basis: Mapping[str, float], streams: int, rate: float) -> Plan:
    """The plan for so many streams of `rate` tokens a second; `basis`: name → figure, as the page prints it.

    ValueError where no number of such streams was measured truly.
    """
    core_a_stream = (
        basis[f"cores_per_1000_{rate:g}"] / 1_000 + basis["request_ms"] / 1e3 * rate / ANSWER_TOKENS
    )
    a_pod = min(int(basis[f"most_streams_{rate:g}"]), math.floor(CORE_SHARE / core_a_stream))
    if a_pod < 1:
        raise ValueError(f"no number of streams of {rate:g} tokens/s was measured truly")
    pods = math.ceil(streams / a_pod)
    requests = streams * rate / ANSWER_TOKENS * RUN_S
    journal_gb = (
        requests * (basis["journal_request_bytes"] + ANSWER_TOKENS * basis["journal_token_bytes"]) / 1e9
    )
    return Plan(
        streams=streams,
        rate=rate,
        core_a_stream=core_a_stream,
        streams_a_pod=a_pod,
        busy_cores=streams * core_a_stream,
        pods=pods,
        nodes=math.ceil(pods / PODS_A_NODE),
        pod_mib=basis["process_mib"] + a_pod * basis[f"stream_kib_{rate:g}"] / 1024,
        pod_descriptors=a_pod + math.ceil(basis["descriptors"]),
        node_destinations=math.ceil(a_pod * PODS_A_NODE / NAT_PORTS),
        nat_pairs=math.ceil(streams / NAT_PORTS),
        gbit_s=streams * rate * (basis["body_bytes"] + WIRE_BYTES) * 8 / 1e9,
        requests=requests,
        journal_gb=journal_gb,
        collect_min=journal_gb * 1e3 / COLLECTED_MB_S / 60,
        merge_min=requests / 1e6 * basis["merge_s"] / 60,
        merge_gb=requests / 1e6 * basis["merge_gb"],
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """A need beside what there is; above 1 it breaks."""

    what: str
    need: float
    there_is: float
    unit: str

    @property
    def times(self) -> float:
        return self.need / self.there_is


def limits(plan: Plan) -> list[Limit]:
    """What the plan needs beside what is there, the tightest first."""
    pods_a_node = min(plan.pods, PODS_A_NODE)
    found = [
        Limit("memory of the process that merges", plan.merge_gb, MERGER_GB, "GB"),
        Limit("collecting the journals through one API server", plan.collect_min, PATIENCE_MIN, "min"),
        Limit(
            "NAT's ports of a node towards one address, where Pods leave by the node's",
            plan.streams_a_pod * pods_a_node, NAT_PORTS, "ports",
        ),
        Limit("network of a node", plan.gbit_s / plan.nodes, NODE_GBIT, "Gbit/s"),
        Limit("local ports of a Pod towards one address", plan.streams_a_pod, PORTS, "ports"),
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.times, reverse=True)
