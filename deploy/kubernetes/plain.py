"""What plain Pods are given where there is no controller: NGINX's, Prometheus's and Alertmanager's settings.

Each function gives the text of one file, made of what a host has; nothing is read but what is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.kubernetes.generated import NOTE, dumped

# Job -> a Service without an address of its own, whose name in DNS has one for each Pod; and their port.
# By names, and not by the API server: it needs no rights, and Debian's Prometheus is built without the other.
PODS = {"engine": ("vllm-engine-pods", 8000), "gateway": ("vllm-gateway-pods", 9180)}
ALONE = {"alertmanager": "vllm-alertmanager:9093", "prometheus": "localhost:9090"}
LOOKED_UP_EVERY = "2s"
RULES_FOLDER = "/etc/prometheus-rules"
RECEIVER = "http://127.0.0.1:9094/alerts"  # in Alertmanager's own Pod


def nginx_settings_text(base: Path, place: Mapping[str, Any]) -> str:
    """What deploy.ingress.nginx renders: the component's settings, with the limiter of the place."""
    settings = yaml.safe_load(base.read_text(encoding="utf-8"))
    return dumped({**settings, **place["limiter"], "own_addresses": place["own_addresses"]})


def prometheus_text(base: Path) -> str:
    """The jobs of a host that a namespace has too, scraped and judged each second."""
    config = yaml.safe_load(base.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"}
    config["rule_files"] = [f"{RULES_FOLDER}/*.yml"]
    alertmanagers = {"static_configs": [{"targets": [ALONE["alertmanager"]]}]}
    config["alerting"] = {"alertmanagers": [alertmanagers]}
    jobs = {one["job_name"]: one for one in config["scrape_configs"]}
    config["scrape_configs"] = [_found(jobs[name]) for name in (*PODS, *ALONE)]
    return NOTE.format(sources="deploy/monitoring/prometheus") + dumped(config)


def _found(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job whose targets are found by name, and not in files."""
    kept = {name: value for name, value in job.items() if name != "file_sd_configs"}
    if (name := job["job_name"]) in ALONE:
        return {**kept, "static_configs": [{"targets": [ALONE[name]]}]}
    service, port = PODS[name]
    found = {"names": [service], "type": "A", "port": port, "refresh_interval": LOOKED_UP_EVERY}
    return {**kept, "dns_sd_configs": [found]}


def alertmanager_text(base: Path) -> str:
    """The routes and inhibitions of a host, at once and to the receiver in the same Pod alone."""
    config = yaml.safe_load(base.read_text(encoding="utf-8"))
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    config["receivers"] = [
        {"name": one["name"], "webhook_configs": [{"url": RECEIVER, "send_resolved": True}]}
        for one in config["receivers"]
    ]
    return NOTE.format(sources="deploy/monitoring/alertmanager") + dumped(config)


def rules_file_text(file: Path) -> str:
    """A file of rules as it is: kustomize reads none outside its own folder."""
    return NOTE.format(sources=f"deploy/monitoring/rules/{file.name}") + file.read_text(encoding="utf-8")
