"""The queue before the engine: how many, in which order, and how each of those who wait may end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from deploy.gateway.admission import Admission, Shed
from deploy.gateway.body import ClientLeft
from deploy.gateway.settings import Queue


async def stays() -> None:
    """A client that does not leave."""
    await asyncio.Event().wait()


class Line:
    """Waiters by name, and the order in which they got their slot or were turned away."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.entered: list[str] = []
        self.turned_away: list[tuple[str, str]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, names: str, gone: Callable[[], Coroutine[Any, Any, None]] = stays) -> None:
        """`a1 b1`: the letter is the key."""
        for name in names.split():
            self.tasks.append(asyncio.create_task(self._wait(name, gone)))
            await asyncio.sleep(0)

    async def _wait(self, name: str, gone: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await self.admission.enter(name[0], gone)
        except Shed as shed:
            self.turned_away.append((name, shed.reason))
        except ClientLeft:
            self.turned_away.append((name, "left"))
        else:
            self.entered.append(name)

    async def leave(self, times: int) -> None:
        for _ in range(times):
            self.admission.leave()
            await settled()

    async def done(self) -> None:
        await asyncio.wait_for(asyncio.gather(*self.tasks), 5)


async def settled() -> None:
    """Let every task go as far as it gets."""
    for _ in range(5):
        await asyncio.sleep(0)


def line_of(in_flight: int, queued: int, timeout_s: float = 60.0) -> Line:
    return Line(Admission(Queue(in_flight, queued, timeout_s)))


async def test_inside_a_key_turns_go_by_arrival() -> None:
    line = line_of(1, 10)
    await line.join("a1 a2 a3 a4")
    assert (line.admission.in_flight, line.admission.queued) == (1, 3)
    await line.leave(4)
    await line.done()
    assert line.entered == ["a1", "a2", "a3", "a4"]
    assert (line.admission.in_flight, line.admission.queued) == (0, 0)
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}  # nobody watches a client that waits no more


async def test_between_keys_turns_go_round() -> None:
    line = line_of(1, 10)
    await line.join("a0 a1 a2 a3 b1 b2 c1")
    await line.leave(7)
    await line.done()
    # with one line for all it would be a1 a2 a3 before b1
    assert line.entered == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


async def test_beyond_the_queue_is_shed_at_once() -> None:
    line = line_of(2, 1)
    await line.join("a1 a2 a3 a4")
    await settled()
    assert line.entered == ["a1", "a2"]
    assert line.turned_away == [("a4", "queue_full")]
    await line.leave(3)
    await line.done()
    assert line.entered == ["a1", "a2", "a3"]


async def test_a_full_queue_gives_a_place_of_the_key_with_most_to_one_with_fewer() -> None:
    line = line_of(1, 3)
    await line.join("a0 a1 a2 a3 b1")
    await settled()
    assert line.turned_away == [("a3", "queue_full")]  # its newest; b1 has the place
    await line.join("b2")  # now 2 and 1: a place more for b would only turn the tables
    await settled()
    assert line.turned_away[1:] == [("b2", "queue_full")]
    await line.leave(4)
    await line.done()
    assert line.entered == ["a0", "a1", "b1", "a2"]


async def test_who_waits_too_long_is_turned_away_and_frees_its_place() -> None:
    line = line_of(1, 1, timeout_s=0.05)
    await line.join("a0 a1")
    await asyncio.wait_for(line.tasks[1], 5)
    assert line.turned_away == [("a1", "queue_timeout")]
    assert line.admission.queued == 0
    await line.leave(1)
    assert line.admission.in_flight == 0
    await line.done()


async def test_who_leaves_the_queue_frees_its_place_and_takes_no_slot() -> None:
    line, gone = line_of(1, 1), asyncio.Event()

    async def leaves() -> None:
        await gone.wait()

    await line.join("a0")
    await line.join("a1", leaves)
    gone.set()
    await asyncio.wait_for(line.tasks[1], 5)
    assert line.turned_away == [("a1", "left")]
    await line.join("a2")
    assert line.admission.queued == 1
    await line.leave(1)
    await line.done()
    assert line.entered == ["a0", "a2"]


async def test_a_task_that_is_cancelled_frees_its_place_or_the_slot_it_was_just_given() -> None:
    line = line_of(1, 2)
    await line.join("a0 a1 a2")
    line.tasks[1].cancel()
    await settled()
    assert line.admission.queued == 1
    line.admission.leave()  # a2 has the slot, and does not know it yet
    line.tasks[2].cancel()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert (line.admission.in_flight, line.admission.queued) == (0, 0)


async def test_a_slot_is_not_given_to_a_task_that_was_cancelled_a_moment_ago() -> None:
    line = line_of(1, 5)
    await line.join("a0 a1 a2")
    line.tasks[1].cancel()  # and has not run since
    line.admission.leave()
    await settled()
    assert line.entered == ["a0", "a2"]
    line.tasks[1].cancel()
    line.admission.leave()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert (line.admission.in_flight, line.admission.queued) == (0, 0)


async def test_a_drain_empties_the_queue_and_lets_nobody_wait() -> None:
    line = line_of(1, 9)
    await line.join("a0 a1 b1 a2")
    line.admission.drain()
    await line.join("c1")
    await settled()
    assert sorted(line.turned_away) == [(who, "draining") for who in ("a1", "a2", "b1", "c1")]
    assert (line.admission.in_flight, line.admission.queued) == (1, 0)
    await line.leave(1)
    await line.join("a3")  # a slot that is free is given all the same
    await line.done()
    assert line.entered == ["a0", "a3"]


async def test_nobody_waits_for_engines_that_are_all_ill() -> None:
    admission = Admission(Queue(1, 5, 60), lambda: False)
    await admission.enter("a", stays)
    with pytest.raises(Shed) as caught:
        await admission.enter("b", stays)
    assert caught.value.reason == "no_replica"


async def test_slots_are_never_exceeded_and_none_is_lost() -> None:
    admission = Admission(Queue(3, 20, 0.02))
    most = 0

    async def one(number: int) -> None:
        nonlocal most

        async def gone() -> None:
            await asyncio.sleep(0.001 * (number % 30))
            if number % 3:
                await asyncio.Event().wait()

        try:
            await admission.enter("abc"[number % 3], gone)
        except (Shed, ClientLeft):
            return
        try:
            most = max(most, admission.in_flight)
            await asyncio.sleep(0.001 * (number % 5))
        finally:
            admission.leave()

    tasks = []
    for number in range(400):
        tasks.append(asyncio.create_task(one(number)))
        if number % 7 == 0:
            await asyncio.sleep(0.001)
        if number % 11 == 0:
            tasks[number // 2].cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert most == 3
    assert (admission.in_flight, admission.queued) == (0, 0)
