"""Clocks: the kernel's instant of a request's arrival, on the monotonic clock that all else is told in."""

import socket
import struct
from time import monotonic_ns, time_ns

SO_TIMESTAMPNS = 35  # Linux, asm-generic/socket.h; Python has no name for it
SCM_TIMESTAMPNS = SO_TIMESTAMPNS
ANCILLARY_BYTES = 64  # one control message of a struct timespec takes 32
TRUSTED_NS = 10_000_000_000
SAMPLES = 5

Ancillary = list[tuple[int, int, bytes]]


def ask_for_instants(listener: socket.socket) -> bool:
    """Have the kernel stamp what arrives on connections to `listener` (they inherit it), if it can.

    The listener lives as long as the server, and so the kernel never stops stamping: the first packets
    after the first socket that asks may carry no instant.
    """
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return hasattr(listener, "recvmsg")


class ArrivalClock:
    """Turns the kernel's instants (CLOCK_REALTIME) into CLOCK_MONOTONIC.

    Both are slewed alike, so their difference only changes when the system's time is set: it is sampled
    again each second.
    """

    def __init__(self) -> None:
        self._offset_ns = 0
        self.sample()

    def sample(self) -> None:
        """Measure realtime - monotonic, by the tightest of a few readings."""
        tightest = TRUSTED_NS
        for _ in range(SAMPLES):
            before_ns, real_ns, after_ns = monotonic_ns(), time_ns(), monotonic_ns()
            if after_ns - before_ns < tightest:
                tightest = after_ns - before_ns
                self._offset_ns = real_ns - (before_ns + after_ns) // 2

    def arrival_ns(self, ancillary: Ancillary, now_ns: int) -> int:
        """When the kernel got the newest of the bytes read; 0 when it does not say, or not credibly."""
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SCM_TIMESTAMPNS and len(data) == 16:
                seconds, rest_ns = struct.unpack("qq", data)
                arrival_ns = int(seconds * 1_000_000_000 + rest_ns - self._offset_ns)
                if now_ns - TRUSTED_NS < arrival_ns <= now_ns:
                    return arrival_ns
        return 0
