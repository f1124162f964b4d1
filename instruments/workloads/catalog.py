"""What a workload of the catalog may be: synthetic unless its `kind` says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

from instruments.arrivals.choice import ByKind
from instruments.catalog import load_yaml
from instruments.workloads.files import FileWorkload
from instruments.workloads.synthetic import SyntheticWorkload

AnyWorkload = SyntheticWorkload | FileWorkload
CatalogWorkload = Annotated[AnyWorkload, ByKind(default="synthetic")]


def read_catalog(path: Path) -> list[AnyWorkload]:
    """The workloads of a YAML file, in its order. ConfigurationError names the file and the field."""
    shape = cast("type[AnyWorkload]", CatalogWorkload)  # pydantic takes any annotation, mypy classes only
    return load_yaml(path, shape, under="workloads")
