"""Moving windows against numbers worked out by hand, on a clock that the test turns."""

from __future__ import annotations

import pytest

from deploy.gateway.addresses import limited_as
from deploy.gateway.limiter import Limiter
from deploy.gateway.settings import Key, Limits
from deploy.gateway.tail import KEEP_BYTES, Tail, Usage
from deploy.gateway.windows import SWEEP_EVERY_S, MemoryWindows, MovingWindows


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limiter_of(rates: Limits, clock: Clock) -> Limiter:
    return Limiter(rates, MemoryWindows(clock))


async def test_a_window_moves_with_its_oldest_hit() -> None:
    clock = Clock()
    limiter = limiter_of(Limits(client="2/10 seconds"), clock)
    assert await limiter.refusal("a", None) is None  # at 0
    clock.now += 4
    assert await limiter.refusal("a", None) is None  # at 4
    clock.now += 2.5
    refusal = await limiter.refusal("a", None)  # at 6.5: the hit at 0 leaves at 10, 3.5 s on, so 4 whole ones
    assert refusal is not None
    assert (refusal.scope, refusal.limit, refusal.remaining, refusal.retry_after_s) == ("client", 2, 0, 4)
    clock.now += 4
    assert await limiter.refusal("a", None) is None  # at 10.5: kept its word
    assert await limiter.refusal("a", None) is not None  # the hits at 4 and 10.5 fill it again


async def test_a_refused_hit_does_not_lengthen_the_wait() -> None:
    clock = Clock()
    limiter = limiter_of(Limits(client="1/10 seconds"), clock)
    await limiter.refusal("a", None)
    for _ in range(9):
        clock.now += 1
        assert await limiter.refusal("a", None) is not None
    clock.now += 1
    assert await limiter.refusal("a", None) is None


async def test_addresses_and_keys_do_not_share_a_window() -> None:
    limiter = limiter_of(Limits(anonymous="1/hour", key="1/hour"), Clock())
    a, b = Key("a", "A"), Key("b", "B")
    passed = [await limiter.refusal(*who) is None for who in [("x", a), ("x", b), ("x", None), ("y", None)]]
    assert passed == [True] * 4
    assert [await limiter.refusal(*who) is None for who in [("z", a), ("x", None)]] == [False] * 2


def test_windows_that_have_run_out_are_forgotten() -> None:
    clock = Clock()
    windows = MovingWindows(clock)
    for n in range(1000):
        assert windows.acquire_entry(f"address {n}", 5, 1)
    clock.now += SWEEP_EVERY_S + 1
    windows.acquire_entry("new", 5, 1)
    assert windows.reset() == 1


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_a_host_with_a_whole_network_is_one_client(address: str, counted_as: str) -> None:
    assert limited_as(address) == counted_as


def test_the_last_usage_counts_and_a_null_one_does_not() -> None:
    tail = Tail()
    tail.add(b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    tail.add(b'{"usage":{"prompt_tokens":2,"completion_tokens":5}}{"usage":null}')
    assert tail.usage() == Usage(2, 5)


def test_only_the_tail_is_kept() -> None:
    tail = Tail()
    tail.add(b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    for _ in range(10):
        tail.add(b" " * KEEP_BYTES)
    assert tail.usage() is None


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        (b"data: 1\n\ndata: [DONE]\n\n", "done"),
        (b"data: 1\n\ndata:[DONE]\r\n\r\n", "done"),
        (b"data: 1\n\n", "unfinished"),
        (b'data: {"error": {}}\n\ndata: [DONE]\n\n', "error"),
        (b'data: {"content":"data: {\\"error\\":1}"}\n\ndata: [DONE]\n\n', "done"),
        (b"", "unfinished"),
    ],
)
def test_how_a_stream_ended(text: bytes, ending: str) -> None:
    tail = Tail()
    tail.add(text)
    assert tail.stream_ending() == ending
