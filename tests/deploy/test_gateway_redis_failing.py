"""A storage of limits that does not answer: who waits for it, and what is not held against it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import limits
import pytest

from deploy.gateway import redis_storage
from deploy.gateway.limiter import StorageFailed
from deploy.gateway.logs import json_logger
from deploy.gateway.redis_storage import SharedStorage
from deploy.gateway.settings import Limits
from tests.deploy.gateway_stage import ROOT

RATES = Limits(storage="redis", redis_url_env="U", storage_timeout_s=0.2)
RATE = limits.parse("10/hour")


class Mute:
    """Takes connections, counts them, reads, and never answers."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Mute]:
        server = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self


@contextlib.asynccontextmanager
async def asked(log: io.StringIO) -> AsyncIterator[tuple[Mute, SharedStorage]]:
    async with Mute().listening() as mute:
        shared = SharedStorage(RATES, {"U": f"redis://127.0.0.1:{mute.port}"}, json_logger(log))
        try:
            yield mute, shared
        finally:
            await shared.aclose()


async def failed(shared: SharedStorage) -> None:
    with pytest.raises(StorageFailed):
        await shared.hit(RATE, "key", "a")


async def test_one_request_finds_out_for_all_whether_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asked(io.StringIO()) as (mute, shared):
        await failed(shared)
        assert mute.connections == 1
        monkeypatch.setattr(redis_storage, "RETRY_S", 0.1)
        await asyncio.sleep(0.11)
        await asyncio.gather(*(failed(shared) for _ in range(20)))
        assert mute.connections == 2


async def test_a_time_out_that_we_have_slept_through_is_not_held_against_it() -> None:
    log = io.StringIO()
    async with asked(log) as (_, shared):
        asking = asyncio.create_task(failed(shared))
        await asyncio.sleep(0.05)
        time.sleep(0.5)  # noqa: ASYNC251  as a large body that is parsed
        await asking
        assert log.getvalue() == ""
        await failed(shared)  # in its own time
        assert log.getvalue().count("limits_storage_failed") == 1


def test_its_library_is_loaded_only_for_those_who_use_it() -> None:
    program = "import sys, deploy.gateway.__main__; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
