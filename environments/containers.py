"""Prometheus and Alertmanager as containers, where there is a Docker engine and no binary.

They share the host's network, so that they reach engine and gateway on loopback; that needs Linux.
testcontainers' own reaper (Ryuk) removes them when this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environments.provider import MissingBinary, StackDied


class Container:
    """One container, as a component of a stack."""

    def __init__(self, name: str, image: str, arguments: Sequence[str], folder: Path, log: Path) -> None:
        from testcontainers.core.container import DockerContainer

        self._name = name
        self._log = log
        self._container = (
            DockerContainer(image)
            .with_command([*arguments])
            .with_volume_mapping(str(folder), str(folder), "rw")
            .with_kwargs(network_mode="host", user="0")
        )
        try:
            self._container.start()
        except Exception as error:  # docker's client raises its own, requests' and urllib3's
            with contextlib.suppress(Exception):  # made and not started, it would stay
                self._container.stop()
            raise MissingBinary(
                f"cannot start {name} as a container",
                expected=f"a Docker engine that can run {image}",
                seen=f"{type(error).__name__}: {error}",
                hint="set `monitoring: none` in the profile for direct scrape",
            ) from error

    @property
    def name(self) -> str:
        return self._name

    @property
    def pid(self) -> int | None:
        wrapped = self._reloaded()
        return wrapped.attrs["State"].get("Pid") or None

    def check(self) -> None:
        wrapped = self._reloaded()
        if wrapped.status not in ("created", "running"):
            code = wrapped.attrs["State"].get("ExitCode")
            raise StackDied(self.name, f"exit code {code}", self.log_tail())

    def _reloaded(self) -> Any:
        """The container as Docker knows it now. StackDied when it knows it no more, or does not answer."""
        from docker.errors import DockerException
        from requests import RequestException

        wrapped = self._container.get_wrapped_container()
        try:
            wrapped.reload()
        except (DockerException, RequestException) as error:
            raise StackDied(self.name, f"Docker does not know it any more: {error}", "(no log)") from None
        return wrapped

    def log_tail(self, lines: int = 20) -> str:
        text = self._container.get_wrapped_container().logs(tail=lines).decode("utf-8", "replace")
        return text.strip() or "(it wrote nothing)"

    def stop(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_text(self.log_tail(500))
        self._container.stop()


def docker_answers() -> bool:
    """Whether a Docker engine can be reached.

    Asked over a socket of ours: docker's client and httpx each leave one open when nobody answers. An
    engine behind TLS or SSH is taken at its word: what is wrong with it is said when it is used.
    """
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    kind, _, place = host.partition("://")
    if kind not in ("unix", "tcp") or os.environ.get("DOCKER_TLS_VERIFY"):
        return True
    name, _, port = place.partition(":")
    address = place if kind == "unix" else (name, int(port or 2375))
    try:
        with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as wire:
            wire.settimeout(5.0)
            wire.connect(address)
            wire.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in wire.recv(64)
    except OSError:
        return False
