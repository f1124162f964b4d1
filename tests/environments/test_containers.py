"""Monitoring in containers, on a real Docker engine; images are made here from the binaries at hand."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from environments.binaries import find_monitoring
from environments.containers import docker_answers
from environments.monitoring import start_monitoring, wait_for_monitoring
from environments.profile import EngineProfile, Profile
from environments.provider import StackDied
from environments.readiness import answers, wait_until

docker = pytest.importorskip("docker")
PROMETHEUS = find_monitoring("prometheus")
pytestmark = [
    pytest.mark.skipif(not docker_answers(), reason="no Docker engine answers on this machine"),
    pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus binary to make an image of"),
    # testcontainers 4.x warns of its own deprecated wait functions.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:testcontainers"),
]
IMAGE = "vllm-slo-test/prometheus:1"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """An image that holds Prometheus and the libraries it is linked with, and nothing else."""
    assert PROMETHEUS is not None
    linked = subprocess.run(
        ["/usr/bin/ldd", PROMETHEUS.path], capture_output=True, text=True, check=True
    ).stdout
    libraries = [word for word in linked.split() if word.startswith("/")]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        tar.add(PROMETHEUS.path, "bin/prometheus")
        for library in libraries:
            tar.add(library, library.lstrip("/"))
        for folder in ("tmp", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
    name, tag = IMAGE.split(":")
    with closing(docker.from_env()) as client:
        client.api.import_image_from_data(
            packed.getvalue(), repository=name, tag=tag, changes=['ENTRYPOINT ["/bin/prometheus"]']
        )
        yield IMAGE
        client.images.remove(IMAGE, force=True)


@pytest.fixture
def profile(image: str, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Containers, no reaper (its image would have to be fetched), and the host's network as it is."""
    monkeypatch.setattr("testcontainers.core.config.testcontainers_config.ryuk_disabled", True)
    return Profile(
        name="containers",
        description="monitoring in containers",
        provider="local",
        engine=EngineProfile(kind="simulator"),
        monitoring="containers",
        images={"prometheus": image, "alertmanager": image},
    )


def test_prometheus_in_a_container_scrapes_the_host_and_is_taken_down(
    profile: Profile, tmp_path: Path
) -> None:
    """It scrapes itself through the host's loopback; its death is told; stopping removes the container."""
    monitoring = start_monitoring(profile, tmp_path / "m", tmp_path / "logs", {})
    try:
        # Alertmanager's image is Prometheus' here: its flags are refused, which must be told as a death.
        parts = {part.name: part for part in monitoring.components}
        dead, alive = parts["alertmanager"], parts["prometheus"]
        with httpx.Client(trust_env=False) as client:
            with pytest.raises(StackDied, match="alertmanager died"):
                wait_for_monitoring(monitoring, set(), client)
            ready = answers(f"{monitoring.prometheus_url}/-/ready", client)
            wait_until(ready, "Prometheus is ready", bound_s=30.0, components=(alive,))
        alive.check()
        assert "unknown" in dead.log_tail()
    finally:
        for part in monitoring.components:
            part.stop()
    with closing(docker.from_env()) as client:
        assert [one.name for one in client.containers.list(all=True, filters={"ancestor": IMAGE})] == []
