"""Events and objects of a namespace, written down with their times and status, and without a secret."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.captured import EVENTS

ASK_S = 3.0
EVENTS_MOST_BYTES = 25_000_000
HIDDEN = "(hidden)"
# Whatever may hold a secret by its name; a name that ends in _NAME, _FILE or _PATH says where one is.
SECRET_NAME = re.compile(r"(?i)(key|token|secret|passw(or)?d|credential)s?$")
SECRET_FLAG = re.compile(r"(?i)(--?[a-z-]*(?:key|token|secret|password)s?)(=|\s+)(\S+)")
# The same of an object's fields, where a key is mostly the name of something.
SECRET_FIELD = re.compile(r"(?i)(api[_-]?key|token|secret|passw(or)?d)$")
URL_USER = re.compile(r"(?<=://)[^/@\s]+@")
NOTED = ("kubectl.kubernetes.io/last-applied-configuration",)
# What a run's namespace may hold, beside the kinds that were applied. Secrets are never asked for.
KINDS = (
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Endpoints"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.k8s.io/v1", "Ingress"),
)


@dataclass(slots=True)
class Events:
    """Events as they come and as they repeat, a line each time, in the order of their times."""

    api: Api
    namespace: str
    folder: Path
    written: int = 0
    left_out: int = 0
    _known: dict[str, str] = field(default_factory=dict)  # uid -> the version that is written

    def look(self, bound_s: float = ASK_S) -> None:
        """Write what is new; ApiError where nobody tells within a bound."""
        path = f"/api/v1/namespaces/{self.namespace}/events"
        found = self.api.call("GET", path, bound_s=bound_s)["items"]
        versions = {str(one["metadata"]["uid"]): str(one["metadata"]["resourceVersion"]) for one in found}
        news = [one for one in found if self._known.get(uid := one["metadata"]["uid"]) != versions[uid]]
        self._known = versions  # those that the server has forgotten do not come again
        lines = sorted((told(one) for one in news), key=lambda one: str(one["last"]))
        self._write([json.dumps(one, ensure_ascii=False) + "\n" for one in lines])

    def _write(self, lines: list[str]) -> None:
        path = self.folder / EVENTS
        full = path.exists() and path.stat().st_size > EVENTS_MOST_BYTES
        if full or not lines:
            self.left_out += len(lines)
            return
        with path.open("a", encoding="utf-8") as out:
            out.write("".join(lines))
        self.written += len(lines)


def told(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event in a line: when first and last and how often, what, of which object, by whom."""
    series, source = event.get("series") or {}, event.get("source") or {}
    made = event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or made
    about = event.get("involvedObject") or {}
    return {
        "first": first,
        "last": series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or first,
        "count": series.get("count") or event.get("count") or 1,
        "type": event.get("type"),
        "reason": event.get("reason"),
        "kind": about.get("kind"),
        "name": about.get("name"),
        "uid": about.get("uid"),
        "message": hidden(str(event.get("message") or "")),
        "by": event.get("reportingComponent") or source.get("component"),
        "node": source.get("host"),
    }


def write_objects(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Objects as YAML, as `shown` shows them."""
    told = [shown(one) for one in objects if one.get("kind") != "Secret"]
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump_all(told, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110)
    path.write_text(text, encoding="utf-8")


def standing_objects(
    api: Api, namespace: str, kinds: Iterable[tuple[str, str]], until_s: float
) -> tuple[list[Document], list[str]]:
    """All objects of these kinds with their status, and in words which kinds could not be had.

    `until_s` is an instant of the monotonic clock: kinds whose turn comes later are left out.
    """
    found: list[Document] = []
    lacking: list[str] = []
    for api_version, kind in dict.fromkeys((*kinds, *KINDS)):
        if kind in ("Secret", "Namespace", "Event"):
            continue
        if time.monotonic() > until_s:
            lacking.append(f"{kind}: the time was over")
            continue
        try:
            if api.resource(api_version, kind) is not None:
                left_s = max(0.1, min(ASK_S, until_s - time.monotonic()))
                listed = api.call("GET", api.place(api_version, kind, namespace), bound_s=left_s)["items"]
                found += [{"apiVersion": api_version, "kind": kind, **one} for one in listed]
        except ApiError as error:
            lacking.append(f"{kind}: {error.seen}"[:300])
    return found, lacking


def shown(document: Mapping[str, Any]) -> Document:
    """An object without what may be secret, and without its bookkeeping; its data by their size."""
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    notes = {name: text for name, text in (metadata.get("annotations") or {}).items() if name not in NOTED}
    if "annotations" in metadata:
        metadata["annotations"] = notes
    rest = {name: value for name, value in document.items() if name != "metadata"}
    for name in ("data", "binaryData", "stringData"):
        if name in rest:
            rest[name] = {key: f"({len(str(value))} characters)" for key, value in (rest[name] or {}).items()}
    head = {name: rest.pop(name) for name in ("apiVersion", "kind") if name in rest}
    return {**head, "metadata": cleaned(metadata), **cleaned(rest)}


def cleaned(value: Any) -> Any:
    """A value without secrets: of variables and fields whose name says so, and of command lines."""
    if isinstance(value, Mapping):
        names_one = isinstance(value.get("name"), str) and SECRET_NAME.search(value["name"])
        return {
            key: HIDDEN if (key == "value" and names_one) or _is_secret(key, one) else cleaned(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [
            HIDDEN if number and _is_flag(value[number - 1]) and isinstance(one, str) else cleaned(one)
            for number, one in enumerate(value)
        ]
    return hidden(value) if isinstance(value, str) else value


def hidden(text: str) -> str:
    """A text without what follows a flag for a key, and without who logs in to a URL."""
    return URL_USER.sub(f"{HIDDEN}@", SECRET_FLAG.sub(rf"\1\2{HIDDEN}", text))


def _is_secret(key: object, value: object) -> bool:
    return isinstance(value, str) and bool(SECRET_FIELD.search(str(key)))


def _is_flag(word: object) -> bool:
    return (
        isinstance(word, str) and word.startswith("-") and "=" not in word and bool(SECRET_NAME.search(word))
    )
