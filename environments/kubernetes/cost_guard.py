"""The cost guard: what a run will create and what an hour of it costs, said before anything is created."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from environments.binaries import ROOT
from environments.kubernetes.api import Api, Document
from environments.kubernetes.capabilities import Capabilities, discover
from environments.kubernetes.wants import DEFAULT, Wants, wants_of
from environments.profile import Profile
from environments.provider import Say, StackError
from instruments.errors import ConfigurationError

BILL_BOUND_S = 30.0
GIB = 2**30
PRICED = "aws"  # the cloud that deploy/cost has prices of
NOT_IN_IT = "not in it: NAT gateway, traffic, logs, keys, S3"
HINT = "--context of another cluster, or cluster.max_price_per_hour in a profile of your own"


@dataclass(frozen=True, slots=True)
class Parts:
    """What costs something, in the words of deploy/cost: a part's name -> how many, or GiB."""

    there: Mapping[str, float]  # nodes and control plane, whether this run is or not
    created: Mapping[str, float]  # by this run, and removed with it
    possible: Mapping[str, float]  # nodes that an autoscaler may add for it


@dataclass(frozen=True, slots=True)
class Bill:
    """Of Parts, by the hour. What has no price is named, and not in the sums."""

    there: float
    created: float
    possible: float
    unpriced: tuple[str, ...]
    currency: str
    basis: str  # whose prices, and as of when

    @property
    def at_most(self) -> float:
        return self.there + self.created + self.possible


def announce_cost(
    api: Api, profile: Profile, objects: Sequence[Document], say: Say, budget_s: float | None
) -> None:
    """Say what will be created and its price. ConfigurationError where that is above the profile's bound."""
    wants, found = wants_of(objects), discover(api)
    parts = parts_of(wants, found, disks(api, wants))
    bill = bill_of(parts) if found.cloud == PRICED else None
    for line in lines(wants, parts, bill, budget_s):
        say(line)
    require_below(profile, bill)


def parts_of(wants: Wants, found: Capabilities, disk_of: Mapping[str, str]) -> Parts:
    """What is there, what a run creates and what may be added. `disk_of`: storage class -> kind of disk."""
    created: dict[str, float] = {}
    for volume in wants.volumes:
        disk = disk_of.get(volume.storage_class, volume.storage_class)
        created[disk] = created.get(disk, 0) + volume.count * volume.size_bytes / GIB
    if wants.balancers:
        created |= dict.fromkeys(("load-balancer", "load-balancer-capacity-unit"), wants.balancers)
        created["public-address"] = wants.balancers * max(1, found.zones)  # one in each zone
    control_plane = {"eks-control-plane": 1} if "-eks-" in found.version else {}
    return Parts({**found.instance_types, **control_plane}, created, _possible(wants, found))


def _possible(wants: Wants, found: Capabilities) -> dict[str, float]:
    """GPU nodes for what finds none free now, where somebody adds them; of the kind that is there already."""
    short = wants.most_gpus - found.gpus.free
    if short <= 0 or found.adds_nodes is None:
        return {}
    if not found.gpus.machines:
        return {"a GPU node": short}  # of which kind is the autoscaler's to choose
    kind, gpus = next(iter(found.gpus.machines.items()))
    return {kind: math.ceil(short / gpus)}


def disks(api: Api, wants: Wants) -> dict[str, str]:
    """Storage class -> the kind of disk that it makes, where it says so."""
    classes = api.all("storage.k8s.io/v1", "StorageClass")
    kinds = {one["metadata"]["name"]: (one.get("parameters") or {}).get("type") for one in classes}
    default = discover(api).default_class
    found = {name: kinds.get(default if name == DEFAULT else name) for name in wants.storage_classes}
    return {name: kind for name, kind in found.items() if kind}


def bill_of(parts: Parts) -> Bill:
    """Priced by deploy/cost, which runs as a process. StackError with its words where it cannot."""
    there, created, possible = (_priced(one) for one in (parts.there, parts.created, parts.possible))
    unpriced = dict.fromkeys([*there["unpriced"], *created["unpriced"], *possible["unpriced"]])
    return Bill(
        there["per_hour"],
        created["per_hour"],
        possible["per_hour"],
        tuple(unpriced),
        there["currency"],
        f"{there['source']}, {there['region']}, from memory as of {there['as_of']}, not looked up",
    )


def _priced(parts: Mapping[str, float]) -> dict[str, Any]:
    words = [word for name, count in parts.items() for word in ("--part", f"{name}={count}")]
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cost", "--json", *words],
        capture_output=True, text=True, timeout=BILL_BOUND_S, check=False, cwd=ROOT,
    )  # fmt: skip
    if done.returncode:
        raise StackError("the price of a run cannot be told", seen=done.stderr.strip()[-2000:])
    return dict(json.loads(done.stdout))


def lines(wants: Wants, parts: Parts, bill: Bill | None, budget_s: float | None) -> Iterator[str]:
    """For a person, before anything is created."""
    volumes = sum(one.count * one.size_bytes for one in wants.volumes) / GIB
    yield (
        f"will be created: {_range(sum(wants.pods.values()), sum(wants.most_pods.values()), 'Pod')}, "
        f"{_range(wants.gpus, wants.most_gpus, 'GPU')}, {volumes:g} GiB of volumes, "
        f"{_range(wants.balancers, 0, 'load balancer')}"
    )
    if bill is None:
        yield "price: none is known of this cluster"
        return
    more = f", {bill.possible:.2f} for {_counted(parts.possible)} that may be added" if parts.possible else ""
    yield (
        f"price: {bill.created:.2f} {bill.currency} an hour for what this run creates{more}; "
        f"{bill.there:.2f} for what is there anyway ({_counted(parts.there)})"
    )
    if budget_s is not None:
        total = bill.at_most * budget_s / 3600
        yield f"price: at most {total:.2f} {bill.currency} in the time budget of {budget_s / 3600:g} h"
    if bill.unpriced:
        yield f"price: UNKNOWN, and in no sum: {', '.join(bill.unpriced)} (deploy/cost/prices.yaml)"
    yield f"prices: {bill.basis}; {NOT_IN_IT}"


def require_below(profile: Profile, bill: Bill | None) -> None:
    """ConfigurationError where a run would cost more than the profile lets it, or nobody knows what."""
    bound = profile.cluster.max_price_per_hour if profile.cluster else None
    if bound is None:
        return
    if bill is None or bill.unpriced:
        names = ", ".join(bill.unpriced) if bill else "nothing of this cluster has a price"
        raise ConfigurationError(
            f"{profile.name} may cost {bound:g} an hour, and the price of a run is not known",
            expected="a price for all that it uses, in deploy/cost/prices.yaml",
            seen=names,
            hint=HINT,
        )
    if bill.at_most > bound:
        raise ConfigurationError(
            f"a run at {profile.name} would cost more than it may",
            expected=f"at most {bound:g} {bill.currency} an hour",
            seen=f"{bill.at_most:.2f} {bill.currency}, with what may be added and what is there anyway",
            hint=HINT,
        )


def _range(least: int, most: int, what: str) -> str:
    if most > least:
        return f"{least} to {most} {what}s"
    return f"{least} {what}" if least == 1 else f"{least} {what}s"


def _counted(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} × {name}" for name, count in parts.items()) or "nothing"
