"""A tiny place: an engine with a volume, a port of the node as its way in. It stands within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

LABELS = {"app.kubernetes.io/name": "tiny-engine", "app.kubernetes.io/component": "engine"}


def tiny_place(folder: Path, *, image: str = "local", ready_timeout_s: float = 90.0) -> Path:
    """The profile's file; beside it the overlay. Another image than `local` is taken as it is."""
    overlay = folder / "overlay"
    overlay.mkdir(parents=True)
    (overlay / "all.yaml").write_text(yaml.safe_dump_all([_claim(), _engine(), _service()]))
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["all.yaml"]}))
    profile = {
        "name": "tiny",
        "description": "one engine in a cluster, for proofs of how a stack comes and goes",
        "provider": "kubernetes",
        "model": "tiny",
        "accelerator": "none",
        "duration_scale": 0.1,
        "cluster": {
            "overlay": str(overlay),
            "way_in": "node-port",
            "service": "tiny-engine",
            "images": {"vllm-slo/simulator": image},
            "simulated": True,
            "max_model_len": 1024,
            "ready_timeout_s": ready_timeout_s,
        },
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(profile))
    return path


def _claim() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "weights"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }


def _engine() -> dict[str, Any]:
    arguments = ["--host", "0.0.0.0", "--port", "8000", "--model", "tiny", "--itl-ms", "4"]  # noqa: S104 - in a Pod
    container = {
        "name": "engine",
        "image": "vllm-slo/simulator",
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "weights", "mountPath": "/weights"}],
    }
    volumes = [{"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "tiny-engine", "labels": LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "tiny-engine"}},
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [container], "volumes": volumes, "terminationGracePeriodSeconds": 30},
            },
        },
    }


def _service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "tiny-engine", "labels": LABELS},
        "spec": {
            "type": "NodePort",
            "selector": {"app.kubernetes.io/name": "tiny-engine"},
            "ports": [{"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP"}],
        },
    }
