"""Supervisor: one child from its first start to the last: start-up grace, checks, restarts, giving up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from deploy.watchdog.backoff import Backoff
from deploy.watchdog.checks import Checks
from deploy.watchdog.metrics import Metrics
from deploy.watchdog.process import Process
from deploy.watchdog.settings import Child

START_LOOK_S = 0.5
Say = Callable[..., None]


class GaveUp(Exception):
    """A child failed too often."""


class Supervisor:
    """Keeps one child running. Reasons for a restart: exit, start_timeout, health, probe."""

    def __init__(
        self,
        name: str,
        child: Child,
        backoff: Backoff,
        *,
        environment: Mapping[str, str],
        checks: Checks,
        metrics: Metrics,
        say: Say,
    ) -> None:
        self.name = name
        self._child = child
        self._backoff = backoff
        self._environment = environment
        self._checks = checks
        self._metrics = metrics
        self._say = say
        self._process: Process | None = None
        self._healthy_s: float | None = None  # since when
        self._failed_s: float | None = None

    async def run(self) -> None:
        """Start, watch, and start again, for ever. Raises GaveUp."""
        for gauge in (self._metrics.up, self._metrics.gave_up):
            gauge.labels(self.name).set(0)
        while True:
            self._healthy_s = None
            self._process = await Process.start(self._child, self._environment)
            self._say("started", child=self.name, pid=self._process.pid)
            reason, detail = await self._failure(self._process)
            self._failed_s = time.monotonic()
            self._metrics.up.labels(self.name).set(0)
            self._say("failed", child=self.name, reason=reason, detail=detail, level="error")
            await self._process.stop(self._child.hung_stop_timeout_s)
            up_for_s = 0.0 if self._healthy_s is None else self._failed_s - self._healthy_s
            delay_s = self._backoff.delay_s(self._failed_s, up_for_s)
            if delay_s is None:
                self._give_up(reason)
            else:
                self._metrics.restarts.labels(self.name, reason).inc()
                self._say("restart", child=self.name, reason=reason, delay_s=round(delay_s, 3))
                await asyncio.sleep(delay_s)

    async def stop(self) -> None:
        """End the child in good order; any number of times, also when it never started."""
        if self._process is None:
            return
        status = await self._process.stop(self._child.stop_timeout_s)
        self._metrics.up.labels(self.name).set(0)
        self._say("stopped", child=self.name, status=status)
        self._process = None

    def _give_up(self, reason: str) -> None:
        rule = self._backoff.rule
        self._metrics.gave_up.labels(self.name).set(1)
        self._say(
            "gave_up",
            level="critical",
            child=self.name,
            reason=reason,
            restarts=rule.most,
            within_s=rule.within_s,
            hint="its log says why it fails; the watchdog ends now",
        )
        raise GaveUp(self.name)

    async def _failure(self, process: Process) -> tuple[str, str]:
        """Wait until the child fails: the reason, and the detail in words."""
        checks = asyncio.create_task(self._checked())
        ended = asyncio.create_task(process.ended())
        try:
            await asyncio.wait({checks, ended}, return_when=asyncio.FIRST_COMPLETED)
            return ("exit", f"exit status {ended.result()}") if ended.done() else checks.result()
        finally:
            for task in (checks, ended):
                task.cancel()
            await asyncio.gather(checks, ended, return_exceptions=True)

    async def _checked(self) -> tuple[str, str]:
        """Check until something is wrong."""
        trouble = await self._until_healthy()
        if trouble is not None:
            return "start_timeout", trouble
        self._is_healthy()
        watches = [asyncio.create_task(one) for one in (self._watch_health(), self._watch_probe())]
        try:
            await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            return next(one.result() for one in watches if one.done())
        finally:
            for one in watches:
                one.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _until_healthy(self) -> str | None:
        """The start-up grace: nothing is wrong until it is over."""
        health = self._child.health
        if health is None:
            return None
        bound_s = time.monotonic() + self._child.start_timeout_s
        while (trouble := await self._checks.healthy(health)) is not None:
            if time.monotonic() >= bound_s:
                return f"not healthy in {self._child.start_timeout_s:g} s: {trouble}"
            await asyncio.sleep(min(START_LOOK_S, health.every_s))
        return None

    def _is_healthy(self) -> None:
        self._healthy_s = time.monotonic()
        self._metrics.up.labels(self.name).set(1)
        facts: dict[str, float] = {}
        if self._failed_s is not None:
            facts["outage_s"] = round(self._healthy_s - self._failed_s, 3)
            self._metrics.down_seconds.labels(self.name).set(facts["outage_s"])
        self._say("healthy", child=self.name, **facts)

    async def _watch_health(self) -> tuple[str, str]:
        health = self._child.health
        if health is None:
            await asyncio.Event().wait()
        assert health is not None  # noqa: S101 - the wait above has no end
        return "health", await _in_a_row(
            lambda: self._checks.healthy(health), health.every_s, health.failures, self._note
        )

    async def _watch_probe(self) -> tuple[str, str]:
        probe = self._child.probe
        if probe is None:
            await asyncio.Event().wait()
        assert probe is not None  # noqa: S101 - the wait above has no end
        return "probe", await _in_a_row(
            lambda: self._checks.generates(probe), probe.every_s, probe.failures, self._note
        )

    def _note(self, trouble: str | None) -> None:
        self._metrics.up.labels(self.name).set(float(trouble is None))
        if trouble is not None:
            self._say("check_failed", child=self.name, detail=trouble, level="warning")


async def _in_a_row(
    check: Callable[[], object], every_s: float, failures: int, note: Callable[[str | None], None]
) -> str:
    """Check at an interval until it failed `failures` times in a row; the last trouble."""
    count = 0
    while True:
        await asyncio.sleep(every_s)
        trouble = await check()  # type: ignore[misc]
        note(trouble)
        count = count + 1 if trouble else 0
        if count >= failures:
            return f"{failures} in a row: {trouble}"
