"""Forwards: ports on loopback that lead to a Service through the API server, for what nothing else reaches.

Good for metrics and for functional probes. Never for load: every byte goes through the API server and one
kubectl, which would be measured in the stack's place.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from environments.kubernetes.context import kubectl, kubectl_environment
from environments.ports import take_port
from environments.process import Process
from environments.provider import MissingBinary, Say, StackNotReady

OPEN_BOUND_S = 20.0
POLL_EVERY_S = 0.2
LOOK_EVERY_S = 0.5
# A kubectl that lost its Pod may go on listening, and fail every connection.
LOST = re.compile(r"lost connection to pod|error forwarding port|an error occurred forwarding")


@dataclass(slots=True)
class _Forward:
    name: str
    process: Process
    log: Path
    port: int
    read: int = 0  # bytes of the log that are of a connection before

    def is_lost(self) -> bool:
        if self.process.ended is not None:
            return True
        with self.log.open("rb") as written:
            written.seek(self.read)
            return LOST.search(written.read().decode("utf-8", "replace")) is not None

    def again(self) -> None:
        self.process.stop(grace_s=1.0)
        self.read = self.log.stat().st_size
        self.process.again()


class Forwards:
    """All forwards of one stack: started when asked for, restarted when they drop, stopped together."""

    def __init__(self, context: str, folder: Path, say: Say) -> None:
        self._context, self._folder, self._say = context, folder, say
        self._open: dict[tuple[str, str, str], _Forward] = {}
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None

    def to(self, namespace: str, service: str, port: str) -> str:
        """The URL on loopback of a Service's port, by its name or number; StackNotReady where none opens.

        `service` is its name, or a KIND/NAME of anything else that kubectl can forward to.
        """
        place = (namespace, service, port)
        if place not in self._open:
            forward = self._start(namespace, service, port)
            with self._changing:
                self._open[place] = forward
            self._wait(forward)
            if self._keeper is None:
                self._keeper = threading.Thread(target=self._keep, name="forwards", daemon=True)
                self._keeper.start()
        return f"http://127.0.0.1:{self._open[place].port}"

    def stop(self) -> None:
        """End them all; none is started again."""
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join(10.0)
        with self._changing:
            for one in self._open.values():
                one.process.stop(grace_s=1.0)
            self._open.clear()

    def _start(self, namespace: str, service: str, port: str) -> _Forward:
        number, name = take_port(0, f"forward to {service}"), f"forward-{service.replace('/', '-')}-{port}"
        target = service if "/" in service else f"service/{service}"
        words = ("-n", namespace, "port-forward", "--address", "127.0.0.1", target)
        log = self._folder / f"{name}.log"
        command = kubectl(self._context, *words, f"{number}:{port}")
        process = Process.start(name, command, log=log, cwd=self._folder, environment=kubectl_environment())
        return _Forward(name, process, log, number)

    def _wait(self, one: _Forward) -> None:
        until = time.monotonic() + OPEN_BOUND_S
        while not _listens(one.port):
            ended = one.process.ended
            if ended is not None and "cannot run kubectl" in one.process.log_tail():
                raise MissingBinary("kubectl is not on this machine", expected="kubectl, to forward ports")
            if ended is not None or time.monotonic() > until:
                raise StackNotReady(
                    f"{one.name}: no way through the API server",
                    expected=f"kubectl port-forward within {OPEN_BOUND_S:g} s",
                    seen=f"{ended or 'it does not listen'}; {one.process.log_tail()}",
                )
            time.sleep(POLL_EVERY_S)

    def _keep(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            with self._changing:
                for one in self._open.values():
                    if one.is_lost() and not self._ended.is_set():
                        self._say(f"{one.name} dropped, and is opened again")
                        one.again()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        asking.settimeout(1.0)
        return asking.connect_ex(("127.0.0.1", port)) == 0
