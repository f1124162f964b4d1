"""The gateway as a process of its own, for the tests of signals, ports, exit codes and stderr."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.gateway_stage import ENVIRONMENT, ROOT


class Process:
    """A gateway as its users run it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.stderr: list[str] = []

    async def listening(self) -> str:
        """The URL of the API, once it says so."""
        return str((await self.event("listening"))["url"])

    async def event(self, name: str) -> dict[str, Any]:
        """The next line of the log with this event."""
        while True:
            line: dict[str, Any] = json.loads(await self._line())
            if line["event"] == name:
                return line

    async def exit_code(self) -> int:
        """Waits for the end and keeps all of stderr."""
        assert self._process.stderr is not None
        rest = await asyncio.wait_for(self._process.stderr.read(), 15)
        self.stderr += rest.decode().splitlines()
        return await asyncio.wait_for(self._process.wait(), 15)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def _line(self) -> str:
        assert self._process.stderr is not None
        line = (await asyncio.wait_for(self._process.stderr.readline(), 15)).decode()
        assert line, f"the gateway ended before it listened: {self.stderr}"
        self.stderr.append(line.rstrip())
        return line


@contextlib.asynccontextmanager
async def process(
    folder: Path, document: Mapping[str, Any] | str, environment: Mapping[str, str] = ENVIRONMENT
) -> AsyncIterator[Process]:
    """`python -m deploy.gateway` with this document as its file; killed if the test leaves it running."""
    file = folder / "gateway.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(dict(document)))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.gateway", "--config", str(file),
        cwd=ROOT, env=dict(environment), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Process(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()
