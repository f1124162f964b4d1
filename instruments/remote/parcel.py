"""A parcel: an order with the files that it names, for a machine that has none of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from instruments.errors import ConfigurationError
from instruments.target import Target
from instruments.worker import WorkOrder
from instruments.workloads.files import FileWorkload

_FILES_OF_A_TARGET = ("ca_file", "client_cert_file", "client_key_file")
_Place = Callable[[Path], Path]


@dataclass(frozen=True, slots=True)
class Parcel:
    """`files` by the names that the order calls them by: certificates, a workload's prompts."""

    order: WorkOrder
    files: Mapping[str, bytes]

    def packed(self) -> bytes:
        return pickle.dumps(self)


def parcel_of(order: WorkOrder) -> Parcel:
    """Pack an order. ConfigurationError names a file that cannot be read."""
    files: dict[str, bytes] = {}

    def taken(path: Path) -> Path:
        name = f"{len(files)}{path.suffix}"
        try:
            files[name] = path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"cannot read {path}", seen=error.strerror, hint="it is sent to where the load is sent from"
            ) from None
        return Path(name)

    return Parcel(_placed(order, taken), files)


def unpacked(data: bytes, folder: Path) -> WorkOrder:
    """Lay a parcel's files into a folder, for this user alone; the order with their places."""
    found = pickle.loads(data)  # noqa: S301 - from whoever started this process, through its own pipe
    assert isinstance(found, Parcel)  # noqa: S101 - narrows a type
    for name, content in found.files.items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(content)
    order = _placed(found.order, lambda path: folder / path)
    return replace(order, journal=folder / "part.jsonl")


def _placed(order: WorkOrder, place: _Place) -> WorkOrder:
    return replace(
        order, target=_of_target(order.target, place), workload=_of_workload(order.workload, place)
    )


def _of_target(target: Target, place: _Place) -> Target:
    named = {name: getattr(target, name) for name in _FILES_OF_A_TARGET}
    changed: dict[str, Any] = {name: place(Path(path)) for name, path in named.items() if path is not None}
    return replace(target, **changed)


def _of_workload(value: Any, place: _Place) -> Any:
    """The workload with its files elsewhere; a mix has workloads in it."""
    if isinstance(value, FileWorkload):
        return replace(value, path=str(place(Path(value.path))))
    if isinstance(value, tuple):
        return tuple(_of_workload(one, place) for one in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    was = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
    new = {name: _of_workload(inner, place) for name, inner in was.items()}
    changed = {name: inner for name, inner in new.items() if inner is not was[name] and inner != was[name]}
    return replace(value, **changed) if changed else value
