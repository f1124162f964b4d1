"""When bytes arrived: the kernel's own instants where it gives them, the reader's clock where not.

A client that stamps what it reads measures how busy it is itself: under 256 streams a Python client is
tens of milliseconds late. Linux stamps each packet when it arrives and hands the instant over with the
bytes (SO_TIMESTAMPNS, socket(7)), however late they are read. Where a read takes several packets, the
instant is that of the last.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Sequence

from instruments.clock import NANOSECONDS

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; on other systems than Linux there is none
ANCILLARY_BYTES = 64  # room for one timestamp's control message
OLDEST_NS = 60 * NANOSECONDS  # bytes that lie unread for longer do not happen: that is another clock
NEWEST_NS = NANOSECONDS // 4  # bytes may come after the turn has begun in which they are read
STEP_NS = NANOSECONDS // 1_000  # wall and monotonic clock are slewed alike: a difference is a step

_TIMESPEC = struct.Struct("qq")

Piece = tuple[bytes, bytes | None, int]  # bytes, the kernel's struct timespec, when the reading turn began


class ArrivalClock:
    """Turns the kernel's wall-clock instants into the monotonic ones of all other stamps."""

    def __init__(self) -> None:
        self._offset_ns = _offset_ns()
        self.by_kernel = self.by_reader = 0  # pieces stamped so
        self.steps = 0  # how often the wall clock was set while it was watched

    def instants_ns(self, pieces: Sequence[Piece]) -> list[int]:
        """The arrival of each piece: as the kernel stamped it, or the turn in which it was read."""
        offset_ns, size, unpack = self._offset_ns, _TIMESPEC.size, _TIMESPEC.unpack
        found: list[int] = []
        by_reader = 0
        for _, raw, read_ns in pieces:
            if raw is not None and len(raw) == size:
                seconds, nanoseconds = unpack(raw)
                instant_ns = seconds * NANOSECONDS + nanoseconds + offset_ns
                if read_ns - OLDEST_NS < instant_ns < read_ns + NEWEST_NS:
                    found.append(instant_ns)
                    continue
            found.append(read_ns)
            by_reader += 1
        self.by_reader += by_reader
        self.by_kernel += len(found) - by_reader
        return found

    def watch(self) -> None:
        """Look whether somebody has set the wall clock; to be called once a second or so."""
        offset_ns = _offset_ns()
        self.steps += abs(offset_ns - self._offset_ns) > STEP_NS
        self._offset_ns = offset_ns

    @property
    def source(self) -> str:
        """Where the run's arrival instants came from: kernel, user, or mixed; none before any bytes."""
        if not self.by_kernel and not self.by_reader:
            return "none"
        # The first packets after the kernel was asked may carry no stamp.
        few = self.by_reader <= max(8, self.by_kernel // 1_000) and self.by_reader * 2 <= self.by_kernel
        if self.by_kernel and few:
            return "kernel"
        return "mixed" if self.by_kernel else "user"


def ask_for_stamps(sock: socket.socket) -> bool:
    """Ask the kernel to stamp what arrives on a socket; False where it does not know how."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:  # a sandbox without it: the reader's clock is used, and the fingerprint says so
        return False
    return True


def _offset_ns() -> int:
    """Monotonic minus wall clock, from the closest of a few pairs of readings."""
    best = (1 << 62, 0)
    for _ in range(8):
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        best = min(best, (after_ns - before_ns, (before_ns + after_ns) // 2 - wall_ns))
    return best[1]


def kernel_stamps() -> bool:
    """Whether this kernel stamps what arrives: asked of it with a few bytes on the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
    with sender, receiver:
        receiver.settimeout(1.0)
        if not ask_for_stamps(receiver):
            return False
        for _ in range(50):  # it begins to stamp some time after it was asked
            sender.send(b"x")
            _, extra, _, _ = receiver.recvmsg(16, ANCILLARY_BYTES)
            if extra:
                return True
            time.sleep(0.002)
    return False
