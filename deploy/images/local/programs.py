"""The programs that a cluster on this machine runs, and what the image of each is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deploy.images.local.binaries import Binary, binary_program
from deploy.images.local.engine import engine_on_cpu
from deploy.images.local.python import python_program, room
from deploy.images.local.recipe import ROOT, Recipe

NGINX = Binary("nginx/programs.json", "nginx", "usr/sbin/nginx", "nginx")
PROMETHEUS = Binary("monitoring/monitoring.json", "prometheus", "usr/bin/prometheus", "monitoring")
ALERTMANAGER = Binary(
    "monitoring/monitoring.json", "alertmanager", "usr/bin/alertmanager", "monitoring",
    aliases=("prometheus-alertmanager",), beside=("usr/share/prometheus/alertmanager",),
)  # fmt: skip
REDIS = Binary("redis/programs.json", "redis-server", "usr/bin/redis-server", "redis")


def _receiver() -> Recipe:
    folder = ROOT / "deploy" / "monitoring"
    sources = [folder.parent / "__init__.py", folder / "__init__.py", folder / "receiver.py"]
    return python_program(sources, "deploy.monitoring.receiver")


def _load() -> Recipe:
    """What a load engine runs: both its sides compare a hash of these files, so no others are among them."""
    folder = ROOT / "instruments"
    below = ("arrivals", "remote", "transport", "workloads")
    sources = [*folder.glob("*.py"), *(file for name in below for file in (folder / name).rglob("*.py"))]
    # The judging half of the room imports much more, and no load engine runs it.
    return python_program(sources, "instruments.remote.rest", packages=("orjson",))


PROGRAMS: Mapping[str, Callable[[], Recipe]] = {
    "gateway": lambda: python_program([*room("deploy/gateway"), *room("deploy/chat")], "deploy.gateway"),
    "simulator": lambda: python_program(room("deploy/simulator"), "deploy.simulator"),
    "load": _load,
    "receiver": _receiver,
    # Its own log goes where it is told to before any settings are read, and it asks for no rights at all.
    "nginx": lambda: binary_program(NGINX, "-e", "stderr", "-p", "/tmp", "-g", "daemon off;"),  # noqa: S108
    "prometheus": lambda: binary_program(PROMETHEUS),
    "alertmanager": lambda: binary_program(ALERTMANAGER),
    "redis": lambda: binary_program(REDIS),
    "engine-cpu": engine_on_cpu,
}
