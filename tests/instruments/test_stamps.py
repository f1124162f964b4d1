"""Instants of arrival: the kernel's where it gives them, and never one that cannot be."""

from __future__ import annotations

import socket
import struct
import sys
import time

import pytest

from instruments.transport import stamps
from instruments.transport.stamps import ANCILLARY_BYTES, ArrivalClock, ask_for_stamps

SECOND = 1_000_000_000
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux stamps what arrives")


def instant_ns(clock: ArrivalClock, raw: bytes | None, read_ns: int) -> int:
    (found,) = clock.instants_ns([(b"x", raw, read_ns)])
    return found


def kernel_stamp(wall_ns: int) -> bytes:
    return struct.pack("qq", *divmod(wall_ns, SECOND))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ArrivalClock:
    """A machine that was started 1,000 s after the wall clock's zero."""
    monkeypatch.setattr(stamps, "_offset_ns", lambda: -1_000 * SECOND)
    return ArrivalClock()


def test_a_kernel_stamp_is_laid_on_the_monotonic_clock(clock: ArrivalClock) -> None:
    assert instant_ns(clock, kernel_stamp(1_007 * SECOND + 5), 8 * SECOND) == 7 * SECOND + 5
    assert (clock.by_kernel, clock.by_reader) == (1, 0)


def test_bytes_that_come_while_a_turn_goes_on_are_stamped_after_its_beginning(clock: ArrivalClock) -> None:
    assert instant_ns(clock, kernel_stamp(1_008 * SECOND + 300_000), 8 * SECOND) == 8 * SECOND + 300_000
    assert clock.by_kernel == 1


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"too short",
        kernel_stamp(1_009 * SECOND),  # a second after the read: the wall clock was set
        kernel_stamp(940 * SECOND),  # a minute and more before it
    ],
)
def test_without_a_stamp_that_can_be_the_readers_clock_stands(clock: ArrivalClock, raw: bytes | None) -> None:
    assert instant_ns(clock, raw, 8 * SECOND) == 8 * SECOND
    assert (clock.by_kernel, clock.by_reader) == (0, 1)


def test_the_source_of_a_runs_stamps_is_told(clock: ArrivalClock) -> None:
    def stamped(times: int, raw: bytes | None) -> str:
        for _ in range(times):
            instant_ns(clock, raw, SECOND)
        return clock.source

    assert clock.source == "none"
    assert stamped(1, None) == "user"
    assert stamped(1, kernel_stamp(1_001 * SECOND)) == "mixed"  # as many of the one as of the other
    assert (
        stamped(1, kernel_stamp(1_001 * SECOND)) == "kernel"
    )  # the first may come before the kernel was told
    assert stamped(20, kernel_stamp(1_001 * SECOND)) == "kernel"
    assert stamped(7, None) == "kernel"  # eight in all
    assert stamped(1, None) == "mixed"


def test_a_wall_clock_that_is_set_is_noticed_and_slewing_is_not(
    clock: ArrivalClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "_offset_ns", lambda: -1_000 * SECOND + 900_000)
    clock.watch()
    assert clock.steps == 0
    monkeypatch.setattr(stamps, "_offset_ns", lambda: -1_060 * SECOND)
    clock.watch()
    clock.watch()
    assert clock.steps == 1
    assert instant_ns(clock, kernel_stamp(1_067 * SECOND), 8 * SECOND) == 7 * SECOND


@LINUX
def test_bytes_read_late_keep_the_instant_at_which_they_came() -> None:
    """Sent, then read 50 ms later: the stamp lies right behind the sending, not at the reading."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with theirs, ours:
        if not ask_for_stamps(ours):
            pytest.skip("this kernel does not stamp")
        theirs.send(b"the first may come before the kernel has begun to stamp")
        ours.recv(99)
        time.sleep(0.05)
        clock = ArrivalClock()
        sent_ns = time.monotonic_ns()
        theirs.send(b"x")
        handed_over_ns = time.monotonic_ns()
        time.sleep(0.05)
        _, extra, _, _ = ours.recvmsg(99, ANCILLARY_BYTES)
        read_ns = time.monotonic_ns()
        arrived_ns = instant_ns(clock, extra[0][2], read_ns)
    # On the loopback a packet has arrived before send() returns; clocks are compared to a few µs.
    assert sent_ns - 20_000 <= arrived_ns <= handed_over_ns + 20_000
    assert read_ns - arrived_ns >= 50_000_000
    assert clock.source == "kernel"
