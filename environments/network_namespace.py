"""A network namespace that one thread has for itself: sockets made there, and the kernel's own bad weather.

Linux only, and for root: `unshare`, `ip`, `iptables` and, where a rate is bound, `tc`.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

CLONE_NEWNET = 0x40000000
BOUND_S = 10.0
MTU = 1500  # loopback's own 64 KiB would make one packet of what is many on a wire
RATE_BURST_S = 0.05  # what tbf lets through at once, in seconds of its rate
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Conditions:
    """A link: the share of packets lost, either way, and the bits a second that both ways share."""

    loss_share: float = 0.0
    round_trip_s: float = 0.0
    rate_bps: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.loss_share < 1 or self.round_trip_s < 0:
            raise ValueError(f"a loss share within [0, 1) and a round trip of 0 or more, got {self}")
        if self.rate_bps is not None and self.rate_bps < 10_000:
            raise ValueError(f"a rate of at least 10 kbit/s, got {self.rate_bps:g}")


class NoNamespace(Exception):
    """This machine, or this user, cannot have one; why, in one line."""


class Namespace:
    """A namespace whose loopback is up. It ends with this process, and with it all that was set in it."""

    def __init__(self, conditions: Conditions) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="weather")
        self._conditions = conditions
        self._within(_unshare)
        self._run("ip", "link", "set", "lo", "up", "mtu", str(MTU))
        self._run("iptables", "-w", "-N", "WEATHER")
        self._run("iptables", "-w", "-A", "INPUT", "-j", "WEATHER")
        self.delay_s = 0.0 if self._netem() else conditions.round_trip_s / 2  # left to be added, each way
        self._lossy()
        self._slow()

    @property
    def words(self) -> str:
        """What the weather is, and who makes it."""
        given, said = self._conditions, []
        if given.loss_share:
            said.append(f"{given.loss_share * 100:g} % of packets lost (iptables)")
        if given.round_trip_s:
            who = "added by the relay, as this kernel has no netem" if self.delay_s else "netem"
            said.append(f"a round trip of {given.round_trip_s * 1000:g} ms ({who})")
        if given.rate_bps is not None:
            said.append(f"{given.rate_bps / 1e6:g} Mbit/s, both ways together (tbf)")
        return ", ".join(said) or "fair weather"

    def socket(self) -> socket.socket:
        """A TCP socket of this namespace, for asyncio; usable from any thread."""
        made = self._within(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def dark(self) -> None:
        """Lose every packet from now on."""
        self._run("iptables", "-w", "-I", "INPUT", "1", "-j", "DROP")

    def light(self) -> None:
        """As before `dark`."""
        self._run("iptables", "-w", "-D", "INPUT", "1")

    def lost(self) -> int:
        """Packets that were lost so far, by the kernel's own count, but those lost in the dark."""
        lines = self._run("iptables", "-w", "-nvxL", "WEATHER").splitlines()
        return sum(int(line.split()[0]) for line in lines if " DROP " in line)

    def _netem(self) -> bool:
        """Whether the kernel delays; loss is iptables' in any case, so that it is counted in one place."""
        given = self._conditions
        if not given.round_trip_s or given.rate_bps is not None:  # one queue at a time
            return False
        try:
            self._run(
                "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", f"{given.round_trip_s / 2}s"
            )
        except NoNamespace:
            return False
        return True

    def _lossy(self) -> None:
        if share := self._conditions.loss_share:
            chance = ("-m", "statistic", "--mode", "random", "--probability", f"{share:.6f}")
            self._run("iptables", "-w", "-A", "WEATHER", *chance, "-j", "DROP")

    def _slow(self) -> None:
        if rate := self._conditions.rate_bps:
            burst = max(4 * MTU, round(rate / 8 * RATE_BURST_S))
            bound = ("rate", f"{rate:.0f}bit", "burst", f"{burst}b", "latency", "1s")
            self._run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", *bound)

    def _within(self, what: Callable[[], Found]) -> Found:
        return self._thread.submit(what).result(BOUND_S)

    def _run(self, *command: str) -> str:
        """A program inside the namespace: a child of the thread that has it. NoNamespace with its words."""

        def ran() -> str:
            try:
                return subprocess.run(
                    command, capture_output=True, text=True, timeout=BOUND_S, check=True
                ).stdout
            except (OSError, subprocess.SubprocessError) as error:
                said = str(getattr(error, "stderr", None) or error).strip()
                raise NoNamespace(f"{' '.join(command)}: {said}") from None

        return self._within(ran)


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        raise NoNamespace("this system has no network namespaces")
    if libc.unshare(CLONE_NEWNET) != 0:
        raise NoNamespace(f"a network namespace needs root: {os.strerror(ctypes.get_errno())}")
