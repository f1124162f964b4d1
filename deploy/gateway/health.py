"""Health: each replica's /health, asked in the background, and what /ready says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from deploy.gateway.replicas import CANNOT_BE_REACHED, Replica, Replicas
from deploy.gateway.upstream_settings import Upstream as UpstreamSettings
from deploy.gateway.wire import ReplicaFailed

MODELS_EVERY_S = 30.0
ANSWER_BOUND_BYTES = 1_048_576
# A time-out that rings this much later than its time says that this process did not run.
STALLED_SHARE = 1.5

USER_AGENT = b"vllm-slo-gateway"


class HealthChecks:
    """A task for each replica; each question has a bound in time and size."""

    def __init__(self, replicas: Replicas, settings: UpstreamSettings, key: bytes | None) -> None:
        self._replicas = replicas
        self._health = settings.health
        self._key = key
        self._models_due_s: dict[Replica, float] = {}

    async def first(self) -> None:
        """Ask all once, so that it is known where the first request can go."""
        await asyncio.gather(*(self._check(replica) for replica in self._replicas.all))

    async def go_on(self) -> None:
        """Ask on and on, until cancelled. It ends otherwise only by a mistake of ours, which it raises."""
        async with asyncio.TaskGroup() as group:
            for replica in self._replicas.all:
                group.create_task(self._watch(replica))

    async def _watch(self, replica: Replica) -> None:
        while True:
            await asyncio.sleep(self._health.every_s)
            await self._check(replica)

    async def _check(self, replica: Replica) -> None:
        heard, began_s = replica.heard, asyncio.get_running_loop().time()
        reason, late = await self._reason_against(replica)
        if late:
            took_s = asyncio.get_running_loop().time() - began_s
            if took_s > STALLED_SHARE * self._health.timeout_s:
                return  # our own clock rang late: it is we who are busy
            if replica.healthy and replica.heard != heard:
                return  # late, but its answers flow: busy, not hung
        replica.checked(reason, self._health, late)
        if replica.healthy:
            await self._ask_for_models(replica)

    async def _reason_against(self, replica: Replica) -> tuple[str | None, bool]:
        """Why it is not well, None if it is; and whether that is only that nothing came in time."""
        late = f"the engine did not answer its /health within {self._health.timeout_s:g} s"
        try:
            async with asyncio.timeout(self._health.timeout_s):
                status, _ = await self._asked(replica, b"/health")
        except TimeoutError:
            return late, True
        except ReplicaFailed as failure:
            if failure.kind == "timeout":
                return late, True
            return CANNOT_BE_REACHED, failure.kind == "unreachable" and not failure.refused
        return (None if status == 200 else f"the engine answered {status} to /health"), False

    async def _ask_for_models(self, replica: Replica) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._models_due_s.get(replica, 0.0):
            return
        self._models_due_s[replica] = now_s + MODELS_EVERY_S
        try:
            async with asyncio.timeout(self._health.timeout_s):
                status, body = await self._asked(replica, b"/v1/models")
        except (TimeoutError, ReplicaFailed):
            status, body = 0, b""
        if status == 200:
            self._replicas.listed(replica, _names(body))
        else:
            self._models_due_s[replica] = 0.0  # again with the next check

    async def _asked(self, replica: Replica, path: bytes) -> tuple[int, bytes]:
        """Status and body of a short answer. Raises ReplicaFailed."""
        key = b"authorization: %b\r\n" % self._key if self._key else b""
        lines = (replica.base_path, path, replica.host, USER_AGENT, key)
        wire = await replica.checks.taken()
        try:
            head = await wire.ask(b"GET %b%b HTTP/1.1\r\nhost: %b\r\nuser-agent: %b\r\n%b\r\n" % lines)
            body = b""
            while chunk := await wire.read():
                body += chunk
                if len(body) > ANSWER_BOUND_BYTES:
                    raise ReplicaFailed("cut_short", "the answer has no end", whole_request_sent=True)
            if head.status != 200:
                wire.close()  # it may not be the engine that says so: the next check dials anew
            return head.status, body
        finally:
            replica.checks.give_back(wire)


class Readiness:
    """What /ready says, and who wants to know when the drain begins."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._callbacks: list[Callable[[], None]] = []
        self.draining = False

    def on_drain(self, callback: Callable[[], None]) -> None:
        """Call this, once, when the drain begins."""
        self._callbacks.append(callback)

    def begin_drain(self) -> None:
        """From here on nothing new is let in."""
        if self.draining:
            return
        self.draining = True
        for callback in self._callbacks:
            callback()

    async def reason_against(self) -> str | None:
        """None when a request sent now would find a healthy engine, else why not, in words for an operator.

        Those that are late with their /health still get what comes: see Replicas.choose.
        """
        if self.draining:
            return "draining"
        if self._replicas.any_healthy():
            return None
        reasons = [str(replica.reason) for replica in self._replicas.all]
        if len(reasons) == 1:
            return reasons[0]
        return f"none of {len(reasons)} engines is healthy: " + "; ".join(sorted(set(reasons)))


def _names(body: bytes) -> frozenset[str]:
    """The names in a list of models; none from what is not one."""
    try:
        listed = json.loads(body)["data"]
        return frozenset(entry["id"] for entry in listed if isinstance(entry["id"], str))
    except (ValueError, TypeError, KeyError):
        return frozenset()
