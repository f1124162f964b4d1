"""Custom resources against schemas made of their real definitions, which proves our own table of fields."""

from __future__ import annotations

import copy
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes.fields import resources
from tests.kubernetes.rendering import PLACES, ROOT, rendered

MODELS = ROOT / ".cache" / "kubernetes-models"
PACKAGES = {"prometheus-operator": "6.0.0", "cert-manager": "6.0.0", "gateway-api": "2.0.0", "keda": "2.0.0"}
SCRIPT = Path(__file__).with_name("real_schemas.mjs")
INSTALL_BOUND_S = 60.0
WITHOUT_MODELS = ("gateway.nginx.org/v1alpha1",)  # published nowhere as a package

Document = dict[str, Any]


@functools.cache
def models() -> Path:
    """The folder with the packages, installed once. The calling test is skipped where that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node")
    wanted = [f"@kubernetes-models/{name}@{version}" for name, version in PACKAGES.items()]
    stamp = MODELS / "installed.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == wanted:
        return MODELS
    MODELS.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            ["npm", "install", "--prefix", str(MODELS), "--no-audit", "--no-fund", "--no-save", *wanted],  # noqa: S607
            env={**os.environ, "npm_config_cache": str(ROOT / ".cache" / "npm")},
            check=True,
            capture_output=True,
            timeout=INSTALL_BOUND_S,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"@kubernetes-models cannot be installed: {error}")
    stamp.write_text(json.dumps(wanted))
    return MODELS


def complaints(documents: list[Document]) -> list[list[str]]:
    """[name, what is wrong] of each."""
    done = subprocess.run(
        ["node", str(SCRIPT), str(models())],  # noqa: S607
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def customs() -> list[Document]:
    """Every custom resource of every place that has a published schema, once."""
    ours = resources()
    found = {
        json.dumps(one, sort_keys=True): one
        for place in PLACES
        for one in rendered(place)
        if (one["apiVersion"], one["kind"]) in ours and one["apiVersion"] not in WITHOUT_MODELS
    }
    return list(found.values())


def test_the_controllers_own_schemas_take_every_custom_resource() -> None:
    documents = customs()
    kinds = {one["kind"] for one in documents}
    assert kinds == {
        "ServiceMonitor",
        "PrometheusRule",
        "Issuer",
        "Certificate",
        "Gateway",
        "HTTPRoute",
        "ScaledObject",
    }
    assert complaints(documents) == []


def test_they_find_mistakes() -> None:
    documents = [copy.deepcopy(one) for one in customs()]
    first = {
        kind: next(one for one in documents if one["kind"] == kind)
        for kind in ("PrometheusRule", "ServiceMonitor")
    }
    first["PrometheusRule"]["spec"]["groups"][0]["rules"][0]["for"] = "2 minutes"
    first["ServiceMonitor"]["spec"]["endpoints"][0]["intervall"] = "5s"
    found = complaints(list(first.values()))
    assert [name.split()[0] for name, _ in found] == ["PrometheusRule", "ServiceMonitor"]
    assert "for" in found[0][1]
    assert found[1][1] == "unknown: spec.endpoints.intervall"
